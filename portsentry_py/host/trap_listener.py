"""Opens the TCP decoy ports for real, so that whoever touches one proves its address with the handshake.

Each connection is accepted, told the banner if there is one, and closed: nothing is read, nothing waits. The
proof is seen on the wire like everything else; this file only makes the kernel ask for it.
"""

import logging
import socket
from collections.abc import Iterable

_BACKLOG = 64
# A poll closes so many connections at most; the backlog holds the next ones, the kernel refuses the rest.
_MOST_AT_ONCE = 256
_diagnostics = logging.getLogger(__name__)


class TrapListener:
    """Listens on decoy ports; a port that a service holds is left alone.

    Args:
        ports: TCP ports.
        banner: what a visitor is told, ASCII; empty for nothing.
    """

    def __init__(self, ports: Iterable[int], banner: str) -> None:
        self._banner = banner.encode("ascii", "replace")
        self._sockets = {port: opened for port in sorted(ports) if (opened := _open(port)) is not None}

    @property
    def ports(self) -> frozenset[int]:
        """The ports that are open."""
        return frozenset(self._sockets)

    def poll(self) -> None:
        """Close what has connected since the last call."""
        for listening in self._sockets.values():
            for _ in range(_MOST_AT_ONCE):
                try:
                    visitor, _ = listening.accept()
                except OSError:  # nobody there, or gone again
                    break
                with visitor:
                    self._greet(visitor)

    def _greet(self, visitor: socket.socket) -> None:
        visitor.setblocking(False)
        try:
            if self._banner:
                visitor.send(self._banner)
        except OSError:
            return  # it has left, or its window is closed: we wait for nobody

    def close(self) -> None:
        """Close every port."""
        for listening in self._sockets.values():
            listening.close()
        self._sockets.clear()


def _open(port: int) -> socket.socket | None:
    """A listening socket for both families, or for IPv4 where there is no IPv6."""
    try:
        listening = socket.create_server(
            ("", port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=socket.has_dualstack_ipv6()
        )
    except OSError:
        try:
            listening = socket.create_server(("", port), backlog=_BACKLOG)
        except OSError as error:
            _diagnostics.warning("decoy port %d stays closed: %s.", port, error.strerror)
            return None
    listening.setblocking(False)
    return listening
