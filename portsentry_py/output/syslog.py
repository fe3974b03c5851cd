"""Lines to a syslog server as RFC 5424 messages: datagrams (RFC 5426), or counted frames in a stream (RFC 6587)."""

import os
import select
import socket
from typing import Any

from portsentry_py.errors import OutputError
from portsentry_py.events.model import Event, SourceEvent
from portsentry_py.output.json_log import json_line

_AUTHPRIV = 10 << 3
_NOTICE, _INFO = 5, 6
_SEVERITIES = {"ban": 4, "watch": _NOTICE}
_SECONDS = 5.0


class SyslogSink:
    """Connects when there is a line, and again when the server went away.

    Args:
        target: `udp://HOST:PORT`, `tcp://HOST:PORT`, or `unix:/PATH` of a datagram socket.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._kind, _, place = target.partition(":")
        self._path = place
        host, _, port = place.removeprefix("//").rpartition(":")
        self._host, self._port = host.strip("[]"), port
        self._socket: socket.socket | None = None

    def write(self, event: Event) -> None:
        """Send one line.

        Raises:
            OutputError: the server takes none now.
        """
        message = rfc5424(event, socket.gethostname(), os.getpid())
        try:
            if self._socket is None or self._is_closed(self._socket):
                self._connect()
            self._send(message)
        except OSError as error:
            self.close()  # a frame that was sent in part must not be followed by another
            raise OutputError(
                f"outputs.syslog: {self._target} takes no lines ({error.strerror or error}); start it, or change "
                "outputs.syslog."
            ) from error

    def _connect(self) -> None:
        self.close()
        if self._kind == "tcp":
            self._socket = socket.create_connection((self._host, int(self._port)), _SECONDS)
            return
        place: tuple[int, str | tuple[Any, ...]] = (socket.AF_UNIX, self._path)
        if self._kind == "udp":
            family, _, _, _, address = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)[0]
            place = (family, address)
        self._socket = socket.socket(place[0], socket.SOCK_DGRAM)
        self._socket.settimeout(_SECONDS)
        self._socket.connect(place[1])

    def _is_closed(self, connection: socket.socket) -> bool:
        """Whether the server has closed the stream: the kernel would take a line, and nobody would read it."""
        poll = select.poll()
        poll.register(connection, select.POLLRDHUP)
        return self._kind == "tcp" and bool(poll.poll(0))

    def _send(self, message: bytes) -> None:
        assert self._socket is not None  # noqa: S101 - connected just now
        self._socket.sendall(b"%d %s" % (len(message), message) if self._kind == "tcp" else message)

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def severity(event: Event) -> int:
    """The severity of syslog and of the journal: warning for a ban, notice for `watch`, else informational."""
    return _SEVERITIES.get(event.verdict, _INFO) if isinstance(event, SourceEvent) else _INFO


def rfc5424(event: Event, host: str, pid: int) -> bytes:
    """A line as a syslog message of the facility authpriv. The JSON is all ASCII, so it needs no byte order mark."""
    name = "".join(character for character in host if "!" <= character <= "~")[:255] or "-"
    priority = f"<{_AUTHPRIV | severity(event)}>1"
    head = (priority, event.timestamp, name, "portsentry-py", str(pid), event.event_type, "-", "")
    return " ".join(head).encode("ascii") + json_line(event).rstrip(b"\n")
