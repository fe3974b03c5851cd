"""Lines to the systemd journal, in its own protocol: one datagram for each, with fields to search for."""

import socket

from portsentry_py.errors import OutputError
from portsentry_py.events.model import Event, SourceEvent
from portsentry_py.output.json_log import json_line
from portsentry_py.output.syslog import severity

_SOCKET = "/run/systemd/journal/socket"
_SECONDS = 5.0


class JournalSink:
    """The journal of this host. systemd.journal-fields(7) has the fields, systemd's page on the protocol the rest."""

    def __init__(self, path: str = _SOCKET) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(_SECONDS)

    def write(self, event: Event) -> None:
        """Send one line.

        Raises:
            OutputError: there is no journal, or it takes none now.
        """
        try:
            # By path each time: a journal that was started again has another socket there.
            self._socket.sendto(datagram(event), self._path)
        except OSError as error:
            raise OutputError(
                f"outputs.journald: {self._path} takes no lines ({error.strerror or error}); start systemd-journald, "
                "or turn outputs.journald off."
            ) from error

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def datagram(event: Event) -> bytes:
    """A line as the journal takes it: no value holds an end of line, so that `KEY=VALUE` is enough."""
    source = (
        f"PORTSENTRY_VERDICT={event.verdict}\nPORTSENTRY_SRC_IP={event.src_ip}\n"
        if isinstance(event, SourceEvent)
        else ""
    )
    head = f"PRIORITY={severity(event)}\nSYSLOG_IDENTIFIER=portsentry-py\nPORTSENTRY_EVENT_TYPE={event.event_type}\n"
    return f"{head}{source}MESSAGE=".encode("ascii") + json_line(event)
