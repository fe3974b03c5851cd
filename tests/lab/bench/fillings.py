"""Every bounded table of the core, and how it is filled while all others stay small."""

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain, product
from operator import attrgetter
from types import ModuleType
from typing import Any

from portsentry_py.config.settings import Detectors, Distributed, Limits, Lines, PortScan, Served, Settings, Slow
from portsentry_py.core import (
    admission,
    bans,
    columns,
    decode,
    expectation,
    fast_path,
    fingerprints,
    flows,
    host_state,
    outbound_table,
    rate_limit,
    reflection,
    route_probes,
    served_ports,
    source_record,
    spoofed_twins,
    standing,
    unreported_scans,
)
from portsentry_py.core.columns import SharedCells
from portsentry_py.core.finding import SCAN, Finding
from portsentry_py.core.host_state import HostState
from portsentry_py.core.packet import SYN, TCP, Packet
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.core.policy import Judgement
from portsentry_py.core.sighting import Kind, Sighting
from portsentry_py.core.source_record import Endpoint, SourceRecord, StackFingerprint
from portsentry_py.events import model
from tests.lab.bench.lines import HOSTS, LATE_US, LOOKS, SECOND_US, SERVED, SWEPT, VLANS, Sender

NAMED = Served(tcp=frozenset(SERVED), udp=frozenset({SWEPT}))
# Nobody is a scanner, no line is written, no group is made.
QUIET = Settings(profile="portanoia", connections="off", served=NAMED)
# No group is ever called a scanner.
_LONE = Distributed(min_sources=256)
_GROUP_PORTS = 2 * Distributed().min_ports
UNBOUND = 1 << 40
PART = 8
_DAY_US = 86_400 * SECOND_US
# Sources that are so far apart are of unrelated networks.
_WIDE = 0xF000
_ANY_PORT = 40_000
_FEW_LINES = 1_000
REFUSED = range(expectation._MAX_LATE_PORTS + expectation._SCAN_PORTS)
EXCUSED = range(expectation._MAX_EXCUSED)

Held = Callable[[Pipeline], int]
Bound = Callable[[Limits], int]
Fill = Callable[[Sender, Limits], Iterator[Pipeline]]
"""Gives an engine twice: before the table is filled, and when it is full."""
SIZES = {
    name: int(getattr(module, name))
    for module, name in (
        (spoofed_twins, "_MAX_ROUNDS"),
        (served_ports, "_MAX_LEARNED"),
        (flows, "_MAX_LATEST"),
        (flows, "_MAX_ACCEPTED"),
        (expectation, "_MAX_SERVERS"),
        (expectation, "_MAX_CONTACTS"),
        (expectation, "_MAX_REFUSED"),
        (expectation, "_MAX_SOCKETS"),
        (reflection, "_MAX_REFLECTORS"),
        (expectation, "_MAX_EXCUSED_SOURCES"),
        (expectation, "_MAX_SWEEPS"),
        (outbound_table, "_MAX_SOURCES"),
        (outbound_table, "_MAX_KNOWN"),
        (route_probes, "_MAX_RUNS"),
        (unreported_scans, "MAX_SCANS"),
    )
}
"""Bounds that no setting changes."""
_LIMITED = (
    "_budget._networks",
    *(f"{name}.{part}" for name in ("_budget._verified", "_verified_lines") for part in ("_near", "_wide")),
)
_BUCKETS = tuple(f"_scans.{name}._buckets" for name in _LIMITED)


@dataclass(frozen=True)
class Table:
    """A bounded table, or what its entries may hold.

    Args:
        name: what its entries are.
        bounded_by: how the page names its bound.
        bound: its entries under given limits.
        held: its entries now.
        fill: fills it, and nothing else.
        at: the paths from the engine to what it stands for.
        inside: attributes of entries, and functions with a cache, that it stands for.
        filled: how many entries `fill` makes, where all would take too long.
        version: of IP, whose addresses make the fatter entries.
    """

    name: str
    bounded_by: str
    bound: Bound
    held: Held
    fill: Fill
    at: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()
    filled: Bound | None = None
    version: int = 4


def feed(engine: Pipeline, *parts: Iterable[str]) -> Pipeline:
    """Feed it with lines; whatever it says of them is of no interest."""
    deque(engine.feed(chain(*parts)), maxlen=0)
    return engine


def each(numbers: Iterable[int], lines_of: Callable[[int], Iterable[str]]) -> Iterator[str]:
    """The lines of one after the other."""
    return chain.from_iterable(map(lines_of, numbers))


def small_engine(sender: Sender, settings: Settings = QUIET, *, but: str = "", **limits: int) -> Pipeline:
    """An engine whose other tables and caches stay small."""
    _keep_small(but)
    small = {"max_sources": 1, "max_flows": 1, "max_held": 2}
    unbound = {"max_attempts": UNBOUND, "new_sources_per_second": UNBOUND}
    own = HostState(own=frozenset(map(sender.target, range(HOSTS))), peers_known=False)
    return Pipeline(replace(settings, limits=Limits(**{**small, **unbound, **limits})), own)


def _keep_small(but: str) -> None:
    """Bound the caches, and what no setting bounds; this process cannot be used for anything else then."""
    for module in [one for name, one in sys.modules.items() if name.startswith("portsentry_py.")]:
        for name, found in list(vars(module).items()):
            if name != but and name in SIZES:
                setattr(module, name, 1)
            elif name != but and hasattr(found, "cache_info"):
                setattr(module, name, lru_cache(maxsize=HOSTS)(found.__wrapped__))


def again(engine: Pipeline, bound: int, lines_of: Callable[[int], Iterable[str]]) -> Iterator[Pipeline]:
    """Fill it one and a half times: a table that lets entries go has more room than one that only grew."""
    for numbers in (range(1), range(1, 3 * bound // 2)):
        yield feed(engine, each(numbers, lines_of))


def instead(engine: Pipeline, before: Iterable[str], *after: Iterable[str]) -> Iterator[Pipeline]:
    """What the entries need is full before, and is as full of others behind."""
    yield feed(engine, before)
    yield feed(engine, *after)


def _newcomers(sender: Sender, limits: Limits) -> Iterator[Pipeline]:
    return again(small_engine(sender, max_sources=limits.max_sources), limits.max_sources, sender.newcomer)


def _known(sender: Sender, limits: Limits) -> Iterator[Pipeline]:
    return again(small_engine(sender, max_sources=limits.max_sources), limits.max_sources, sender.known)


def _attempts(sender: Sender, limits: Limits) -> Iterator[Pipeline]:
    return again(small_engine(sender, max_attempts=limits.max_attempts), limits.max_attempts, sender.prober)


def _opened(sender: Sender, limits: Limits) -> Iterator[Pipeline]:
    """As many as the looks have are there before: those were served too."""
    some = range(limits.max_sources // PART)
    engine = small_engine(sender, max_sources=len(some))
    before = each(some, lambda nth: sender.tour(nth, SERVED[:LOOKS]))
    after = each(some, lambda nth: sender.tour(nth, SERVED[LOOKS:]))
    return instead(engine, chain(each(some, sender.known), before), after)


def _looked(sender: Sender, limits: Limits) -> Iterator[Pipeline]:
    everybody = range(limits.max_sources)
    engine = small_engine(sender, max_sources=limits.max_sources)
    return instead(engine, each(everybody, sender.known), each(everybody, sender.looks))


def _twins(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    return again(small_engine(sender, but="_MAX_ROUNDS"), SIZES["_MAX_ROUNDS"], sender.twin)


def _inbound(sender: Sender, limits: Limits) -> Iterator[Pipeline]:
    def visit(nth: int) -> Iterator[str]:
        return sender.visit(sender.source(nth), answered=True, after_us=LATE_US)

    return again(small_engine(sender, max_flows=limits.max_flows), limits.max_flows, visit)


def _outbound(sender: Sender, limits: Limits) -> Iterator[Pipeline]:
    return again(small_engine(sender, max_flows=limits.max_flows), limits.max_flows, sender.ask_again)


def _asked(sender: Sender, limits: Limits) -> Iterator[Pipeline]:
    """The flows are there before, and as many others behind: all to one address."""
    engine, numbers = small_engine(sender, max_flows=limits.max_flows), range(limits.max_flows)
    before, behind = (each(numbers, sender.ask_again) for _ in range(2))
    return instead(engine, before, each(numbers, lambda nth: sender.ask(nth, LATE_US)), behind)


def _pending(sender: Sender, limits: Limits) -> Iterator[Pipeline]:
    return _pushed_out(sender, limits, lambda nth: [sender.probe(sender.source(nth), 0)])


def _handshakes(sender: Sender, limits: Limits) -> Iterator[Pipeline]:
    return _pushed_out(sender, limits, lambda nth: sender.visit(sender.source(nth), answered=True))


def _pushed_out(sender: Sender, limits: Limits, of: Callable[[int], Iterable[str]]) -> Iterator[Pipeline]:
    """Flows that nobody has but who waits for their outcome: the table of flows is full of others."""
    engine, numbers = small_engine(sender, max_flows=limits.max_flows), range(limits.max_flows)
    before, after = (each(numbers, lambda nth: sender.visit(sender.source(nth))) for _ in range(2))
    return instead(engine, before, each(numbers, of), after)


def _strays(sender: Sender, limits: Limits) -> Iterator[Pipeline]:
    return again(small_engine(sender, max_flows=limits.max_flows), limits.max_flows, sender.stray)


def _servers(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    return again(small_engine(sender, but="_MAX_SERVERS"), SIZES["_MAX_SERVERS"], sender.question)


def _contacts(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    return again(small_engine(sender, but="_MAX_CONTACTS"), SIZES["_MAX_CONTACTS"], sender.ask)


def _late(sender: Sender, limits: Limits) -> Iterator[Pipeline]:
    return again(small_engine(sender, max_flows=limits.max_flows), limits.max_flows, sender.late)


def _refused(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    engine = small_engine(sender, but="_MAX_REFUSED")
    return again(engine, SIZES["_MAX_REFUSED"], lambda nth: sender.late(nth, REFUSED))


def _sockets(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    return again(small_engine(sender, but="_MAX_SOCKETS"), SIZES["_MAX_SOCKETS"], sender.send)


def _reflectors(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    def answers(nth: int) -> list[str]:
        return [sender.datagram(sender.source(nth), sender.target()) for _ in range(4)]

    return again(small_engine(sender, but="_MAX_REFLECTORS"), SIZES["_MAX_REFLECTORS"], answers)


def _excused(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    """A part of the sources, as many streams as can be of each."""
    engine = small_engine(sender, but="_MAX_EXCUSED_SOURCES")
    for numbers in (range(1), range(1, SIZES["_MAX_EXCUSED_SOURCES"] // PART)):
        yield feed(engine, each(numbers, lambda nth: sender.stream(nth, EXCUSED)))


def _unasked(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    return again(small_engine(sender, but="_MAX_SWEEPS"), SIZES["_MAX_SWEEPS"], sender.sweep)


def _outcomes(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    """Every host of ours asks as much as is kept."""
    engine, most = small_engine(sender, but="_MAX_SOURCES"), outbound_table.MAX_OUTCOMES
    yield feed(engine, sender.look_up(0, 1), sender.scan(0, range(1)))
    names = each(range(HOSTS), lambda host: sender.look_up(host, most))
    yield feed(engine, names, each(range(HOSTS), lambda host: sender.scan(host, range(host * most, (host + 1) * most))))


def _answering(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    return again(small_engine(sender, but="_MAX_KNOWN"), SIZES["_MAX_KNOWN"], sender.ask)


def _routes(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    return again(small_engine(sender, but="_MAX_RUNS"), SIZES["_MAX_RUNS"], sender.trace)


def _standing(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    engine = small_engine(sender)
    for networks in (1, standing._MAX_NETWORKS // PART):
        yield visit(engine, sender, networks)


def visit(engine: Pipeline, sender: Sender, networks: int) -> Pipeline:
    """Let neighbours in each network have sessions on different days, with a stack each day."""
    for day in range(standing.MAX_DAYS):
        for nth, neighbour in product(range(networks), range(standing._MAX_NEIGHBOURS)):
            address, now_us = f"{sender.source(nth)[:-1]}{neighbour}", sender.clock[0] + day * _DAY_US + nth
            engine._standing.note_session(address, StackFingerprint(day, 20), now_us)
    return engine


def _senders(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    engine = small_engine(sender)
    for stacks in (1, bans._MAX_STACKS):
        yield suspect(engine, sender, stacks)


def suspect(engine: Pipeline, sender: Sender, stacks: int) -> Pipeline:
    """Let as many networks as are kept share each stack."""
    budget, now_us = engine._scans._budget, sender.clock[0]
    for nth, network in product(range(stacks), range(bans._ONE_SENDER_NETWORKS)):
        record = SourceRecord("", "inbound", now_us, now_us, sender.source((nth << 5 | network) * _WIDE))
        record.stacks[StackFingerprint(nth % 256, nth // 256)] = 1
        budget._is_one_sender(record, now_us + network)
    return engine


def _budgets(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    engine = small_engine(sender)
    for networks in (1, rate_limit._MAX_NETWORKS * 3 // 2):
        yield spend(engine, sender, networks)


def spend(engine: Pipeline, sender: Sender, networks: int) -> Pipeline:
    """Give each network its budgets of bans and lines."""
    scans = engine._scans
    for nth in range(networks):
        address, now_us = sender.source(nth * _WIDE), sender.clock[0]
        scans._budget._networks.of(address).take(now_us)
        for buckets in (scans._budget._verified, scans._verified_lines):
            buckets.take(address, now_us)
    return engine


def _unreported(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    engine = small_engine(sender, but="MAX_SCANS")
    for some in (1, SIZES["MAX_SCANS"] * 3 // 2):
        yield neglect(engine, sender, some)


def neglect(engine: Pipeline, sender: Sender, some: int) -> Pipeline:
    """Let scans have no line, each of which has just enough attempts to be remembered."""
    for nth in range(some):
        source, now_us = sender.source(nth), sender.clock[0]
        record = SourceRecord(source, "inbound", now_us, now_us, source)
        probes = [_sighting(sender, nth, port) for port in range(unreported_scans.LEAST_WEIGHT)]
        for probe in probes:
            record.attempt(Endpoint(probe.target, "tcp", probe.port), probe)
        finding = Finding("port_scan", probes[-1], record, "syn", True, "ports_in_window")
        judgement = Judgement(finding, "ban", "ports_in_window")
        engine._scans._unreported.note((source, "inbound", SCAN), judgement, now_us)
    return engine


def _sighting(sender: Sender, nth: int, port: int) -> Sighting:
    packet = Packet(sender.clock[0], sender.source(nth), sender.target(), TCP, _ANY_PORT, port)
    return Sighting(Kind.PROBE, packet.time_us, packet.src, packet.dst, port, "tcp", "syn", "inbound", packet)


def _banned(sender: Sender, limits: Limits) -> Iterator[Pipeline]:
    engine = small_engine(sender, max_sources=limits.max_sources)
    for sources in (1, limits.max_sources * 3 // 2):
        for nth in range(sources):
            engine._scans._note_verdict(f"{sender.source(nth)[:19]}::/64", bans=True)
        yield engine


def _latest(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    def datagram(nth: int) -> Iterator[str]:
        yield sender.datagram(sender.source(nth), sender.target())

    return again(small_engine(sender, but="_MAX_LATEST"), SIZES["_MAX_LATEST"], datagram)


def _replies(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    def reply(nth: int) -> Iterator[str]:
        yield sender.datagram(sender.source(nth), sender.target(), (53, 2_000))

    return again(small_engine(sender, but="_MAX_LATEST"), SIZES["_MAX_LATEST"], reply)


def accept(engine: Pipeline, sender: Sender, visitors: int) -> None:
    """An open trap accepted visitors whose handshakes are not captured yet."""
    for nth in range(visitors):
        deque(engine.accepted(sender.source(nth), nth, sender.target(), 11, 1), maxlen=0)


def _accepted(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    engine = small_engine(sender, but="_MAX_ACCEPTED")
    for visitors in (1, SIZES["_MAX_ACCEPTED"] * 3 // 2):
        accept(engine, sender, visitors)
        yield engine


def _learned(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    return again(small_engine(sender, but="_MAX_LEARNED"), SIZES["_MAX_LEARNED"], sender.discovered)


def _waiting(sender: Sender, limits: Limits) -> Iterator[Pipeline]:
    engine = small_engine(sender, max_held=limits.max_held, new_sources_per_second=1)
    yield feed(engine, (sender.probe(sender.source(nth), 0, after_us=0) for nth in range(3)))
    yield hold(engine, sender)


def hold(engine: Pipeline, sender: Sender) -> Pipeline:
    """Let sources wait until there is no room: those that asked for two things, then those that asked for one."""
    waiting, nth = engine._admission, 1 << 20
    waiting._new, waiting._enough = admission._Tokens(1), admission._Tokens(1)
    feed(engine, (sender.probe(sender.source(nth), 0, after_us=0) for nth in range(nth - 2, nth)))
    while waiting._again_size < waiting._max_size - _FEW_LINES:
        feed(engine, (sender.probe(sender.source(nth), what, after_us=0) for what in range(2)))
        nth += 1
    while not waiting._older or waiting._size < waiting._max_size - _FEW_LINES:
        feed(engine, [sender.probe(sender.source(nth), 0, after_us=0)])
        nth += 1
    return engine


def _held(engine: Pipeline) -> int:
    """The lines that wait, as if they had the usual size."""
    waiting = engine._admission
    once = sum(map(len, (*waiting._newer.values(), *waiting._older.values())))
    return (once + waiting._again_size) // admission._CHARACTERS


def _told(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    engine = small_engine(sender)
    for some in (1, fast_path.MAX_SOURCES):
        yield _tell(engine, sender, some)


def _counted(sender: Sender, limits: Limits) -> Iterator[Pipeline]:
    engine, told = small_engine(sender, max_held=limits.max_held), fast_path.MAX_SOURCES
    yield _tell(engine, sender, told)
    yield feed(engine, sender.chorus(range(told), limits.max_held // 2 - 1))


def _tell(engine: Pipeline, sender: Sender, some: int) -> Pipeline:
    for nth in range(some):
        engine._suppressed.suppress(engine._flows.source_of(sender.source(nth)), sender.clock[0] + 60 * SECOND_US)
    return engine


def _fast(sender: Sender, limits: Limits) -> Iterator[Pipeline]:
    return _scans(sender, limits, Detectors(port_scan=PortScan(min_ports=3), distributed=_LONE))


def _slow(sender: Sender, limits: Limits) -> Iterator[Pipeline]:
    slow = Slow(alpha=0.1, min_seconds=0)
    return _scans(sender, limits, Detectors(PortScan(min_ports=128), slow=slow, distributed=_LONE))


def _scans(sender: Sender, limits: Limits, detectors: Detectors) -> Iterator[Pipeline]:
    """The records are there before: of others, who did the same when there was no detector."""
    paced = Lines(repeat_seconds=1, quiet_seconds=UNBOUND, slow_quiet_seconds=UNBOUND)
    engine = small_engine(sender, replace(QUIET, lines=paced), max_sources=limits.max_sources)

    def scan(nth: int) -> Iterator[str]:
        return sender.refused(sender.source(nth), range(4), after_us=SECOND_US)

    yield feed(engine, each(range(limits.max_sources), scan))
    engine.set_settings(replace(QUIET, profile="default", detectors=detectors))
    yield feed(engine, each(range(limits.max_sources, 2 * limits.max_sources), scan))


def _groups(sender: Sender, limits: Limits) -> Iterator[Pipeline]:
    """The sources are there before: no detector asked who they were."""
    some = replace(limits, max_sources=limits.max_sources // PART)
    engine, networks = small_engine(sender, max_sources=some.max_sources), range(2 * some.max_sources)
    yield feed(engine, each(networks, sender.group))
    lone = Detectors(distributed=_LONE)
    engine.set_settings(replace(QUIET, profile="default", detectors=lone, limits=some))
    yield feed(engine, each(networks, sender.group))


def _buckets(sender: Sender, limits: Limits) -> Iterator[Pipeline]:
    """The sources are there before: no line was written about them."""
    engine, sources = small_engine(sender, max_sources=limits.max_sources), range(2 * limits.max_sources)
    yield feed(engine, each(sources, sender.known))
    engine.set_settings(replace(QUIET, connections="unserved"))
    yield feed(engine, each(sources, sender.known))


def _known_records(engine: Pipeline) -> Iterator[SourceRecord]:
    return (record for _, record in engine._sources._known.items())


def _further(engine: Pipeline) -> int:
    records = engine._sources
    return records.attempts - 2 * len(records._known) - len(records._newcomers)


def _ports_of_groups(engine: Pipeline) -> int:
    return sum(len(ports) for _, ports in engine._groups._groups.items())


def length(*paths: str) -> Held:
    return lambda engine: sum(len(attrgetter(path)(engine)) for path in paths)


def per_source(name: str, path: str, fill: Fill, *inside: str) -> Table:
    """A table with room for as many sources as there may be."""
    return Table(name, "`max_sources`", max_sources, length(path), fill, (path,), inside)


def max_sources(limits: Limits) -> int:
    return limits.max_sources


def per_flow(name: str, path: str, fill: Fill) -> Table:
    """A table with room for as many flows as there may be."""
    return Table(name, "`max_flows`", lambda limits: limits.max_flows, length(path), fill, (path,))


def of_parts(
    name: str, size: int, parts: int, path: str, fill: Fill, *inside: str, share: int = 1, held_in: str = ""
) -> Table:
    """A table whose bound cannot be set, of entries with so many parts; a share of it is filled."""

    def held(engine: Pipeline) -> int:
        entries = (entry for _, entry in attrgetter(path)(engine).items())
        return sum(len(getattr(entry, held_in) if held_in else entry) for entry in entries)

    filled = size * parts // share
    bounded_by = f"{parts} x {size:,}"
    return Table(name, bounded_by, lambda _: size * parts, held, fill, (path,), inside, lambda _: filled, version=6)


def fixed(name: str, bound: str, path: str, fill: Fill, *beside: str, version: int = 4) -> Table:
    """A table whose bound cannot be set."""
    size = SIZES[bound]
    return Table(name, f"{size:,}", lambda _: size, length(path), fill, (path, *beside), version=version)


def _addresses(sender: Sender, nth: int) -> tuple[Any, ...]:
    return (sender.source(nth, nth),)


def _pair(sender: Sender, nth: int) -> Endpoint:
    return Endpoint(sender.target(nth), "tcp", nth)


def _cells(_sender: Sender, nth: int) -> tuple[Any, ...]:
    vlan, ttl = str(nth % VLANS), str(255 - nth // VLANS)
    return ("\t".join(SharedCells("6", "0", "0", "", vlan, "interface-name0", ttl)),)


def _cached(
    name: str,
    module: ModuleType,
    function: str,
    arguments: Callable[[Sender, int], tuple[Any, ...]] = _addresses,
    beside: tuple[str, ...] = (),
) -> Table:
    cached = getattr(module, function)
    size: int = cached.cache_info().maxsize

    def fill(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
        engine = small_engine(sender, but=function)
        for numbers in (range(1), range(3 * size // 2)):
            for nth in numbers:
                cached(*arguments(sender, nth))
            yield engine

    def held(_engine: Pipeline) -> int:
        return int(cached.cache_info().currsize)

    inside = (f"{module.__name__}.{function}", *beside)
    return Table(f"cache: {name}", f"{size:,}", lambda _: size, held, fill, inside=inside, version=6)


def _caches(name: str, argument: Callable[[Sender, int], str], *paths: str, inside: tuple[str, ...]) -> Table:
    """Caches of an engine."""

    def infos(engine: Pipeline) -> list[Any]:
        return [attrgetter(path)(engine).cache_info() for path in paths]

    size = sum(info.maxsize for info in infos(Pipeline(Settings(), HostState())))

    def fill(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
        engine = small_engine(sender)
        for numbers in (range(1), range(3 * size // 2)):
            for nth, path in product(numbers, paths):
                attrgetter(path)(engine)(argument(sender, nth))
            yield engine

    def held(engine: Pipeline) -> int:
        return sum(info.currsize for info in infos(engine))

    return Table(f"cache: {name}", f"{size:,}", lambda _: size, held, fill, inside=inside, version=6)


SOURCES = (
    per_source("sources with one attempt, and it", "_sources._newcomers", _newcomers),
    per_source("sources with two attempts, and these", "_sources._known", _known, "SourceTable._of_network"),
    Table(
        "further attempts",
        "`max_attempts`, less those",
        lambda limits: limits.max_attempts - 3 * limits.max_sources,
        _further,
        _attempts,
        inside=("SourceRecord.unserved", "SourceRecord.targets"),
        filled=lambda limits: limits.max_attempts,
    ),
    Table(
        "what a source looks like, and its proofs",
        "`max_sources`",
        max_sources,
        lambda engine: sum(len(record.stacks) >= LOOKS for record in _known_records(engine)),
        _looked,
        inside=tuple(f"SourceRecord.{name}" for name in ("types", "tools", "stacks")),
    ),
    Table(
        "ports that were served to a source, less those of its proofs",
        f"{source_record.MAX_OPENED - LOOKS} x `max_sources`",
        lambda limits: (source_record.MAX_OPENED - LOOKS) * limits.max_sources,
        lambda engine: sum(max(0, len(record.opened) - LOOKS) for record in _known_records(engine)),
        _opened,
        filled=lambda limits: (source_record.MAX_OPENED - LOOKS) * (limits.max_sources // PART),
    ),
    Table(
        "twins: probes that others could send too",
        f"{SIZES['_MAX_ROUNDS']:,}",
        lambda _: SIZES["_MAX_ROUNDS"],
        length("_sources._twins._rounds"),
        _twins,
        ("_sources._twins._rounds",),
        inside=("_Round.counts",),
    ),
    of_parts(
        "addresses that had sessions",
        standing._MAX_NETWORKS,
        standing._MAX_NEIGHBOURS,
        "_standing._networks",
        _standing,
        share=PART,
    ),
)

SCANS = (
    per_source("scans", "_scans._fast", _fast, "Scan.reported_types"),
    per_source("slow scans", "_scans._slow", _slow),
    fixed("scans without a line", "MAX_SCANS", "_scans._unreported._scans", _unreported, "_scans._unreported._lines"),
    per_source("banned sources", "_scans._banned", _banned),
    Table(
        "ports that a network or a tool asked for",
        f"{_GROUP_PORTS} x `max_sources`",
        lambda limits: _GROUP_PORTS * limits.max_sources,
        _ports_of_groups,
        _groups,
        inside=("GroupTable._groups",),
        filled=lambda limits: _GROUP_PORTS * (limits.max_sources // PART),
        version=6,
    ),
    per_source("sources with connection lines", "_connection_limit._sources", _buckets),
    of_parts(
        "networks of a stack and distance",
        bans._MAX_STACKS,
        bans._ONE_SENDER_NETWORKS,
        "_scans._budget._senders",
        _senders,
    ),
    Table(
        "networks with a budget of bans and lines",
        f"{len(_BUCKETS)} x {rate_limit._MAX_NETWORKS:,}",
        lambda _: len(_BUCKETS) * rate_limit._MAX_NETWORKS,
        length(*_BUCKETS),
        _budgets,
        _BUCKETS,
        version=6,
    ),
)

FLOWS = (
    per_flow("flows to us", "_flows._inbound", _inbound),
    per_flow("flows from us", "_flows._outbound", _outbound),
    fixed(
        "routes to us that others measure",
        "_MAX_RUNS",
        "_flows._routes._runs",
        _routes,
        "_flows._routes._targets._excused",
        version=6,
    ),
    per_flow("other flows whose answer is awaited", "_flows._pending", _pending),
    per_flow("other flows that may last, in a replay", "_flows._open", _handshakes),
    per_flow("segments of no flow", "_flows._strays", _strays),
    fixed("latest attempts over IPv6, but for TCP", "_MAX_LATEST", "_flows._latest", _latest, version=6),
    fixed("latest reply-looking datagrams over IPv6", "_MAX_LATEST", "_flows._replies", _replies, version=6),
    fixed("connections that a trap accepted", "_MAX_ACCEPTED", "_flows._accepted", _accepted, version=6),
    fixed("ports that answered", "_MAX_LEARNED", "_flows.served._learned", _learned, "_flows.served.numbers"),
)

EXPECTED = (
    per_flow("addresses that we asked", "_flows.expected._queried", _asked),
    per_flow("addresses whose late packets we reset, and their ports", "_flows.expected._late", _late),
    fixed("sockets of ours that sent a datagram", "_MAX_SOCKETS", "_flows.expected._sockets", _sockets, version=6),
    replace(
        fixed(
            "sources that may be reflectors",
            "_MAX_REFLECTORS",
            "_flows.expected.reflection._reflectors",
            _reflectors,
            version=6,
        ),
        inside=("_Crowd._ones", "_Crowd._packets"),
    ),
    of_parts(
        "ports that are excused",
        SIZES["_MAX_EXCUSED_SOURCES"],
        expectation._MAX_EXCUSED,
        "_flows.expected._excused._excused",
        _excused,
        share=PART,
        held_in="things",
    ),
    of_parts(
        "unasked datagrams between client ports",
        SIZES["_MAX_SWEEPS"],
        expectation._MAX_SWEPT,
        "_flows.expected._unasked",
        _unasked,
    ),
    of_parts(
        "outcomes of what our hosts asked others, and their names",
        SIZES["_MAX_SOURCES"],
        outbound_table.MAX_OUTCOMES,
        "_outbound._hosts",
        _outcomes,
        *("Asked._outcomes", "Asked._counts", "Asked._lookups"),
        share=SIZES["_MAX_SOURCES"] // HOSTS,
    ),
    fixed(
        "hosts that answered us, and their ports",
        "_MAX_KNOWN",
        "_outbound._known_hosts",
        _answering,
        "_outbound._known_ports",
        version=6,
    ),
    fixed("servers that answered us", "_MAX_SERVERS", "_flows.expected._servers", _servers, version=6),
    fixed("networks of peers", "_MAX_CONTACTS", "_flows.expected._contact_networks", _contacts, version=6),
    fixed("peers of connections", "_MAX_CONTACTS", "_flows.expected._contacts", _contacts, version=6),
    of_parts(
        "reply-looking probes that we refused",
        SIZES["_MAX_REFUSED"],
        expectation._SCAN_PORTS,
        "_flows.expected._refused",
        _refused,
        "_Refused.probes",
        held_in="probes",
    ),
)

ADMISSION = (
    Table(
        "lines of sources that wait, of the usual size",
        "`max_held`",
        lambda limits: limits.max_held,
        _held,
        _waiting,
        ("_admission._newer", "_admission._older", "_admission._again"),
        ("_Waiting.asked",),
        version=6,
    ),
    Table(
        "scanners whose probes are counted",
        f"{fast_path.MAX_SOURCES:,}",
        lambda _: fast_path.MAX_SOURCES,
        length("_suppressed.sources"),
        _told,
        ("_suppressed.sources",),
        version=6,
    ),
    Table(
        "counted probes, by port",
        "`max_held` / 2",
        lambda limits: limits.max_held // 2,
        attrgetter("_suppressed.ports"),
        _counted,
        inside=("ProbeCounts.times", "ProbeCounts.last", "ProbeCounts.refused"),
        version=6,
    ),
)

CACHES = (
    _cached("addresses as objects", host_state, "parsed"),
    _cached("networks of addresses", host_state, "network_of"),
    _cached("networks of one owner or provider", host_state, "wide_network_of", beside=("NetworkBuckets._network_of",)),
    _cached(
        "networks that may scan together",
        host_state,
        "groups_of",
        lambda sender, nth: (f"{_addresses(sender, nth)[0][:19]}::/64",),
    ),
    _cached("addresses that can be one host's", host_state, "is_unicast"),
    _cached("canonical IPv6 addresses", decode, "_canonical_ipv6"),
    _cached("addresses that packets go to", decode, "_canonical_target"),
    _cached("ports that somebody serves", source_record, "_shared", lambda sender, nth: (_pair(sender, nth),)),
    _cached("addresses as numbers", fingerprints, "_address"),
    _caches(
        "which addresses are ours",
        lambda sender, nth: sender.target(nth),
        "_is_home",
        "_flows._is_in_home_network",
        inside=("Pipeline._is_home", "Admission._is_home", "FlowTable._is_in_home_network"),
    ),
    _caches(
        "which addresses are one host",
        lambda sender, nth: sender.target(nth),
        "_questions.host_of",
        inside=("Questions.host_of",),
    ),
    _caches("known scanners", lambda sender, nth: sender.source(nth), "_known.of", inside=("KnownScanners.of",)),
    _caches(
        "sources of addresses",
        lambda sender, nth: sender.source(nth),
        "_source_of",
        "_flows._source_of",
        inside=tuple(f"{name}._source_of" for name in ("Pipeline", "Admission", "SuppressedSources", "FlowTable")),
    ),
    _cached("tools", fingerprints, "_by_headers", lambda _, nth: (TCP, SYN, nth, 60, f"{nth:040d}".encode())),
    _cached("seconds as text", model, "_second", lambda _, nth: (nth,)),
    _cached("columns that many lines share", decode, "_shared", _cells),
    _cached("transports of lines", columns, "_transport", _cells),
)

TABLES = (*SOURCES, *SCANS, *FLOWS, *EXPECTED, *ADMISSION, *CACHES)
