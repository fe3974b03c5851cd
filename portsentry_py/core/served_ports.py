"""Served ports: from the socket tables, learned from answers, or named by the operator."""

from collections.abc import Callable, Iterable, Mapping
from typing import Literal, NamedTuple

from portsentry_py.config.settings import Served
from portsentry_py.core.host_state import HostState
from portsentry_py.core.lru_table import LruTable
from portsentry_py.events.model import Proto

PortKind = Literal["port", "udplite", "dccp", "icmp", "icmpv6", "sctp", "ip"]
"""TCP and UDP share their port numbers; other protocols stand alone."""


class Learned(NamedTuple):
    """A port that answered, its kind, and the time of the last answer."""

    address: str
    kind: PortKind
    port: int
    answered_us: int


_MAX_LEARNED = 65_536
_KINDS: Mapping[Proto, PortKind] = {
    "tcp": "port",
    "udp": "port",
    "udplite": "udplite",
    "dccp": "dccp",
    "icmp": "icmp",
    "icmpv6": "icmpv6",
    "sctp": "sctp",
    "ip": "ip",
}


class ServedPorts:
    """Knows whether somebody serves a port of ours.

    A number that is served over TCP counts as served over UDP too, and the reverse: a browser tries QUIC on
    443/udp beside 443/tcp.
    """

    def __init__(self) -> None:
        self._named: frozenset[int] = frozenset()
        self._open_traps: frozenset[int] = frozenset()
        self._listening: frozenset[int] = frozenset()
        self._learned: LruTable[tuple[str, PortKind, int], int] = LruTable(_MAX_LEARNED)
        self.has_answered: Callable[[tuple[str, PortKind, int]], bool] = self._learned.holds
        """Whether a port of an address of ours, of that kind, answered."""
        self.numbers: set[int] = set()
        """Numbers that are or were served on some address: a number that is not here is served nowhere."""

    def set_named(self, named: Served) -> None:
        """Take the ports that the operator named."""
        self._named = named.tcp | named.udp
        self._renumber()

    def is_open_trap(self, proto: Proto, port: int) -> bool:
        """Whether an answer from that port is an open trap's."""
        return proto == "tcp" and port in self._open_traps

    def set_host(self, host: HostState) -> None:
        """Take the host's listening sockets and open traps as they are now."""
        self._open_traps = host.open_traps
        self._listening = host.listening_tcp | host.listening_udp
        self._renumber()

    def _renumber(self) -> None:
        self.numbers = {*self._named, *self._listening, *(key[2] for key, _ in self._learned.items())}

    def learn(self, address: str, proto: Proto, port: int, now_us: int) -> None:
        """Note an answer of that port."""
        self._learned.put((address, _KINDS[proto], port), now_us)
        self.numbers.add(port)

    def is_configured(self, proto: Proto, port: int) -> bool:
        """Whether a socket or the operator says that the port is served, not only an answer."""
        return _KINDS[proto] == "port" and (port in self._listening or port in self._named)

    def forget(self, address: str, proto: Proto, port: int) -> None:
        """The port is closed now."""
        self._learned.pop((address, _KINDS[proto], port))

    def learned(self) -> list[Learned]:
        """The ports that answered, the least recently used first."""
        return [Learned(*key, answered_us) for key, answered_us in self._learned.items()]

    def restore(self, learned: Iterable[Learned]) -> None:
        """Take the ports of an earlier run, as `learned` gives them."""
        for address, kind, port, answered_us in learned:
            self._learned.put((address, kind, port), answered_us)
            self.numbers.add(port)

    def __call__(self, address: str, proto: Proto, port: int) -> bool:
        """Whether that port (or protocol number, or ICMP type) of our address is served."""
        if proto == "tcp" and port in self._open_traps:
            return False
        kind = _KINDS[proto]
        is_configured = kind == "port" and (port in self._listening or port in self._named)
        return is_configured or self._learned.holds((address, kind, port))
