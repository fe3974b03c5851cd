"""Lines of tshark's that are as long as anybody outside can make them, for tables that shall be full."""

from collections.abc import Iterable, Iterator, Sequence
from struct import Struct
from typing import Any

from portsentry_py.core.packet import ACK, FIN, PSH, RST, SYN, TCP, UDP, URG
from portsentry_py.core.source_record import MAX_OPENED, MAX_STACKS
from tests.support.build import line

HOSTS = 64
"""So many addresses are ours."""
PORTS = 60_000
"""So many ports of each serve nobody, and nobody serves them."""
LOOKS = MAX_STACKS
SERVED = range(1_000, 1_000 + max(MAX_OPENED, LOOKS))
SWEPT = 40_001
"""A port of our clients, for datagrams."""
ASKERS = 33
SECOND_US = 1_000_000
VLANS = 1 << 12
LATE_US = 4 * SECOND_US
"""After this time the sensor does not wait for the outcome of what was before."""

_FORM = line(
    time="%(seconds)d.%(micros)06d",
    src="%(src)s",
    data="%(data)s",
    dst="%(dst)s",
    proto="%(proto)d",
    offset="0",
    more="0",
    vlan="%(vlan)d",
    iface="interface-name0",
    ttl="%(ttl)d",
    id="0xffff",
)
_HEAD = Struct("!HHIIBBHHH")
_OPTIONS = bytes(40)
_CUT = "…"  # what tshark 4.0 puts behind bytes that it does not show
_BIG = 0xFFFFFF00
_ANY, _FIRST = 40_000, 2_000
_OPENING = tuple(flags for flags in range(1 << 8) if not flags & (ACK | RST))
_FLAGS = (SYN, 0, FIN, FIN | PSH | URG, SYN | FIN)
_UNASKED = HOSTS // 2 * PORTS
_DIGITS, _GROUPS = 156, 0xF000


class Sender:
    """Sends, in an order of time, what one or two packets of somebody and our answers are.

    Args:
        version: of IP; every address has as many characters as it can have.
        clock: shared by senders that send in turn.
    """

    def __init__(self, version: int, clock: list[int] | None = None) -> None:
        self._version = version
        self.clock = clock or [1_700_000_000 * SECOND_US]

    def source(self, number: int, network: int = 0) -> str:
        if self._version == 4:
            a, b, c, d = ((number + network * _DIGITS) // _DIGITS**power for power in (3, 2, 1, 0))
            return f"{101 + a}.{100 + b % _DIGITS}.{100 + c % _DIGITS}.{100 + d % _DIGITS}"
        wide, near = divmod(number, _GROUPS)
        return f"{0x2A01 + wide:x}:{_groups(network)}:{0x1000 + near:x}:1111:1111:1111:1111"

    def target(self, number: int = 0) -> str:
        if self._version == 4:
            return f"192.168.{100 + number // _DIGITS % _DIGITS}.{100 + number % _DIGITS}"
        return f"2a02:2222:1111:1111:1111:1111:{_groups(number)}"

    def segment(
        self,
        src: str,
        dst: str,
        ports: tuple[int, int],
        flags: int,
        *,
        seq: int = 0,
        ack: int = _BIG,
        window: int = 0xFFFF,
        options: bytes = _OPTIONS,
        vlan: int = 4094,
        ttl: int = 255,
        after_us: int = 1,
    ) -> str:
        words = (_HEAD.size + len(options)) // 4
        data = (_HEAD.pack(*ports, seq, ack, words << 4, flags, window, 0, 0) + options).hex()
        self.clock[0] += after_us
        return self._line((src, dst), TCP, data + _CUT * bool(options), vlan, ttl)

    def datagram(
        self, src: str, dst: str, ports: tuple[int, int] = (_ANY, _FIRST), *, ttl: int = 255, after_us: int = 1
    ) -> str:
        self.clock[0] += after_us
        data = _HEAD.pack(*ports, 0, 0, 0, 0, 0, 0, 0).hex()
        return self._line((src, dst), UDP, data, 4094, ttl)

    def _line(self, ends: tuple[str, str], proto: int, data: str, vlan: int, ttl: int) -> str:
        seconds, micros = divmod(self.clock[0], SECOND_US)
        cells = {"src": ends[0], "data": data, "dst": ends[1], "proto": proto, "vlan": vlan, "ttl": ttl}
        return _FORM % {"seconds": seconds, "micros": micros, **cells}

    def probe(self, src: str, what: int, *, port: int = _ANY, **others: Any) -> str:
        """Ask for what nobody serves: a number for each port of each host."""
        return self.segment(src, self.target(what // PORTS), (port, _FIRST + what % PORTS), SYN, **others)

    def answer(self, src: str, what: int, flags: int = SYN | ACK, **others: Any) -> str:
        """Answer that, or refuse it."""
        return self.segment(self.target(what // PORTS), src, (_FIRST + what % PORTS, _ANY), flags, **others)

    def refused(self, src: str, whats: Iterable[int], **others: Any) -> Iterator[str]:
        """Ask, and be refused each time."""
        for what in whats:
            yield self.probe(src, what, **others)
            yield self.answer(src, what, RST | ACK, options=b"", after_us=0)

    def newcomer(self, nth: int, after_us: int = 1) -> Iterator[str]:
        """Make one attempt."""
        return self.refused(self.source(nth), [0], after_us=after_us)

    def known(self, nth: int) -> Iterator[str]:
        """Make two attempts."""
        return self.refused(self.source(nth), range(2))

    def prober(self, nth: int) -> Iterator[str]:
        """Make one attempt of many, all from the same address."""
        return self.refused(self.source(0), [nth])

    def twin(self, nth: int) -> Iterator[str]:
        """Send one probe of many that others could have sent too, all from the same address."""
        return self.twins(0, [nth])

    def twins(self, number: int, nths: Iterable[int]) -> Iterator[str]:
        src, last = self.source(number), _BIG - number * PORTS
        return (self.probe(src, 0, port=_FIRST + nth, seq=last - nth) for nth in nths)

    def visit(
        self,
        src: str,
        port: int = _ANY,
        *,
        served: int = SERVED[0],
        answered: bool = False,
        ttl: int = 255,
        after_us: int = 1,
    ) -> Iterator[str]:
        """Ask for what is served."""
        yield self.segment(src, self.target(), (port, served), SYN, seq=_BIG, ttl=ttl, after_us=after_us)
        if answered:
            yield self.segment(self.target(), src, (served, port), SYN | ACK, seq=_BIG, after_us=0)

    def tour(self, nth: int, ports: Iterable[int]) -> Iterator[str]:
        """Ask for many ports that are served."""
        for port in ports:
            yield from self.visit(self.source(nth), served=port)

    def looks(self, nth: int) -> Iterator[str]:
        """Look different each time, and prove oneself with a visit each time."""
        src, ours = self.source(nth), self.target()
        for look, served in enumerate(SERVED[:LOOKS]):
            ttl, port = 100 + look, _ANY + 1 + look
            bare: dict[str, Any] = {} if look else {"options": b"", "window": 512}
            yield self.segment(src, ours, (port, _FIRST), _FLAGS[look % len(_FLAGS)], ttl=ttl, **bare)
            yield from self.visit(src, served=served, answered=True, ttl=ttl)
            yield self.segment(src, ours, (_ANY, served), FIN | ACK, ack=_BIG + 1, ttl=ttl)

    def fat(self, nth: int, twins: int = 1) -> Iterator[str]:
        """Let a twin be remembered by all that there is to remember."""
        yield from self.twins(nth, range(nth * twins, nth * twins + twins))
        yield from self.known(nth)
        yield from self.looks(nth)

    def group(self, network: int) -> Iterator[str]:
        """Let ASKERS sources of a network ask for a port each."""
        return (self.probe(self.source(nth, network), nth, after_us=2_100) for nth in range(ASKERS))

    def ask(self, nth: int, after_us: int = 1) -> Iterator[str]:
        """Ask others, from here, and be answered."""
        ours, theirs, ports = self.target(), self.source(nth), (_ANY, 443)
        yield self.segment(ours, theirs, ports, SYN, seq=_BIG - 1, after_us=after_us)
        yield self.segment(theirs, ours, ports[::-1], SYN | ACK, seq=_BIG, after_us=0)

    def ask_again(self, nth: int) -> Iterator[str]:
        """Ask the same again, from another port of another address."""
        host, port = divmod(nth, PORTS)
        ours, theirs, ports = self.target(host), self.source(0), (_FIRST + port, 443)
        yield self.segment(ours, theirs, ports, SYN, seq=_BIG - 1, after_us=LATE_US)
        yield self.segment(theirs, ours, ports[::-1], SYN | ACK, seq=_BIG, after_us=0)

    def question(self, nth: int) -> Iterator[str]:
        """Ask a resolver, from here, and be answered."""
        ours, peer = self.target(), self.source(nth)
        yield self.datagram(ours, peer, (_ANY, 53))
        yield self.datagram(peer, ours, (53, _ANY))

    def send(self, nth: int) -> Iterator[str]:
        """Send a datagram from here, each time from another port."""
        host, port = divmod(nth, PORTS)
        yield self.datagram(self.target(host), self.source(0), (_FIRST + port, 53))

    def stream(self, nth: int, whats: range) -> Iterator[str]:
        """Send datagrams to some ports of ours, so many to each that they are streams."""
        for what in whats:
            yield from (self.datagram(self.source(nth), self.target(), (_ANY, _FIRST + what)) for _ in range(6))

    def sweep(self, nth: int) -> Iterator[str]:
        """Send a datagram from a client's port to a client's port of each of our hosts."""
        return (self.datagram(self.source(nth), self.target(host), (_ANY, SWEPT)) for host in range(HOSTS))

    def trace(self, nth: int) -> Iterator[str]:
        """Measure the route to us."""
        yield self.datagram(self.source(nth), self.target(), (_ANY, _ANY), ttl=1)

    def look_up(self, host: int, names: int) -> Iterator[str]:
        """Let a host of ours ask a resolver for names, and be answered."""
        ours, peer = self.target(host), self.source(host)
        for name in range(names):
            ports = (_FIRST + name, 53)
            yield self.datagram(ours, peer, ports)
            yield self.datagram(peer, ours, ports[::-1])

    def scan(self, host: int, peers: range) -> Iterator[str]:
        """Let a host of ours ask others, each in another network and at another port, and be refused."""
        ours = self.target(host)
        for nth in peers:
            theirs, ports = self.source(nth), (_ANY, _FIRST + nth % PORTS)
            yield self.segment(ours, theirs, ports, SYN, options=b"")
            yield self.segment(theirs, ours, ports[::-1], RST | ACK, seq=0, options=b"", after_us=0)

    def stray(self, nth: int) -> Iterator[str]:
        """Close what was never opened."""
        yield self.segment(self.source(nth), self.target(), (_ANY, 7), FIN | ACK, seq=_BIG)

    def late(self, nth: int, whats: range = range(8)) -> Iterator[str]:
        """Be reset, as if a connection from here were gone: from these ports to as many of ours."""
        for what in whats:
            ports = (_ANY + what, _FIRST + what)
            yield self.segment(self.target(), self.source(nth), ports, RST, options=b"", ack=0)

    def discovered(self, nth: int) -> Iterator[str]:
        """Answer from a port of a host that nobody asks."""
        yield self.answer(self.source(0), _UNASKED + nth)

    def chorus(self, sources: Sequence[int], probes: int) -> Iterator[str]:
        """Let some sources send these probes in turn, in each round with other flags, and be refused."""
        for number in range(probes):
            turn, nth = divmod(number, len(sources))
            what, flags = 100 + turn, _OPENING[turn % len(_OPENING)]
            src, ports = self.source(sources[nth]), (_ANY, _FIRST + what)
            yield self.segment(src, self.target(), ports, flags)
            yield self.answer(src, what, RST | ACK, options=b"", after_us=0)


def _groups(number: int) -> str:
    return f"{0x1000 + number // _GROUPS:x}:{0x1000 + number % _GROUPS:x}"
