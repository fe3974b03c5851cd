"""Which ports are served: read from the socket tables, learned from answers, named by the operator."""

from portsentry_py.host import HostState
from portsentry_py.settings import Served
from portsentry_py.tables import BoundedTable

_MAX_LEARNED = 65_536


class ServedPorts:
    """Answers one question: does somebody serve this port here?

    A port number that is served over one transport counts as served over the other as well: a browser
    tries QUIC on 443/udp beside 443/tcp.
    """

    def __init__(self) -> None:
        self._named: frozenset[int] = frozenset()
        self._listening: frozenset[int] = frozenset()
        self._learned: BoundedTable[tuple[str, int], bool] = BoundedTable(_MAX_LEARNED)

    def set_named(self, named: Served) -> None:
        """Take the ports that the operator names."""
        self._named = named.tcp | named.udp

    def set_host(self, host: HostState) -> None:
        """Take the host's listening sockets as they are now."""
        self._listening = host.listening_tcp | host.listening_udp

    def learn(self, address: str, port: int) -> None:
        """An answer came from there."""
        self._learned.put((address, port), True)  # a set with an order

    def __call__(self, address: str, port: int) -> bool:
        """Whether the port is served at that address of ours."""
        return port in self._listening or port in self._named or (address, port) in self._learned
