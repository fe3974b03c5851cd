"""What outlives a restart: the same memory afterwards, and no bytes that could break it."""

from __future__ import annotations

import dataclasses
import struct
from collections import Counter
from collections.abc import Sequence
from functools import cache
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from portsentry_py.capture.file import replay_lines
from portsentry_py.capture.toolchain import find_tools
from portsentry_py.config import loader as config
from portsentry_py.config.settings import Distributed, Limits, Settings, Traps
from portsentry_py.core.detectors.base import MOST
from portsentry_py.core.flows import Outcome
from portsentry_py.core.host_state import HostState
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.core.source_record import SourceRecord
from portsentry_py.events.model import Event
from portsentry_py.state import codec as snapshot
from portsentry_py.state.codec import BrokenSnapshot, decode
from tests.scenarios.make import FOLDER, SCENARIOS, write_capture
from tests.support.bounds import held_within
from tests.support.build import (
    FRIEND,
    HOME,
    HOST,
    SCANNER,
    SCANNER6,
    SECOND_US,
    START_US,
    US,
    Sent,
    Traffic,
    connect,
    encoded,
    evidence,
    in_time,
    log_lines,
    micros,
    refused,
    scans,
    strict,
    syn,
    syn_ack,
    traps,
    udp,
    udp_reply,
    unhurried,
    visit,
    watch,
)
from tests.support.needs import require_tool
from tests.support.traffic import conversations

HOUR = 3600
# It probes a port every ten minutes.
SLOWLY = refused(syn(SCANNER, *range(2000, 2020), every=600))


def restarted(engine: Pipeline, *, settings: Settings | None = None, at: float | None = None) -> Pipeline:
    """A sensor that starts with what the other one knows."""
    fresh = Pipeline(settings or strict(), HOME)
    fresh.load(decode(b"".join(encoded(engine))), engine.last_us if at is None else micros(at))
    return fresh


def watched(*traffic: Traffic, settings: Settings | None = None) -> Pipeline:
    engine = Pipeline(settings or strict(), HOME)
    watch(engine, *traffic)
    return engine


def record_of(engine: Pipeline, source: str) -> SourceRecord:
    records = [*engine._sources.known(), *engine._sources.newcomers()]
    (found,) = (record for record in records if (record.source, record.direction) == (source, "inbound"))
    return found


def test_a_slow_scanner_is_not_forgotten() -> None:
    before = watched(SLOWLY[:12])
    (scan, *_) = scans(watch(restarted(before), SLOWLY[12:]))
    assert (scan.src_ip, scan.technique, scan.verdict) == (SCANNER, "slow", "ban")
    assert scan.first_seen == "2023-11-14T22:13:20.000000Z"
    assert not scans(watch(Pipeline(strict(), HOME), SLOWLY[12:20]))


def test_a_friend_stays_one() -> None:
    before = watched(visit(FRIEND, *[80] * 6, every=61))
    forged = refused(syn(FRIEND, *range(2000, 2020), at=400))
    (scan, *_) = scans(watch(restarted(before), forged))
    assert (scan.verdict, scan.reason) == ("watch", "friend")


def test_our_servers_stay_exempt() -> None:
    (question,) = udp(HOST, 53, dst=FRIEND)
    before = watched(question, udp_reply(question))
    (scan, *_) = scans(watch(restarted(before), syn(FRIEND, *range(2000, 2020), at=60)))
    assert (scan.verdict, scan.reason) == ("ignore", "resolver")


def test_a_service_that_is_down_for_once_costs_its_clients_nothing() -> None:
    ports = range(9000, 9008)
    before = watched(visit(FRIEND, *ports))
    asked = refused(connect(SCANNER, *ports, at=60))
    assert not evidence(watch(restarted(before), asked))
    assert evidence(watch(Pipeline(strict(), HOME), asked))


def test_a_touch_of_a_decoy_is_remembered() -> None:
    settings = strict(traps=Traps(tcp=frozenset({23})))
    before = watched(refused(syn(SCANNER, 23)), settings=settings)
    (touch,) = traps(watch(restarted(before, settings=settings), refused(syn(SCANNER, 23, at=9))))
    assert (touch.verdict, touch.touches) == ("ban", 2)


def test_a_scan_that_goes_on_is_no_new_one() -> None:
    packets = refused(syn(SCANNER, *range(2000, 2140), every=0.5))
    engine = Pipeline(strict(), HOME)
    (first,) = scans(watch(engine, packets[:140]))
    later = restarted(engine)
    (going_on,) = scans(watch(later, packets[140:]))
    (ended,) = scans(later.advance(micros(300)))
    assert (first.state, going_on.state, ended.state) == ("new", "grown", "ended")
    assert going_on.timestamp == first.timestamp.replace("22:13", "22:14"), "a minute later"
    assert first.event_id == going_on.event_id == ended.event_id
    assert ended.reason == "ports_in_window"


def test_what_is_not_kept_of_a_scan_does_not_seem_withdrawn() -> None:
    """A hundred thousand others were named first: this one's first line came late."""
    before = watched(refused(syn(SCANNER, *range(2000, 2400), every=0.1)))
    (scan,) = before._scans.open_scans()
    scan.first_weight = 300
    after = restarted(before)
    assert len(record_of(after, SCANNER).unserved) == MOST
    (ended,) = scans(after.advance(micros(600)))
    assert (ended.reason, ended.verdict, ended.ports) == ("ports_in_window", "ban", MOST)


def test_what_was_withdrawn_stays_so() -> None:
    asked = connect(SCANNER, 8001, 8002, 8003, 8004)
    before = watched(asked, [syn_ack(one, after=0.2) for one in asked])
    (ended,) = scans(restarted(before).advance(micros(200)))
    assert (ended.reason, ended.verdict) == ("withdrawn", "watch")


def test_two_stories_of_one_source_still_share_their_pace() -> None:
    before = watched(refused(syn(SCANNER, 11, 23, 1, 2, 3, 4)))
    paces = {id(scan.pace) for scan in restarted(before)._scans.open_scans()}
    assert (len(paces), len(list(before._scans.open_scans()))) == (1, 2)


def test_what_may_be_answered_while_nobody_looks_is_no_evidence() -> None:
    before = watched(connect(FRIEND, 80, at=0), connect(FRIEND, 81, 82, at=5))
    assert [pair.port for pair in record_of(restarted(before), FRIEND).unserved] == [80]


def test_what_is_too_old_is_left_out() -> None:
    before = watched(SLOWLY, visit(HOST, 443, dst=FRIEND), visit(FRIEND, 80))
    assert restarted(before, at=71 * HOUR)._flows.served(HOST, "tcp", 80)
    late = restarted(before, at=72 * HOUR + 1800)
    assert [pair.port for pair in record_of(late, SCANNER).unserved] == list(range(2003, 2020))
    assert not late._flows.served(HOST, "tcp", 80)
    assert not list(restarted(before, at=80 * HOUR)._scans.open_scans())
    (none,) = (one for one in restarted(before, at=-80 * HOUR)._sources.known() if one.source == SCANNER)
    assert not none.unserved


def test_smaller_limits_keep_the_latest() -> None:
    before = watched(*(syn(f"203.0.113.{nth}", 7001, 7002, at=nth * 9) for nth in range(40)), at_end())
    limits = Limits(max_sources=16, max_attempts=64)
    after = restarted(before, settings=strict(limits=limits))
    held_within(after, limits)
    assert [record.source for record in after._sources.known()] == [
        f"203.0.113.{nth}" for nth in range(24, 40)
    ]


def at_end(seconds: float = 1000) -> list[Sent]:
    """A packet that says what time it is."""
    return syn("203.0.113.250", 7001, at=seconds)


def test_of_too_many_sources_those_with_one_attempt_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    newcomers = [syn(f"198.18.0.{nth}", 7001, at=50 + nth) for nth in range(20)]
    known = [syn(f"203.0.113.{nth}", 7001, 7002, at=nth) for nth in range(20)]
    before = watched(*known, *newcomers, at_end())
    monkeypatch.setattr(snapshot, "_SOURCES_IN_BLOCK", 1)
    whole = b"".join(encoded(before))
    for part, kept in ((1, (20, 21)), (0.9, (20, 15)), (0.3, (9, 0))):
        monkeypatch.setattr(snapshot, "MAX_BYTES", int(part * len(whole)))
        after = restarted(before)
        sources = [record.source for record in after._sources.known()]
        assert sources == [f"203.0.113.{nth}" for nth in range(20 - len(sources), 20)]
        assert len(sources) == pytest.approx(kept[0], abs=4)
        assert len(after._sources.newcomers()) == pytest.approx(kept[1], abs=4)


def test_packets_may_come_between_two_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "_SOURCES_IN_BLOCK", 1)
    limits = Limits(max_sources=16, max_attempts=64)
    engine = watched(
        *(syn(f"203.0.113.{nth}", 7001, 7002, at=nth) for nth in range(16)), settings=strict(limits=limits)
    )
    content = b""
    for nth, piece in enumerate(encoded(engine)):
        content += piece
        watch(engine, syn(f"198.51.100.{nth}", 7001, 7002, 7003, at=100 + nth))
        watch(engine, syn("203.0.113.3", 7100 + nth, at=100 + nth))
    after = Pipeline(strict(limits=limits), HOME)
    after.load(decode(content), engine.last_us)
    held_within(after, limits)
    assert "203.0.113.3" in {record.source for record in after._sources.known()}


def known_by(engine: Pipeline) -> dict[str, object]:
    """What there is to remember, in its order."""
    ledger = engine._sources
    return {
        "known": [dataclasses.asdict(record) for record in ledger.known()],
        "newcomers": [dataclasses.asdict(record) for record in ledger.newcomers()],
        "scans": {
            (scan.last.record.source, scan.last.record.direction, scan.last.technique): (
                *(scan.last.scan_type, scan.last.reason, scan.last.bannable),
                *(scan.last.weight, scan.first_us, scan.last_probe.time_us, scan.last_probe.port),
                *(scan.pace, scan.said_types, scan.said_bannable, scan.next_weight),
            )
            for scan in engine._scans.open_scans()
        },
        "learned": engine._flows.served.learned(),
        "numbers": sorted({one.port for one in engine._flows.served.learned()}),
        "servers": engine._flows.servers(),
    }


@unhurried
@given(conversations(hosts=6))
def test_all_that_is_sure_is_remembered(traffic: list[Sent]) -> None:
    engine = watched(traffic)
    # Long enough for whatever could still be answered, and too short for the end of a scan.
    engine.last_us += 2 * SECOND_US
    list(engine.advance(engine.last_us))
    assert known_by(restarted(engine)) == known_by(engine)


@unhurried
@given(conversations(), st.integers(0, 40))
def test_a_restart_between_two_packets_forgets_only_what_was_in_the_air(
    traffic: list[Sent], position: int
) -> None:
    """Five seconds before it, nothing was; what is sent again or answered after it belongs to nothing."""
    sections = strict().detectors
    settings = strict(detectors=dataclasses.replace(sections, distributed=Distributed(256, 256)))
    before, after = traffic[:position], [one.later(10) for one in traffic[position:]]
    whole, first, second = (Pipeline(settings, US) for _ in range(3))
    wanted = [*watch(whole, before, after), *whole.finish()]
    said = watch(first, before)
    said += first.advance(first.last_us + 5 * SECOND_US)
    second.load(decode(b"".join(encoded(first))), first.last_us)
    counted = {source for source, _ in first._gate._told.items()}  # they were just told of
    said += [*watch(second, after), *second.finish()]
    flows = {flow_of(one) for one in before} & {flow_of(one) for one in after}
    excused = {address for _, ends in flows for address, _ in ends} | decoyed(whole) | counted
    assert not {one for one in named(wanted) ^ named(said) if one[0] not in excused}


def flow_of(packet: Sent) -> tuple[int, frozenset[tuple[str, int]]]:
    return packet.proto, frozenset({(packet.src, packet.src_port), (packet.dst, packet.dest_port)})


def named(events: Sequence[Event]) -> set[tuple[str, str, str]]:
    return {(one.src_ip, one.technique, one.verdict) for one in evidence(events) if one.verdict == "ban"}


def decoyed(engine: Pipeline) -> set[str]:
    """Sources of which others sent the same probes: which they were is known for a while only."""
    return {
        record.source
        for record in [*engine._sources.known(), *engine._sources.newcomers()]
        if record.has_twin
    }


@cache
def scenario(name: str) -> tuple[Settings, HostState, list[str], set[tuple[str, str, str]]]:
    """Settings, host, lines of tshark, and who is banned."""
    made, given = SCENARIOS[name], FOLDER / name / "config.yaml"
    settings = config.load(given) if given.exists() else Settings()
    home = tuple(ip_network(text) for text in made.home.split())
    open_traps = settings.traps.tcp if settings.traps.listen else frozenset()
    host = HostState(home=home, home_known=bool(home), open_traps=open_traps)
    packets = [line for some in replay_lines(find_tools(), FOLDER / name / "capture.pcap") for line in some]
    engine = Pipeline(settings, host)
    return settings, host, packets, named([*engine.feed(packets), *engine.finish()])


def in_the_air(engine: Pipeline) -> set[str]:
    """Who has asked, or was asked, and it is not known yet what comes of it."""
    flows = engine._flows
    waiting = [
        flow for _, flow in (*flows._pending, *flows._outbound.items()) if flow.outcome is Outcome.PENDING
    ]
    waiting += [flow for _, flow in flows._handshakes]
    return {address for flow in waiting for address in (flow.probe.src, flow.probe.dst)}


@hypothesis_settings(unhurried, max_examples=60)
@given(st.sampled_from(sorted(name for name in SCENARIOS if SCENARIOS[name].committed)), st.data())
def test_whoever_is_banned_is_banned_over_a_restart_too_and_nobody_else(
    name: str, data: st.DataObject
) -> None:
    """Two things differ: what was in the air when the snapshot was made, and who scans together.

    A distributed scan is the sum of many sources, each below every threshold, within ten minutes: the sum
    is made anew.
    """
    require_tool("tshark")
    settings, host, packets, wanted = scenario(name)
    position = data.draw(st.integers(0, len(packets)))
    first, second = Pipeline(settings, host), Pipeline(settings, host)
    said = list(first.feed(packets[:position]))
    second.load(decode(b"".join(encoded(first))), first.last_us)
    excused = in_the_air(first)
    said += [*second.feed(packets[position:]), *second.finish()]
    differ = {one for one in wanted ^ named(said) if one[0] not in excused}
    assert {technique for _, technique, _ in differ} <= {"distributed"}
    assert not {one for one in differ if one not in wanted}


def test_a_large_scenario_too(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The scan in a flood is not committed; see the test before."""
    require_tool("tshark")
    name = "scan_in_a_flood"
    capture = write_capture(name, tmp_path_factory.mktemp(name) / "capture.pcap")
    settings = config.load(FOLDER / name / "config.yaml")
    packets = [line for some in replay_lines(find_tools(), capture) for line in some]
    first, second = Pipeline(settings, HOME), Pipeline(settings, HOME)
    said = list(first.feed(packets[:25_000]))
    second.load(decode(b"".join(encoded(first))), first.last_us)
    said += [*second.feed(packets[25_000:]), *second.finish()]
    assert {one[0] for one in named(said)} == {
        one.source for one in SCENARIOS[name].names if one.verdict == "ban"
    }


# What is no snapshot.

SAMPLE = in_time(
    SLOWLY,
    visit(FRIEND, *[80] * 8),
    refused(syn(SCANNER6, 11, 23, *range(3000, 3010), at=11_390)),
    udp(FRIEND, 53, 19),
)


@cache
def sample() -> bytes:
    (question,) = udp(HOST, 53, dst=FRIEND)
    engine = watched(SAMPLE, question, udp_reply(question))
    assert len(list(engine._scans.open_scans())) > 1
    return b"".join(encoded(engine))


def test_no_bytes_are_an_empty_memory() -> None:
    engine = Pipeline(strict(), HOME)
    engine.load(decode(b""), START_US)
    assert not len(engine._sources)


@unhurried
@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda some: sample()[:600] + some))
def test_no_bytes_break_the_sensor(content: bytes) -> None:
    taken(content)


@hypothesis_settings(unhurried, max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 1 << 20), st.sampled_from([0, 1, 2, 7, 0x7F, 0x80, 0xFF]) | st.integers(0, 255)
        ),
        min_size=1,
        max_size=4,
    ),
    st.none() | st.integers(0, 1 << 20),
)
def test_no_change_of_a_snapshot_makes_the_memory_inconsistent(
    changes: list[tuple[int, int]], end: int | None
) -> None:
    content = bytearray(sample())
    for place, value in changes:
        content[place % len(content)] = value
    taken(bytes(content) if end is None else bytes(content[: end % len(content)]))


def taken(content: bytes) -> None:
    """Let a sensor with small tables take the bytes: it says what is wrong, or goes on as ever."""
    limits = Limits(max_sources=16, max_flows=64, max_attempts=64)
    engine = Pipeline(strict(limits=limits), HOME)
    nothing = known_by(engine)
    try:
        engine.load(decode(content), START_US + 4 * HOUR * SECOND_US)
    except BrokenSnapshot:
        assert known_by(engine) == nothing
        return
    for record in [*engine._sources.known(), *engine._sources.newcomers()]:
        assert record.targets == Counter(pair.target for pair in record.unserved)
        assert record.closed == sum(attempt.refused for attempt in record.unserved.values())
        assert record.score == sum(3 if pair.port < 1024 else 1 for pair in record.unserved)
        assert len(record.opened) <= 64
        assert max(len(record.stacks), len(record.proven_stacks), len(record.proofs)) <= 8
    held_within(engine, limits)
    events = watch(engine, [one.later(4 * HOUR) for one in SAMPLE])
    events += [*engine.finish(), *engine.advance(START_US + 40 * HOUR * SECOND_US)]
    held_within(engine, limits)
    assert len(log_lines(events)) == len(events)


def tables(*contents: bytes) -> bytes:
    """A block of these tables, and empty ones."""
    every = [*contents, *[b""] * (2 + len(snapshot._TABLES) - len(contents))]
    return b"".join(struct.pack("<Q", len(one)) + one for one in every)


SOURCE = struct.pack("<IB7q8H", 0, 2, *[1] * 7, *[0] * 8)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\0" * 7, "buffer"),
        (struct.pack("<Q", 5) + b"abcd", "breaks off"),
        (tables(b"192.0.2.300"), "address"),
        (tables(b"192.0.2.1\n"), "address"),
        (tables(b"fe80::1%eth0"), "address"),
        (tables(b"2001:DB8::1"), "address"),
        (tables(b"192.0.2.1", b"\xff"), "ascii"),
        (tables(b"192.0.2.1", b"", SOURCE[:-1]), "buffer"),
        (tables(b"", b"", SOURCE), "not there"),
        (tables(b"192.0.2.1", b"", SOURCE, b"\0" * 25), "count"),
        (tables(b"192.0.2.1", b"", b"", *[b""] * 8, b"\0"), "count"),
        (tables(b"192.0.2.1", b"", SOURCE + SOURCE), "twice"),
        (tables(b"192.0.2.1", b"", SOURCE) * 2, "twice"),
        (tables(b"192.0.2.1", b"", struct.pack("<IB7q8H", 0, 0, -1, *[1] * 6, *[0] * 8)), "bounds"),
        (tables(b"192.0.2.1", b"", struct.pack("<IB7q8H", 0, 0, 1 << 60, *[1] * 6, *[0] * 8)), "bounds"),
        (tables(b"192.0.2.1", b"tcp", *[b""] * 10, b"\0" * 15), "not there"),
        (tables(b"192.0.2.1", b"tcp", *[b""] * 11, b"\0" * 5), "not there"),
    ],
)
def test_what_is_wrong_is_said(content: bytes, reason: str) -> None:
    with pytest.raises(BrokenSnapshot, match=reason):
        snapshot.decode(content)


def test_a_scan_stands_there_once() -> None:
    scan = struct.pack("<4B6qIBHB", 0, 1, 2, 0, *[1] * 6, 0, 3, 80, 0)
    source = struct.pack("<IB7q8H", 0, 2, *[1] * 7, *[0] * 7, 2)
    words = b"slow\nlikelihood\nsyn\ntcp"
    with pytest.raises(BrokenSnapshot, match="twice"):
        snapshot.decode(tables(b"192.0.2.1", words, source, *[b""] * 7, scan + scan))
    source = struct.pack("<IB7q8H", 0, 2, *[1] * 7, *[0] * 7, 1)
    (found,) = snapshot.decode(tables(b"192.0.2.1", words, source, *[b""] * 7, scan)).scans
    assert (found.last.technique, found.last_probe.port, found.last.record.source) == (
        "slow",
        80,
        "192.0.2.1",
    )
