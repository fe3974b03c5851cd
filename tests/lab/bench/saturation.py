"""What would have to be sent to a sensor so that not one of its tables keeps any room."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from itertools import chain

from portsentry_py.config.settings import Limits, Lines, Settings
from portsentry_py.core import (
    admission,
    bans,
    decode,
    expectation,
    fast_path,
    fingerprints,
    flows,
    host_state,
    icmp_errors,
    outbound_table,
    rate_limit,
    route_probes,
    served_ports,
    spoofed_twins,
    standing,
    unreported_scans,
)
from portsentry_py.core.host_state import HostState
from portsentry_py.core.packet import ACK, FIN, SYN
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.core.rate_limit import Rate, TokenBucket
from tests.lab.bench.fillings.admission import crowd, hold
from tests.lab.bench.fillings.engine import NAMED, each, feed
from tests.lab.bench.fillings.expected import EXCUSED, REFUSED
from tests.lab.bench.fillings.flows import accept
from tests.lab.bench.fillings.scans import neglect, spend, suspect
from tests.lab.bench.fillings.sources import visit
from tests.lab.bench.lines import HOSTS, LOOKS, PORTS, SECOND_US, SERVED, VLANS, Sender

_HOME = tuple(map(ip_network, ("192.168.0.0/16", "2a02:2222::/32")))
_CACHED = max(
    one.cache_info().maxsize or 0
    for one in (host_state.parsed, host_state.network_of, host_state.is_unicast, decode._canonical_ipv6)
)
_CACHED_FEW = fingerprints._by_headers.cache_info().maxsize or 0
# Sources whose probes others could send too, and how many each sends.
_TWINS, _EACH = spoofed_twins._MAX_ROUNDS // 8, 8
# New sources come in at this pace, whatever was before; at the other, the gate is closed after a while.
_PACE_US, _HASTE_US = 2_100, 1_000
_HASTY = 4_000
_PORT = 40_000
_ALL = 100_000  # new sources a second: none waits


class FullTables:
    """Whole networks of real addresses, in both families, against a host with a network of each.

    Args:
        limits: of the sensor.
        share: the part of what no setting bounds that is sent.
    """

    def __init__(self, limits: Limits, share: int = 1) -> None:
        self._limits = limits
        self._share = share
        self._four = Sender(4)
        self._six = Sender(6, self._four.clock)
        self._sent = 0

    def pipeline(self) -> Pipeline:
        """A sensor that has seen all of it.

        Its settings are the defaults, but for the limits, for the rate of scan lines, which does not bind sources that
        proved their address, and for the rate of new sources, which is low again for those that wait.
        """
        settings = Settings(
            served=NAMED,
            limits=replace(self._limits, new_sources_per_second=_ALL),
            lines=Lines(scans_per_second=10_000),
        )
        own = frozenset(one.target(nth) for one in (self._four, self._six) for nth in range(HOSTS))
        engine = Pipeline(settings, HostState(own=own, home=_HOME, peers_known=False))
        engine._detection._judging._work = TokenBucket(Rate(1.0, _ALL), _ALL)  # and none that goes on
        feed(engine, self._old())
        self._pass(self._limits.memory_hours * 3600 + 1)
        feed(engine, self._caches(), self._fixed(), self._twins(), self._slow(), self._groups())
        scanners = self._new(self._limits.max_sources)
        feed(engine, self._fast(scanners), self._newcomers())
        self._pass(31)
        feed(engine, self._told(scanners), self._flows())
        accept(engine, self._six, flows._MAX_ACCEPTED // self._share)
        visit(engine, self._six, standing._MAX_NETWORKS // self._share)
        suspect(engine, self._six, bans._MAX_STACKS // self._share)
        spend(engine, self._six, rate_limit._MAX_NETWORKS // self._share)
        crowd(engine, self._six, admission._MAX_NETWORKS // self._share)
        neglect(engine, self._six, unreported_scans.MAX_SCANS // self._share)
        return hold(engine, self._six)

    def _new(self, count: int) -> range:
        """Numbers of sources that have not sent anything."""
        self._sent += count
        return range(self._sent - count, self._sent)

    def _pass(self, seconds: int) -> None:
        self._four.clock[0] += seconds * SECOND_US

    def _caches(self) -> Iterator[str]:
        """Every address is another: of sources, of ours, and of those who close what was never opened."""
        four, six = self._four, self._six
        ports = (_PORT, _PORT)
        for nth in range(_CACHED // self._share):
            yield six.segment(six.source(nth, nth), six.target(HOSTS + nth), ports, SYN, after_us=_PACE_US)
        for nth in range(_CACHED_FEW // self._share):
            ends = (four.source(nth, 1_000_000), four.target(HOSTS + nth))
            vlan, ttl = nth % VLANS, 255 - nth // VLANS
            yield four.segment(*ends, ports, SYN, window=nth, vlan=vlan, ttl=ttl, after_us=_PACE_US)
        for nth in range(_CACHED // self._share):
            yield six.segment(six.source(nth, 1_000_000 + nth), six.target(), ports, FIN | ACK)

    def _old(self) -> Iterator[str]:
        """So many attempts each that others take the place of these sources only when they are old."""
        six, outcomes = self._six, outbound_table.MAX_OUTCOMES // self._share
        yield from each(range(expectation._MAX_REFUSED // self._share), lambda nth: six.late(nth, REFUSED))
        yield from each(range(HOSTS), lambda host: six.look_up(host, outcomes))
        yield from each(range(HOSTS), lambda host: six.scan(host, range(host * outcomes, (host + 1) * outcomes)))

    def _fixed(self) -> Iterator[str]:
        four, six, ours = self._four, self._six, self._six.target()
        strangers = self._new(self._limits.max_flows)
        yield from each(range(expectation._MAX_CONTACTS // self._share), six.ask)
        yield from each(range(served_ports._MAX_LEARNED // self._share), four.discovered)
        yield from each(range(expectation._MAX_SERVERS), six.question)
        yield from (six.datagram(six.source(nth), ours, after_us=_PACE_US) for nth in range(icmp_errors._MAX_LATEST))
        yield from each(strangers, four.stray)
        yield from each(strangers, four.ask)
        yield from each(strangers, four.late)
        yield from each(range(expectation._MAX_EXCUSED_SOURCES // self._share), lambda nth: six.stream(nth, EXCUSED))
        yield from each(range(expectation._MAX_SOCKETS // self._share), six.send)
        yield from each(range(expectation._MAX_SWEEPS // self._share), six.sweep)
        yield from each(range(route_probes._MAX_RUNS // self._share), six.trace)

    def _twins(self) -> Iterator[str]:
        """Fewer sources than there is room for would take long enough: each has several."""
        return each(self._new(_TWINS // self._share), lambda nth: self._four.fat(nth, _EACH))

    def _slow(self) -> Iterator[str]:
        """A port of some host now and then, more than it takes to be called slow."""
        sources = self._new(self._limits.max_sources)
        yield from each(sources, self._four.newcomer)
        yield from each(sources, self._four.looks)
        for port in range(1, 10):
            self._pass(30)
            for nth in sources:
                yield from self._four.refused(self._four.source(nth), [nth % HOSTS * PORTS + port])

    def _groups(self) -> Iterator[str]:
        return each(range(self._limits.max_sources), self._six.group)

    def _fast(self, scanners: range) -> Iterator[str]:
        return each(scanners, self._scan)

    def _scan(self, nth: int) -> Iterator[str]:
        """Make more attempts than those before, whose places it takes, and leave room for others' attempts."""
        # Who finds many ports served needs more of the others for a scan: a fourth of them finds none.
        four, served = self._four, SERVED[LOOKS:] if nth % 4 else ()
        before = chain(four.newcomer(nth), four.looks(nth), four.tour(nth, served))
        return chain(before, four.refused(four.source(nth), range(1, 9)))

    def _newcomers(self) -> Iterator[str]:
        sources = self._new(_HASTY + 2 * self._limits.max_sources)
        return each(sources, lambda nth: self._four.newcomer(nth, _HASTE_US))

    def _told(self, scanners: range) -> Iterator[str]:
        """They come back: now they are suppressed, and what they send is counted."""
        told = scanners[-scanners.start % 4 :: 4][: fast_path.MAX_SOURCES]
        yield from each(told, lambda nth: self._four.newcomer(nth, _PACE_US))
        yield from self._four.chorus(told, self._limits.max_held // 2 - 1)

    def _flows(self) -> Iterator[str]:
        """All within a second: answered ones, unanswered ones, and as many again of which nobody waits."""
        four, (visitor,) = self._four, self._new(1)
        src = four.source(visitor)
        ports = range(1_024, 1_024 + self._limits.max_flows)
        yield from four.known(visitor)
        yield from each(ports, lambda port: four.visit(src, port, answered=True))
        yield from (four.probe(src, 0, port=port) for port in ports)
        yield from each(ports, lambda port: four.visit(src, port, served=SERVED[1]))
