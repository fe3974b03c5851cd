"""Opens the TCP traps, so that a visitor proves its address with the handshake, which the capture sees.

Each connection is accepted, gets the banner if there is one, and is closed. Nothing is read, nothing waits.
"""

import logging
import socket
from collections.abc import Callable, Iterable

from portsentry_py.host.sockets import peer_address

_BACKLOG = 64
# Connections of one port that a poll closes; the backlog holds the next ones, the kernel refuses the rest.
_MAX_AT_ONCE = 256
_diagnostics = logging.getLogger(__name__)


Accepted = Callable[[str, int, str, int], object]
"""Called with the visitor's address and port, and the address and port that it reached."""


class TrapListener:
    """Listens on traps; a port that a service holds is left alone.

    Args:
        ports: TCP ports.
        banner: ASCII text that each visitor gets; empty for none.
    """

    def __init__(self, ports: Iterable[int], banner: str) -> None:
        self._banner = banner.encode("ascii", "replace")
        self._sockets = {port: opened for port in sorted(ports) if (opened := _open(port)) is not None}

    @property
    def ports(self) -> frozenset[int]:
        """The traps that are open."""
        return frozenset(self._sockets)

    def poll(self, accepted: Accepted | None = None) -> None:
        """Close the connections that came since the last call.

        Args:
            accepted: takes each visitor. The kernel has seen the whole handshake, so the address is proven.
        """
        for listening in self._sockets.values():
            for _ in range(_MAX_AT_ONCE):
                try:
                    visitor, peer = listening.accept()
                except OSError:  # nobody is there, or nobody any more
                    break
                with visitor:
                    if accepted is not None:
                        trap = visitor.getsockname()
                        accepted(peer_address(peer[0]), peer[1], peer_address(trap[0]), trap[1])
                    self._greet(visitor)

    def _greet(self, visitor: socket.socket) -> None:
        visitor.setblocking(False)
        try:
            if self._banner:
                visitor.send(self._banner)
        except OSError:
            return  # the visitor has left, or its window is closed

    def close(self) -> None:
        """Close every trap."""
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
            _diagnostics.warning("trap %d stays closed: %s.", port, error.strerror)
            return None
    listening.setblocking(False)
    return listening
