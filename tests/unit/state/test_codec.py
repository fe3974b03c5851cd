"""What outlives a restart: the same state afterwards, and no bytes that break the sensor."""

import dataclasses
from collections import Counter
from collections.abc import Iterable
from functools import cache
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from msgspec import msgpack

from portsentry_py.config import loader
from portsentry_py.config.settings import Distributed, Limits, Settings, Traps
from portsentry_py.core.host_state import HostState
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.core.saved_state import SavedState
from portsentry_py.core.scan_tracker import Scan
from portsentry_py.core.source_record import MAX_JUDGED, SourceRecord
from portsentry_py.events.model import Event
from portsentry_py.state import codec
from portsentry_py.state.codec import BrokenSnapshot, decode
from portsentry_py.state.snapshot import SavedScan
from tests.scenarios.families import SCENARIOS
from tests.scenarios.families.solicited import CHAT_SERVER, FILE_SERVER, GAME_SERVER
from tests.support.blocks import SCAN, with_acquaintance, with_scan, with_source
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
    no_deadline,
    refused,
    scans,
    strict,
    syn,
    syn_ack,
    traps,
    udp,
    udp_reply,
    visit,
    watch,
)
from tests.support.paths import CASES
from tests.support.traffic import conversations

HOUR = 3600
GROUP = SavedScan.__struct_fields__.index("group")
# It probes a port every ten minutes.
SLOW_SCAN = refused(syn(SCANNER, *range(2000, 2020), every=600))


def watched(*traffic: Traffic, settings: Settings | None = None, host: HostState = HOME) -> Pipeline:
    engine = Pipeline(settings or strict(), host)
    watch(engine, *traffic)
    return engine


def restarted(
    engine: Pipeline, *, settings: Settings | None = None, host: HostState = HOME, at: float | None = None
) -> Pipeline:
    """A sensor that starts with what the other one knows."""
    fresh = Pipeline(settings or strict(), host)
    fresh.load(decode(b"".join(encoded(engine))), engine.last_us if at is None else micros(at))
    return fresh


def sources(records: Iterable[SourceRecord]) -> list[str]:
    return [record.source for record in records]


def ports_of(engine: Pipeline, source: str) -> list[int]:
    """The ports of the attempts that are known of a source."""
    state = engine.state()
    (record,) = (one for one in [*state.known, *state.newcomers] if one.source == source)
    return [pair.port for pair in record.unserved]


def test_a_slow_scanner_is_not_forgotten() -> None:
    before = watched(SLOW_SCAN[:12])
    (scan, *_) = scans(watch(restarted(before), SLOW_SCAN[12:]))
    assert (scan.src_ip, scan.technique, scan.verdict) == (SCANNER, "slow", "ban")
    assert scan.first_seen == "2023-11-14T22:13:20.000000Z"
    assert not scans(watch(Pipeline(strict(), HOME), SLOW_SCAN[12:20]))


def test_a_friend_stays_a_friend() -> None:
    before = watched(visit(FRIEND, *[80] * 6, every=61))
    forged = refused(syn(FRIEND, *range(2000, 2020), at=400))
    (scan, *_) = scans(watch(restarted(before), forged))
    assert (scan.verdict, scan.reason) == ("watch", "friend")


def test_clients_of_services_that_do_not_answer_now_are_not_accused() -> None:
    ports = range(9000, 9008)
    before = watched(visit(FRIEND, *ports))
    asked = connect(SCANNER, *ports, at=60)
    assert not evidence(watch(restarted(before), asked))
    assert evidence(watch(Pipeline(strict(), HOME), asked))


def test_a_visitor_of_two_days_stays_one() -> None:
    before = watched(visit(FRIEND, 80), visit(FRIEND, 80, at=24 * HOUR))
    assert restarted(before).state().standing == before.state().standing
    forged = refused(syn(FRIEND, *range(2000, 2200), at=48 * HOUR))
    assert {scan.verdict for scan in scans(watch(restarted(before), forged))} == {"watch"}


def test_an_ipv6_network_is_remembered_with_its_last_address() -> None:
    first, last = "2001:db8:bad::9", "2001:db8:bad::77"
    before = watched(refused(syn(first, 2000), syn(last, 2001, at=1)))
    (record,) = restarted(before).state().known
    assert (record.source, record.address) == ("2001:db8:bad::/64", last)
    (scan, *_) = scans(watch(restarted(before), refused(syn(first, 2002, 2003, at=2))))
    assert (scan.src_ip, scan.src_net, scan.ports) == (first, "2001:db8:bad::/64", 4)


def test_spoofed_twins_are_remembered() -> None:
    ports = range(2000, 2003)
    before = watched(refused(syn(SCANNER, *ports), syn(FRIEND, *ports, at=0.1)))
    (scan, *_) = scans(watch(restarted(before), refused(syn(SCANNER, 2003, at=2))))
    assert (scan.verdict, scan.reason) == ("watch", "decoy_source")


def test_the_network_that_scans_together_is_remembered() -> None:
    before = watched(refused(syn(SCANNER, *range(2000, 2008))))
    (scan,) = before.state().scans
    scan.last = scan.last._replace(finding=scan.last.finding._replace(group="203.0.113.0/24"))
    (ended,) = scans(restarted(before).advance(micros(600)))
    assert ended.group_net == "203.0.113.0/24"


def test_a_touch_of_a_trap_is_remembered() -> None:
    settings = strict(traps=Traps(tcp=frozenset({23})))
    before = watched(refused(syn(SCANNER, 23)), settings=settings)
    (touch,) = traps(watch(restarted(before, settings=settings), refused(syn(SCANNER, 23, at=9))))
    assert (touch.verdict, touch.touches) == ("ban", 2)


def test_a_scan_that_goes_on_is_not_a_new_one() -> None:
    packets = syn(SCANNER, *range(2000, 2140), every=0.5)
    engine = Pipeline(strict(), HOME)
    (first,) = scans(watch(engine, packets[:70]))
    later = restarted(engine)
    (grown,) = scans(watch(later, packets[70:]))
    (ended,) = scans(later.advance(micros(300)))
    assert (first.state, grown.state, ended.state) == ("new", "grown", "ended")
    assert grown.timestamp == first.timestamp.replace("22:13", "22:14"), "a minute later"
    assert first.event_id == grown.event_id == ended.event_id
    assert (ended.verdict, ended.reason) == ("watch", "ended")


def test_attempts_that_are_not_saved_do_not_seem_withdrawn() -> None:
    """A hundred thousand other scans were reported first: the first line about this one came late."""
    before = watched(refused(syn(SCANNER, *range(2000, 2400), every=0.1)))
    (scan,) = before.state().scans
    scan.first_weight = 300
    after = restarted(before)
    assert len(ports_of(after, SCANNER)) == MAX_JUDGED
    (ended,) = scans(after.advance(micros(600)))
    assert (ended.reason, ended.verdict, ended.ports) == ("ended", "watch", MAX_JUDGED)


def test_withdrawn_attempts_stay_withdrawn() -> None:
    asked = connect(SCANNER, 8001, 8002, 8003, 8004)
    before = watched(asked, [syn_ack(one, after=0.2) for one in asked])
    (ended,) = scans(restarted(before).advance(micros(200)))
    assert (ended.reason, ended.verdict) == ("withdrawn", "watch")


def test_the_scan_and_the_touches_of_a_source_still_share_their_pace() -> None:
    before = watched(refused(syn(SCANNER, 11, 23, 1, 2, 3, 4)))
    both = restarted(before).state().scans
    assert (len(both), len({id(scan.interval) for scan in both})) == (2, 1)


def test_an_attempt_that_may_be_answered_during_the_restart_is_not_saved() -> None:
    before = watched(connect(FRIEND, 80, at=0), connect(FRIEND, 81, 82, at=5))
    assert ports_of(restarted(before), FRIEND) == [80]


def test_old_knowledge_is_left_out() -> None:
    before = watched(SLOW_SCAN, visit(HOST, 443, dst=FRIEND), visit(FRIEND, 80))
    assert restarted(before, at=71 * HOUR)._flows.served(HOST, "tcp", 80)
    late = restarted(before, at=72 * HOUR + 1800)
    assert ports_of(late, SCANNER) == list(range(2003, 2020))
    assert not late._flows.served(HOST, "tcp", 80)
    assert not restarted(before, at=80 * HOUR).state().scans
    assert not ports_of(restarted(before, at=-80 * HOUR), SCANNER)


def at_end(seconds: float = 1000) -> list[Sent]:
    """A packet that says what time it is."""
    return syn("203.0.113.250", 7001, at=seconds)


def test_smaller_limits_keep_the_latest_sources() -> None:
    before = watched(*(syn(f"203.0.113.{nth}", 7001, 7002, at=nth * 9) for nth in range(40)), at_end())
    limits = Limits(max_sources=16, max_attempts=64)
    after = restarted(before, settings=strict(limits=limits))
    held_within(after, limits)
    assert sources(after.state().known) == [f"203.0.113.{nth}" for nth in range(24, 40)]


def test_of_too_many_sources_those_with_one_attempt_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    newcomers = [syn(f"198.18.0.{nth}", 7001, at=50 + nth) for nth in range(20)]
    known = [syn(f"203.0.113.{nth}", 7001, 7002, at=nth) for nth in range(20)]
    before = watched(*known, *newcomers, at_end())
    monkeypatch.setattr(codec, "_SOURCES_IN_BLOCK", 1)
    whole = b"".join(encoded(before))
    for part, kept in ((1, (20, 21)), (0.9, (20, 15)), (0.3, (9, 0))):
        monkeypatch.setattr(codec, "MAX_BYTES", int(part * len(whole)))
        after = restarted(before).state()
        found = sources(after.known)
        assert found == [f"203.0.113.{nth}" for nth in range(20 - len(found), 20)]
        assert len(found) == pytest.approx(kept[0], abs=4)
        assert len(after.newcomers) == pytest.approx(kept[1], abs=4)


def test_packets_may_come_between_two_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "_SOURCES_IN_BLOCK", 1)
    settings = strict(limits=Limits(max_sources=16, max_attempts=64))
    engine = watched(*(syn(f"203.0.113.{nth}", 7001, 7002, at=nth) for nth in range(16)), settings=settings)
    content = b""
    for nth, piece in enumerate(encoded(engine)):
        content += piece
        watch(engine, syn(f"198.51.100.{nth}", 7001, 7002, 7003, at=100 + nth))
        watch(engine, syn("203.0.113.3", 7100 + nth, at=100 + nth))
    after = Pipeline(settings, HOME)
    after.load(decode(content), engine.last_us)
    held_within(after, settings.limits)
    assert "203.0.113.3" in sources(after.state().known)


def comparable(state: SavedState) -> dict[str, object]:
    """The state in its order; a scan names its source instead of holding it."""

    def shown(scan: Scan) -> tuple[object, ...]:
        last, probe = scan.last.finding, scan.last_probe
        return (
            *(last.record.source, last.record.direction, last.technique, last.scan_type, last.reason, last.group),
            *(last.bannable, last.weight, scan.last.verdict, scan.last.reason, scan.first_us, probe.time_us),
            *(probe.target, probe.port, scan.interval.reported_us, scan.interval.wait_us),
            *(scan.reported_types, scan.reported_verdict, scan.next_weight),
        )

    return {
        **state._asdict(),
        "known": list(map(dataclasses.asdict, state.known)),
        "newcomers": list(map(dataclasses.asdict, state.newcomers)),
        "scans": sorted(map(shown, state.scans), key=repr),
    }


@no_deadline
@given(conversations(hosts=6))
def test_all_that_is_certain_is_remembered(traffic: list[Sent]) -> None:
    engine = watched(traffic)
    # Long enough for every answer that is awaited, and too short for the end of a scan.
    engine.last_us += 2 * SECOND_US
    list(engine.advance(engine.last_us))
    assert comparable(restarted(engine).state()) == comparable(engine.state())


@no_deadline
@given(conversations(), st.integers(0, 40))
def test_a_restart_between_two_packets_forgets_only_what_was_in_the_air(traffic: list[Sent], position: int) -> None:
    """Nothing was in the air five seconds before; a repetition or an answer after it belongs to nothing."""
    sections = strict().detectors
    settings = strict(detectors=dataclasses.replace(sections, distributed=Distributed(256, 256)))
    before, after = traffic[:position], [one.later(10) for one in traffic[position:]]
    whole, first = (Pipeline(settings, US) for _ in range(2))
    wanted = [*watch(whole, before, after), *whole.finish()]
    found = watch(first, before)
    found += first.advance(first.last_us + 5 * SECOND_US)
    second = restarted(first, settings=settings, host=US)
    counted = set(first._suppressed.sources)  # they were just reported
    found += [*watch(second, after), *second.finish()]
    flows = {flow_of(one) for one in before} & {flow_of(one) for one in after}
    excused = {address for _, ends in flows for address, _ in ends} | twins(whole) | counted
    assert not {one for one in banned(wanted) ^ banned(found) if one[0] not in excused}


def flow_of(packet: Sent) -> tuple[int, frozenset[tuple[str, int]]]:
    return packet.proto, frozenset({(packet.src, packet.src_port), (packet.dst, packet.dest_port)})


def banned(events: Iterable[Event]) -> set[tuple[str, str]]:
    return {(one.src_ip, one.technique) for one in evidence(events) if one.verdict == "ban"}


def twins(engine: Pipeline) -> set[str]:
    """Sources that sent the same probes as others; a restart forgets those probes."""
    state = engine.state()
    records = [*state.known, *state.newcomers]
    return {record.source for record in records if any(one.has_twin for one in record.unserved.values())}


# The kernel still knows the peers of connections that this host opened.
_CONTACTS = {
    "checks_by_our_servers": frozenset({CHAT_SERVER, GAME_SERVER}),
    "ftp_active_data_dropped": frozenset({FILE_SERVER}),
}
# That other networks reflect, too, is known for a minute and starts again with each restart.
_FORGOTTEN = {"reflection_from_any_port": {"100.70.7.7", "100.71.7.8"}}
_PAUSE = 2  # seconds: longer than an answer is awaited, so that nothing is in the air at a restart


# The doubt about servers that we asked starts again with a restart.
@pytest.mark.parametrize("name", sorted(set(SCENARIOS) - {"forged_scan_of_a_resolver"}))
def test_a_scanner_is_banned_over_a_restart_too_and_nobody_else(name: str) -> None:
    """The sum of a distributed scan, many sources below every threshold within ten minutes, starts again."""
    made, given_file = SCENARIOS[name], CASES / name / "config.yaml"
    settings = loader.load(given_file) if given_file.exists() else Settings()
    home = tuple(ip_network(text) for text in made.home.split())
    open_traps = settings.traps.tcp if settings.traps.listen else frozenset[int]()
    contacts = _CONTACTS.get(name, frozenset())
    host = HostState(home=home, home_known=bool(home), open_traps=open_traps, contacts=contacts)
    traffic, whole = made.traffic(), Pipeline(settings, host)
    quarter = len(traffic) // 4 + 1
    traffic = [one.later(nth // quarter * _PAUSE) for nth, one in enumerate(traffic)]
    wanted = banned([*watch(whole, traffic), *whole.finish()])
    engine, found = Pipeline(settings, host), list[Event]()
    for start in range(0, len(traffic), quarter):
        found += watch(engine, traffic[start : start + quarter])
        engine.last_us += _PAUSE * SECOND_US
        found += engine.advance(engine.last_us)
        engine = restarted(engine, settings=settings, host=host)
    found += engine.finish()
    together = {source for source, technique in wanted if technique == "distributed"}
    differences = {source for source, _ in wanted} ^ {source for source, _ in banned(found)}
    assert differences - together == _FORGOTTEN.get(name, set())


# Hostile bytes.

SAMPLE = in_time(
    SLOW_SCAN,
    visit(FRIEND, *[80] * 8),
    refused(syn(SCANNER6, 11, 23, *range(3000, 3010), at=11_390)),
    udp(FRIEND, 53, 19),
)


@cache
def sample() -> bytes:
    (question,) = udp(HOST, 53, dst=FRIEND)
    engine = watched(SAMPLE, question, udp_reply(question))
    assert len(engine.state().scans) > 1
    return b"".join(encoded(engine))


def test_no_bytes_are_an_empty_state() -> None:
    assert decode(b"") == SavedState([], [], [], [], [])


def framed(*blocks: object) -> bytes:
    contents = map(msgpack.encode, blocks)
    return b"".join(len(content).to_bytes(4, "big") + content for content in contents)


trees = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), 1 << 63) | st.floats() | st.text() | st.binary(),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(), below, max_size=3),
)


@no_deadline
@given(st.binary() | st.binary().map(lambda some: sample()[:600] + some) | trees.map(framed))
def test_no_bytes_break_the_sensor(content: bytes) -> None:
    restore(content)


@hypothesis_settings(no_deadline, max_examples=200)
@given(
    st.lists(
        st.tuples(st.integers(0, 1 << 20), st.sampled_from([0, 1, 2, 7, 0x7F, 0x80, 0xFF]) | st.integers(0, 255)),
        min_size=1,
        max_size=4,
    ),
    st.none() | st.integers(0, 1 << 20),
)
def test_a_changed_snapshot_is_refused_or_consistent(changes: list[tuple[int, int]], end: int | None) -> None:
    content = bytearray(sample())
    for place, value in changes:
        content[place % len(content)] = value
    restore(bytes(content) if end is None else bytes(content[: end % len(content)]))


def restore(content: bytes) -> None:
    """A sensor with small tables takes the bytes: it says what is wrong, or its tables stay consistent."""
    limits = Limits(max_sources=16, max_flows=64, max_attempts=64)
    engine = Pipeline(strict(limits=limits), HOME)
    try:
        state = decode(content)
    except BrokenSnapshot:
        return
    engine.load(state, START_US + 4 * HOUR * SECOND_US)
    state = engine.state()
    for record in [*state.known, *state.newcomers]:
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


def test_a_source_that_is_written_by_hand_is_read() -> None:
    state = decode(framed(with_source()))
    assert sources(state.known) == [SCANNER]
    (scan,) = state.scans
    assert (scan.last.finding.technique, scan.last_probe.port, scan.last.finding.record) == ("slow", 80, state.known[0])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\0\0\0", "truncated"),
        (b"\0\0\0\5abcd", "end is missing"),
        (b"\0\0\0\5\xdd\xff\xff\xff\xff", "truncated"),
        (framed(with_acquaintance(0, "?")).replace(b"\xa1?", b"\xa1\xff"), "(?i)utf-8"),
        (framed(with_source(source="192.0.2.300")), "an address is not canonical"),
        (framed(with_source(source="fe80::1%eth0")), "an address is not canonical"),
        (framed(with_source(source="2001:DB8::1")), "an address is not canonical"),
        (framed(with_source(endpoint=["192.0.02.1", "tcp", 80])), "an address is not canonical"),
        (framed([[], [], [], [["192.0.2.1 ", "port", 80, 1]]]), "an address is not canonical"),
        (framed(with_source(address="2001:db8:bad::/64")), "an address is not canonical"),
        (framed(with_source(source="2001:db8:bad::/48")), "a network is not canonical"),
        (framed(with_source(source="2001:db8:bad::9/64")), "a network is not canonical"),
        (framed(with_source(source="203.0.113.0/24")), "a network is not canonical"),
        (framed(with_source(source="2001:db8:bad::300::/64")), "an address is not canonical"),
        (framed(with_source(address=FRIEND)), "an address is not of its source"),
        (
            framed(with_source(source="2001:db8:bad::/64", address="2001:db8:bad:1::9")),
            "an address is not of its source",
        ),
        (framed(with_scan(GROUP, "203.0.113.0/024")), "a network is not canonical"),
        (framed(with_scan(GROUP, "203.0.113.9/24")), "has host bits set"),
        (framed(with_scan(GROUP, "a tool")), "not appear to be an IPv4 or IPv6 network"),
        (framed(with_acquaintance(0, "")), "an address is not canonical"),
        (framed(with_source(scans=[SCAN, SCAN])), "an entry is there twice"),
        (framed(with_source(), with_source()), "an entry is there twice"),
        (framed(with_source(opened=[1])), "an endpoint is missing"),
        (framed(with_source(first_us=-1)), ">= 0"),
    ],
)
def test_what_is_wrong_is_reported(content: bytes, reason: str) -> None:
    with pytest.raises(BrokenSnapshot, match=reason):
        decode(content)
