"""The benchmarks in miniature: that they measure and their counts add up; never how fast anything is."""

import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from inspect import signature
from itertools import chain
from multiprocessing import get_context
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from portsentry_py.config.settings import Limits, Settings
from portsentry_py.core.decode import decode
from portsentry_py.core.host_state import HostState
from portsentry_py.core.lru_table import LruTable
from portsentry_py.core.packet import Packet
from portsentry_py.core.pipeline import Pipeline
from tests.lab.bench import (
    banned,
    bulk,
    core,
    costliest,
    delay,
    entries,
    hidden,
    live,
    memory,
    rates,
    replay,
    state,
    visits,
    worst,
)
from tests.lab.bench.fillings.table import Table
from tests.lab.bench.fillings.tables import TABLES
from tests.lab.bench.lines import Sender
from tests.lab.bench.programs import Counts, given_peer
from tests.lab.bench.saturation import FullTables
from tests.support import frames, workloads
from tests.support.frames import Link
from tests.support.needs import require_wire
from tests.support.running import fields
from tests.support.tcpreplay import Sent

PACKETS = 3_000
COUNTER = "counter=dumpcap -q -i $IFACE -f tcp -P -w - | od -v -w90"


def wire(*tools: str) -> None:
    require_wire("tshark", "dumpcap", *tools)


@pytest.mark.parametrize("kind", [*workloads.REPLAYED.values(), workloads.strangers])
def test_the_captures_are_whole_and_the_same_every_time(tmp_path: Path, kind: workloads.Frames) -> None:
    path = frames.write(tmp_path / "one.pcap", kind(PACKETS, Link()), 1_000)
    again = frames.write(tmp_path / "two.pcap", kind(PACKETS, Link()), 1_000)
    assert path.read_bytes() == again.read_bytes()
    checks = ("-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE")
    rows = fields(path, ("ip.src", "ip.checksum.status", "tcp.checksum.status"), *checks)
    assert len(rows) == PACKETS
    assert {tuple(row[1:]) for row in rows} == {("1", "1")}
    if kind is workloads.strangers:
        assert len({row[0] for row in rows}) == PACKETS


@pytest.mark.slow
@pytest.mark.wire
def test_replay() -> None:
    wire()
    name, kind = next(iter(workloads.REPLAYED.items()))
    rows = replay.measure(PACKETS, 1, {name: kind})
    others = replay.pyshark(20, {name: kind})

    assert others[name].packets == 20
    assert all(run.cpu_seconds > 0 for row in rows for run in (*row.bare, *row.sensor))
    weights = [weight for row in rows for weight in (row.bare_weight, row.sensor_weight)]
    assert all(weight.peak_bytes > 0 and 0 <= weight.tshark_share < 1.1 for weight in weights)
    assert replay.section(rows, others).count(f"\n| {name} |") == 2


@pytest.mark.slow
@pytest.mark.wire
def test_the_cost_of_the_core() -> None:
    wire()
    rows = core.measure(400, 1)

    assert [row.name for row in rows] == list(core.PATTERNS)
    assert all(row.packets == 400 and row.calls > 5 and row.least > 0 for row in rows)
    found = core.search(20, 1)
    assert len(found) == 3
    assert {row.name for row in found} <= {name for name, _ in costliest.patterns()}
    assert core.section(rows, found).count("\n| ") == 4 + len(rows) + len(found)


@pytest.mark.slow
@pytest.mark.wire
def test_rates() -> None:
    wire("tcpreplay")
    found = rates.measure(rates.Plan({"forged flood": (None,)}, (3_000,), 1, PACKETS, PACKETS), [given_peer(COUNTER)])

    assert [one.program for one in found] == ["portsentry-py", "counter"]
    assert all(one.sent.packets == PACKETS and one.peak_bytes > 0 and one.lines > 0 for one in found)
    assert found[0].counts == Counts(PACKETS, 0)
    assert found[1].lost is None
    assert f"a burst of {PACKETS:,} packets at full speed is kept whole." in rates.section(found)


def test_rates_tells_the_fastest_that_lost_nothing_from_the_fastest_that_kept_up() -> None:
    def trial(rate: int | None, seen: int, behind: float) -> rates.Trial:
        sent = Sent(1_000, 1_000 / (rate or 1_000_000))
        return rates.Trial("portsentry-py", "flood", rate, sent, Counts(seen, 1_000 - seen), {}, behind, 0, 0)

    text = rates.section([trial(10, 1_000, 0), trial(20, 1_000, 9), trial(40, 999, 9), trial(None, 990, 1)])

    assert "flood: it keeps up with 10 packets a second, nothing is lost up to 20 packets a second, " in text
    assert "a burst of 1,000 packets at full speed loses 10." in text


@pytest.mark.slow
@pytest.mark.wire
def test_memory() -> None:
    wire()
    growth = memory.measure(PACKETS)

    assert len(growth.peaks) == memory.TENTHS
    assert all(peak["python"] > 0 for peak in growth.peaks)
    assert growth.peaks[-1]["tshark"] > 0, "the first packets wait in the pipe while it starts"
    assert growth.status["packets"] == PACKETS
    assert growth.status["packets_malformed"] == 0
    assert f"`packets` {PACKETS:,}" in memory.section(growth)


def full_of(size: int, bound: int, held: int) -> Table:
    engine, blocks = Pipeline(Settings(), HostState()), list[bytes]()

    def fill(_sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
        yield engine
        blocks.extend(bytes([nth % 256]) * size for nth in range(held))
        yield engine

    return Table("blocks", "nothing", lambda _: bound, lambda _: len(blocks), fill, ())


def weigh_blocks(size: int) -> float:
    return entries.weigh(full_of(size, 4, 4), 1)


def test_an_entry_takes_what_it_weighs() -> None:
    """Weighed in a process of its own: what other tests left behind in this one may be freed meanwhile."""
    size = 33 << 20  # malloc maps each block of more than 32 MiB, also if other memory is free
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert pool.submit(weigh_blocks, size).result() == pytest.approx(size, rel=0.1)


def test_a_table_that_is_not_full_is_not_weighed() -> None:
    with pytest.raises(AssertionError, match="100 entries where there is room for 200"):
        entries.weigh(full_of(1, 200, 100), 1)


@pytest.mark.parametrize("version", [4, 6])
def test_what_fills_the_tables_are_packets(version: int) -> None:
    sender = Sender(version)
    for lines in (sender.known(1), sender.looks(2), sender.tour(3, range(9)), sender.stray(4), sender.ask(5)):
        assert all(isinstance(decode(line), Packet) for line in lines)
    assert len({sender.source(nth, network) for nth in range(150) for network in range(99)}) == 150 * 99
    assert len({sender.target(nth) for nth in range(9_999)}) == 9_999


@pytest.fixture(scope="module")
def saturated() -> Pipeline:
    """A pipeline with hardly any room, all of which is taken."""
    return FullTables(entries.parted(128), 128).pipeline()


def test_the_packets_that_fill_all_tables_leave_none_empty(saturated: Pipeline) -> None:
    """Half of what fits, because small networks crowd each other out; of what no setting bounds, some."""
    few, half, default = entries.parted(128), entries.parted(2), Limits()
    for table in TABLES:
        settable = table.bound(half) < table.bound(default)
        least = table.bound(few) / 2 if settable else table.bound(default) / 256
        assert table.held(saturated) >= least, table.name


# Bounded by the configuration and the host, or by how many different ones there are.
FEW = {
    "Detection._always_asked",
    "Detection._detectors",
    "Pipeline._discarded",
    "Reflection._crowds",
    "_Tokens._closed_until",
    "HostState.protected",
    "KnownScanners._names",
    "TrapDetector.trap_ports",
    "portsentry_py.config.loader._adapter",
}
LARGE = 1_024


def test_every_table_of_the_core_is_weighed(saturated: Pipeline) -> None:
    engine = saturated
    paths = [path.rpartition(".") for table in TABLES for path in table.at]
    weighed = {f"{type(attrgetter(owner)(engine)).__name__}.{name}" for owner, _, name in paths}
    inside = {name for table in TABLES for name in table.inside}
    assert {*tables_of(engine), *caches()} - FEW == weighed | inside


def tables_of(*roots: object) -> Iterator[str]:
    """All that can grow and is an attribute of an object of the core."""
    seen, waiting = set[int](), list(roots)
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, (dict, LruTable)):
            waiting += chain.from_iterable(one.items())
        elif isinstance(one, (list, tuple, set, deque)):
            waiting += one
        elif type(one).__module__.startswith("portsentry_py."):
            for name, found in attributes(one):
                waiting.append(found)
                if isinstance(found, (dict, set, deque, LruTable)) or hasattr(found, "cache_info"):
                    yield f"{type(one).__name__}.{name}"


def attributes(one: object) -> Iterator[tuple[str, object]]:
    yield from getattr(one, "__dict__", {}).items()
    names = chain.from_iterable(getattr(kind, "__slots__", ()) for kind in type(one).__mro__)
    yield from ((name, getattr(one, name)) for name in names)


def is_small(cached: Any) -> bool:
    return cached.cache_info().maxsize is not None and cached.cache_info().maxsize < LARGE


def caches() -> Iterator[str]:
    """All functions that remember a lot."""
    for module in [one for name, one in sys.modules.items() if name.startswith("portsentry_py.")]:
        for found in vars(module).values():
            if hasattr(found, "cache_info") and signature(found).parameters and not is_small(found):
                yield f"{found.__module__}.{found.__name__}"


@pytest.mark.slow
@pytest.mark.wire
def test_entries() -> None:
    wire()
    costs = entries.measure(512, 512)

    assert [row.table for row in costs.rows] == list(TABLES)
    # So few entries of a small table may find room in memory that was free before.
    assert sum(row.entry_bytes > 20 for row in costs.rows) > 0.8 * len(TABLES)
    assert costs.worst.packets > 10_000
    assert costs.worst.before_bytes < costs.worst.after_bytes
    assert min(costs.worst.held) > 0
    assert costs.idle_bytes > 10 << 20
    assert entries.section(costs).count("\n| ") == 2 + len(TABLES)


def test_what_outlives_a_restart() -> None:
    (one,) = state.measure([512])
    assert min(one.sources, one.attempts, one.saved_bytes) > 50
    assert one.piece_seconds <= one.all_seconds
    assert state.section([one]).count("\n| ") == 2


def test_all_tables_together_take_what_each_takes() -> None:
    rows = [entries.Row(full_of(1, bound, 0), 1 << 20) for bound in (2, 40)]
    costs = entries.Costs(rows, entries.Worst(8, 9, 3 << 20, 4 << 20, 5 << 20, [1, 30]), 6 << 20)
    text = entries.section(costs)

    assert "| **all of them** |  |  |  | **42** |" in text
    assert text.index("| 40 |") < text.index("| 2 |")
    assert "would take 48 MiB" in text
    assert "should take 34 MiB, of which it had 3 MiB before. It took 4 MiB (USS), and 5 MiB at" in text


@pytest.mark.slow
@pytest.mark.wire
def test_delay() -> None:
    wire("nmap", "nft", "fail2ban-server")
    found = delay.measure(1)

    delays = [one for group in found.values() for one in group]
    assert len(delays) == len(delay.SPEEDS)
    assert all(0 < one.line_seconds < one.ban_seconds and one.line_probes >= 8 for one in delays)
    assert delay.section(found).count("\n") == 2 + len(found)


@pytest.mark.slow
@pytest.mark.wire
def test_bulk() -> None:
    wire("iperf3")
    rows = bulk.measure(1, bulk.LOADS[2:])

    assert [row.name for row in rows] == [load.name for load in bulk.LOADS[2:]]
    assert all(row.gigabits > 0 for row in rows)
    assert rows[0].counts.packets < 100 < rows[1].counts.packets
    assert len(bulk.section(rows).splitlines()) == 2 + len(rows)


@pytest.mark.slow
@pytest.mark.wire
def test_visits() -> None:
    wire()
    found = visits.measure(9)

    assert (found.sessions, found.unknown, found.sensor) == (10, 40, 20)
    assert found.on_the_wire > found.unknown
    assert len(visits.section(found).splitlines()) == 2 + 2 + len(found.rows())


@pytest.mark.slow
@pytest.mark.wire
def test_the_worst_flood() -> None:
    wire("tcpreplay", "fail2ban-server", "nft")
    costs = worst.measure(2_000, 4, {"scanners": workloads.scanners})
    cost = costs["scanners"]
    assert cost.lines > 0
    assert cost.gigabytes_a_day > 0
    assert "| scanners |" in worst.section(costs)


@pytest.mark.slow
@pytest.mark.wire
def test_a_scan_inside_a_flood() -> None:
    wire("nmap", "tcpreplay")
    outcome = hidden.measure(2_000, 3)

    assert outcome.sent.packets == 6_000
    assert outcome.scan.probes == 98  # of nmap's hundred ports, the lab serves two
    assert outcome.status["packets"] == outcome.on_the_wire
    assert outcome.accounted == outcome.attempts
    assert outcome.named_seconds is not None
    assert "was named" in hidden.section(outcome)


@pytest.mark.slow
@pytest.mark.wire
def test_a_ban_inside_a_flood() -> None:
    wire("nmap", "tcpreplay", "fail2ban-server", "nft")
    rows = banned.measure(3, 1, [("all four in turn", 1_000)])

    assert [(row.sent.packets, row.lost, row.named, len(row.bans)) for row in rows] == [(3_000, 0, 1, 1)]
    assert "| all four in turn |" in banned.section(rows)


def test_the_costliest_packets_are_for_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "worst_name", lambda: "SYN, IPv4, from one source")
    link = Link(b"target", b"source")

    assert {frame[:12] for frame in live.KINDS[live.WORST](5, link)} == {b"targetsource"}
    assert (
        live.note()
        == "The costliest packets that the search found (see what the core costs): SYN, IPv4, from one source.\n"
    )


def test_a_peer_has_a_name_and_a_command() -> None:
    assert given_peer("a=b=c").name == "a"
    with pytest.raises(ValueError, match="NAME=CMD"):
        given_peer("nothing")
