"""Tables of scans and of the lines about them."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from portsentry_py.config.settings import Detectors, Distributed, Limits, Lines, PortScan, Slow
from portsentry_py.core import bans, rate_limit, unreported_scans
from portsentry_py.core.finding import SCAN, Finding
from portsentry_py.core.packet import TCP, Packet
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.core.policy import Judgement
from portsentry_py.core.sighting import Kind, Sighting
from portsentry_py.core.source_record import Counts, Endpoint, SourceRecord, StackFingerprint
from tests.lab.bench.fillings.engine import PART, QUIET, SIZES, UNBOUND, WIDE, each, feed, small_engine
from tests.lab.bench.fillings.table import Table, fixed, length, of_parts, per_source
from tests.lab.bench.lines import SECOND_US, Sender

# No group is ever called a scanner.
_LONE = Distributed(min_sources=256)
_GROUP_PORTS = 2 * Distributed().min_ports
_ANY_PORT = 40_000
_LIMITED = (
    "_budget._networks",
    *(f"{name}.{part}" for name in ("_budget._verified", "_verified_lines") for part in ("_near", "_wide")),
)
_BUCKETS = tuple(f"_scans.{name}._buckets" for name in _LIMITED)


def _senders(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    engine = small_engine(sender)
    for stacks in (1, bans._MAX_STACKS):
        yield suspect(engine, sender, stacks)


def suspect(engine: Pipeline, sender: Sender, stacks: int) -> Pipeline:
    """Let as many networks as are kept share each stack."""
    budget, now_us = engine._scans._budget, sender.clock[0]
    for nth, network in product(range(stacks), range(bans._ONE_SENDER_NETWORKS)):
        record = SourceRecord("", "inbound", now_us, now_us, sender.source((nth << 5 | network) * WIDE))
        record.stacks = Counts({StackFingerprint(nth % 256, nth // 256): 1})
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
        address, now_us = sender.source(nth * WIDE), sender.clock[0]
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


def _ports_of_groups(engine: Pipeline) -> int:
    return sum(len(ports) for _, ports in engine._detection._groups._groups.items())


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
    per_source("sources with connection lines", "_detection._connection_limit._sources", _buckets),
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
