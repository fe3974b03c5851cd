"""The connect scan: ordinary connections, which need neither root nor a library."""

import errno
import resource
import selectors
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress

from portsentry_py.checks.scan.model import Answer, State, Target
from portsentry_py.errors import ScanError

_SPARE_DESCRIPTORS = 64
_MOST_CONNECTIONS = 500
_REFUSED = {errno.ECONNREFUSED}
# ICMP errors, as Linux gives them to a socket, and a local firewall.
_FILTERED = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES, errno.EPERM, errno.ETIMEDOUT, errno.ENOPROTOOPT}
_FILTERED |= {errno.EPROTO, errno.EHOSTDOWN, errno.ECONNABORTED, errno.ECONNRESET, errno.EOPNOTSUPP, errno.ENONET}

# IP_RECVERR and IPV6_RECVERR of linux/in.h and linux/in6.h, which the module socket does not name.
_QUEUE_ERRORS = {socket.AF_INET: (socket.IPPROTO_IP, 11), socket.AF_INET6: (socket.IPPROTO_IPV6, 25)}
_EXTENDED_ERROR_BYTES = 256


def most_connections() -> int:
    """How many sockets this process may open for a scan."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, min(_MOST_CONNECTIONS, soft - _SPARE_DESCRIPTORS))


def state_by(code: int) -> State | None:
    """The state that the result of connect(2) proves; None while it is under way."""
    if code in {0, errno.EISCONN}:
        return "open"
    return "closed" if code in _REFUSED else "filtered" if code in _FILTERED else None


class ConnectProber:
    """Connects, and closes at once what is connected; see Prober."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._sockets: dict[tuple[Target, int], tuple[socket.socket, int]] = {}
        self._at_once: list[Answer] = []

    def send(self, target: Target, port: int, attempt: int) -> None:
        """See Prober."""
        self.forget(target, port)
        try:
            probe = socket.socket(target.socket_family, socket.SOCK_STREAM)
        except OSError as error:
            raise ScanError(f"no more sockets ({error.strerror}); raise the limit (ulimit -n).") from error
        probe.setblocking(False)
        probe.setsockopt(*_QUEUE_ERRORS[target.socket_family], 1)
        code = probe.connect_ex(target.endpoint(target.address, port))
        self._sockets[target, port] = probe, attempt
        state = state_by(code)
        if state is None:
            self._selector.register(probe, selectors.EVENT_WRITE, (target, port))
        else:
            self._at_once.append(self._answer(target, port, state))

    def answers(self, seconds: float) -> Iterator[Answer]:
        """See Prober."""
        at_once, self._at_once = self._at_once, []
        yield from at_once
        for key, _ in self._selector.select(0 if at_once else seconds):
            target, port = key.data
            probe, _ = self._sockets[target, port]
            code = _queued_error(probe) or probe.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            yield self._answer(target, port, state_by(code) or "filtered")

    def _answer(self, target: Target, port: int, state: State) -> Answer:
        probe, attempt = self._sockets[target, port]
        if state == "open" and _is_own_end(probe):
            state = "closed"
        self.forget(target, port)
        return Answer(target, port, attempt, state)

    def forget(self, target: Target, port: int) -> None:
        """See Prober."""
        probe, _ = self._sockets.pop((target, port), (None, 0))
        if probe is not None:
            with suppress(KeyError):
                self._selector.unregister(probe)
            probe.close()

    def close(self) -> None:
        """See Prober."""
        for target, port in list(self._sockets):
            self.forget(target, port)
        self._selector.close()


def _queued_error(probe: socket.socket) -> int:
    """The ICMP error in the socket's error queue, 0 for none.

    An ICMP error that arrives while connect(2) is still in the kernel, as from a host one virtual wire away, is in the
    queue alone: the connection goes on (tcp_v4_err of Linux).
    """
    try:
        _, extra, _, _ = probe.recvmsg(1, _EXTENDED_ERROR_BYTES, socket.MSG_ERRQUEUE)
    except OSError:
        return 0
    return next((int.from_bytes(data[:4], sys.byteorder) for _, _, data in extra), 0)


def _is_own_end(probe: socket.socket) -> bool:
    """Whether a scan of this host connected to itself: the kernel chose the scanned port as the source port."""
    with suppress(OSError):
        return bool(probe.getsockname()[:2] == probe.getpeername()[:2])
    return False
