"""What holds for any traffic."""

import dataclasses
import gc
import types
from collections import OrderedDict, deque
from ipaddress import ip_network
from math import log2
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from portsentry_py.config.settings import Limits, Settings
from portsentry_py.core.decode import decode
from portsentry_py.core.detectors.profiles import PROFILES
from portsentry_py.core.host_state import HostState
from portsentry_py.core.packet import ACK, SYN, Packet
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.events.model import EvidenceEvent, Reason
from tests.scenarios.families import SCENARIOS
from tests.scenarios.scenario import Scenario
from tests.support.bounds import held_within
from tests.support.build import (
    FRIEND,
    HOME,
    HOST,
    HOST6,
    NO_HOME,
    SCANNER,
    SCANNER6,
    SECOND_US,
    START_US,
    US,
    Sent,
    evidence,
    icmp_unreachable,
    line,
    log_lines,
    no_deadline,
    records,
    rst,
    strict,
    syn,
    syn_ack,
    tcp,
    udp,
    watch,
    watch_as,
)
from tests.support.traffic import conversations

# Each example is a conversation of up to 25 packets or scans, and other tests draw them too.
fewer_examples = hypothesis_settings(no_deadline, max_examples=40)
TIMES_AND_IDS = ("timestamp", "first_seen", "last_seen", "event_id")


def shifted(events: list[Any]) -> list[dict[str, object]]:
    return records(events, *TIMES_AND_IDS)


def enough(event: EvidenceEvent, settings: Settings) -> bool:
    """Whether the line shows at least the evidence that its rule demands."""
    sections = settings.detectors
    pairs = event.ports * event.hosts
    if event.reason == "ports_in_window":
        few = sections.port_scan.min_protocols if event.proto == "ip" else sections.port_scan.min_ports
        return event.ports >= few
    if event.reason == "hosts_in_window":
        return event.hosts >= sections.sweep.min_hosts and pairs >= sections.sweep.min_hosts
    if event.reason == "impossible_flags":
        return pairs >= sections.stealth.min_ports
    if event.reason == "likelihood":
        likelihood = event.hosts * log2(0.8 / 0.2) + (pairs - event.hosts) * log2(0.76 / 0.32)
        return likelihood >= log2(0.99 / sections.slow.alpha)
    if event.reason == "network_together":
        return event.ports >= 1
    assert event.reason == "decoy_port", event
    touched = event.dest_port in settings.traps.tcp | settings.traps.udp
    return touched and (event.source_verified or (event.touches or 0) >= 2)


@fewer_examples
@given(conversations(hosts=6))
def test_a_ban_names_at_least_the_evidence_that_its_rule_demands(traffic: list[Sent]) -> None:
    settings = strict()
    pipeline = Pipeline(settings, HOME)
    events = [*watch(pipeline, traffic), *pipeline.finish(), *pipeline.advance(START_US + 100_000 * SECOND_US)]
    for event in evidence(events):
        if event.verdict == "ban":
            assert event.direction == "inbound"
            assert enough(event, settings), event
        assert event.last_seen >= event.first_seen
        assert len(event.ports_sample) == min(16, len(set(event.ports_sample)))


@fewer_examples
@given(conversations(hosts=6), st.sampled_from(sorted(PROFILES)))
def test_no_profile_bans_a_protected_source(traffic: list[Sent], profile: str) -> None:
    settings = strict(profile=profile, ignore=(ip_network(f"{FRIEND}/32"),))
    for event in evidence(watch_as(HOME, traffic, settings=settings)):
        if event.src_ip == FRIEND or event.src_ip.startswith(("::ffff:", "fe80:", "169.254.")):
            assert event.verdict != "ban"


@fewer_examples
@given(conversations((SCANNER, SCANNER6, HOST, HOST6)), st.sampled_from(["listed", "named", "protected"]))
def test_protected_sources_are_neither_banned_nor_watched(traffic: list[Sent], how: str) -> None:
    networks = (ip_network(f"{SCANNER}/32"), ip_network(f"{SCANNER6}/128"))
    protected: dict[str, Reason] = {SCANNER: "gateway", SCANNER6: "resolver"}
    settings = strict(ignore=networks if how == "listed" else ())
    host = HostState(
        own=US.own, home=networks if how == "named" else (), protected=protected if how == "protected" else {}
    )
    pipeline = Pipeline(settings, host)
    for event in evidence([*watch(pipeline, traffic), *pipeline.finish()]):
        assert event.verdict == "ignore", event


@fewer_examples
@given(conversations((SCANNER, SCANNER6)))
def test_a_source_in_our_home_networks_is_never_banned(traffic: list[Sent]) -> None:
    home = (ip_network("203.0.113.0/24"), ip_network("2001:db8:bad::/48"))
    pipeline = Pipeline(strict(), HostState(own=US.own, home=home))
    for event in evidence([*watch(pipeline, traffic), *pipeline.finish()]):
        assert event.verdict == "watch", event


@fewer_examples
@given(conversations((SCANNER,)), conversations((FRIEND, SCANNER6, "10.9.8.7"), answers=False))
def test_other_sources_never_change_the_lines_about_a_source(mine: list[Sent], others: list[Sent]) -> None:
    """The others are of other networks and send probes of their own."""
    alone = lines_about(SCANNER, mine)
    together = lines_about(SCANNER, sorted([*mine, *others], key=lambda packet: packet.time_us))
    assert together == alone


def lines_about(source: str, traffic: list[Sent]) -> list[dict[str, object]]:
    """The lines about a source, long after the last packet of anybody."""
    pipeline = Pipeline(strict(), US)
    events = [*watch(pipeline, traffic), *pipeline.advance(START_US + 100_000 * SECOND_US), *pipeline.finish()]
    return records(event for event in evidence(events) if event.src_ip == source)


@fewer_examples
@given(conversations(), st.lists(st.integers(0, 200), max_size=10))
def test_ticks_of_a_clock_change_nothing(traffic: list[Sent], ticks: list[int]) -> None:
    plain, ticked = Pipeline(strict(), US), Pipeline(strict(), US)
    replayed = [*watch(plain, traffic), *plain.finish()]
    live = []
    waiting = sorted(START_US + tick * SECOND_US for tick in ticks)
    for packet in traffic:
        # A line that cannot be decoded has no time: a replay ends with the last packet that has one.
        understood = isinstance(decode(packet.line), Packet)
        while understood and waiting and waiting[0] <= packet.time_us:
            live += list(ticked.advance(waiting.pop(0)))
        live += watch(ticked, packet)
    assert records([*live, *ticked.finish()]) == records(replayed)


@fewer_examples
@given(conversations(), st.integers(-650_000_000, 1_000_000_000))  # from 2003 on: times are compared as text
def test_another_date_changes_only_dates(traffic: list[Sent], seconds: int) -> None:
    later = [dataclasses.replace(packet, time_us=packet.time_us + seconds * SECOND_US) for packet in traffic]
    settings = strict(connections="all")
    assert shifted(watch(settings, later)) == shifted(watch(settings, traffic))


@fewer_examples
@given(conversations())
def test_packets_in_any_order_and_number_never_raise(traffic: list[Sent]) -> None:
    settings = strict(connections="all", limits=Limits(max_sources=16, max_flows=64, max_attempts=64))
    events = watch(settings, traffic[::-1], traffic, traffic[::2])
    assert len(log_lines(events)) == len(events)


@fewer_examples
@given(st.lists(st.text(max_size=60) | st.sampled_from(["", "\t" * 11]), max_size=20), conversations())
def test_garbage_between_packets_changes_nothing(garbage: list[str], traffic: list[Sent]) -> None:
    clean, dirty = Pipeline(strict(), US), Pipeline(strict(), US)
    mixed = [*watch(dirty, garbage), *watch(dirty, traffic, garbage)]
    assert records([*mixed, *dirty.finish()]) == records([*watch(clean, traffic), *clean.finish()])
    assert dirty.counts()["packets"] == len(traffic) + 2 * len(garbage)


@pytest.mark.parametrize("one", SCENARIOS.values(), ids=SCENARIOS)
def test_the_core_forms_no_cycles(one: Scenario) -> None:
    """A process that feeds it looks for them after a million new objects."""
    traffic = one.traffic()
    gc.collect()
    gc.disable()
    try:
        pipeline = Pipeline(strict(), HOME)
        watch(pipeline, traffic)
        list(pipeline.finish())
        assert gc.collect() == 0
    finally:
        gc.enable()


def held(pipeline: Pipeline) -> int:
    """The entries of all containers that a pipeline holds, whatever their names."""
    seen: set[int] = set()
    waiting: list[Any] = [pipeline]
    entries = 0
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, type | types.FunctionType | types.ModuleType | Settings):
            continue
        if isinstance(getattr(one, "__wrapped__", None), types.FunctionType):
            continue  # the cache of a function: all pipelines of the process share it, and it has a bound of its own
        seen.add(id(one))
        if isinstance(one, dict | OrderedDict | list | set | deque):
            entries += len(one)
        waiting += gc.get_referents(one)
    return entries


@hypothesis_settings(fewer_examples, max_examples=15)
@given(st.data())
def test_no_sequence_of_packets_makes_a_table_exceed_its_bound(data: st.DataObject) -> None:
    limits = Limits(max_sources=16, max_flows=64, max_attempts=64)
    pipeline = Pipeline(strict(limits=limits), HOME)
    many = tuple(f"198.18.{nth}.1" for nth in range(120))
    for _ in range(data.draw(st.integers(1, 6))):
        watch(pipeline, data.draw(conversations(many, hosts=6)))
        held_within(pipeline, limits)
        first = data.draw(st.integers(0, 60_000))
        watch(pipeline, syn(data.draw(st.sampled_from(many)), *range(first, first + 100), at=first, seq=first))
        held_within(pipeline, limits)
        flood = [one for nth in range(40) for one in syn(f"10.9.{nth}.1", first, at=first + nth, seq=nth + 1)]
        watch(pipeline, flood)
        held_within(pipeline, limits)


cells = st.fixed_dictionaries(
    {
        "time": st.decimals(0, 10**10, places=6).map(str) | st.sampled_from(["", "x", "-1", "1e9", "1.5.5"]),
        "src": st.ip_addresses().map(str) | st.sampled_from([SCANNER, HOST, SCANNER6, HOST6, "", "x"]),
        "data": st.binary(max_size=36).map(bytes.hex) | st.sampled_from(["", "zz", "00…", "0"]),
        "dst": st.ip_addresses().map(str) | st.sampled_from([HOST, HOST6, SCANNER, "255.255.255.255"]),
        "proto": st.integers(0, 255).map(str) | st.sampled_from(["6", "6", "17", "1", "58", "132", "4,6", "41,58", ""]),
        "ttl": st.sampled_from(["64", "", "1,2", "x"]),
        "id": st.sampled_from(["0xd431", "", "0x1,0x2", "y"]),
        "vlan": st.sampled_from(["", "7", "7,8", "v"]),
    }
)


@fewer_examples
@given(st.lists(cells, max_size=40), st.sampled_from([US, HOME, NO_HOME]))
def test_no_line_makes_the_pipeline_raise(rows: list[dict[str, str]], host: HostState) -> None:
    events = watch_as(host, [line(**row) for row in rows], settings=strict(connections="all"))
    assert len(log_lines(events)) == len(events)


LIMITS = Limits(max_sources=50, max_flows=200, max_attempts=400, max_held=200)
# An entry of a table may be several objects: a flow has a key and a deadline, an attempt its refusal.
MOST_HELD = LIMITS.max_held + 4 * (2 * LIMITS.max_sources + 2 * LIMITS.max_flows + LIMITS.max_attempts) + 500
# A network holds twice the ports that make it a scanner; a source holds what it found to be served.
MOST_HELD += LIMITS.max_sources * 2 * Settings().detectors.distributed.min_ports
MOST_OPENED = 2 * LIMITS.max_sources * 64


@pytest.mark.parametrize("ports", [1, 5, 200])
@pytest.mark.parametrize("answer", [None, rst, syn_ack])
def test_no_number_of_sources_makes_memory_grow(ports: int, answer: object) -> None:
    """Ten times as many forged sources as the table holds, each with a few or with many ports."""
    pipeline = Pipeline(strict(limits=LIMITS), US)
    count = 10 * LIMITS.max_sources if ports < 100 else LIMITS.max_sources + 20
    most = 0
    for number in range(count):
        source = f"10.{number >> 8}.{number & 255}.1"
        probes = syn(source, *range(1, ports + 1), at=number / 1000, every=0.000001)
        watch(pipeline, ([probe, answer(probe)] if callable(answer) else [probe] for probe in probes))
        if number % 20 == 0 or number == count - 1:
            most = max(most, held(pipeline))
    allowed = MOST_HELD + (MOST_OPENED if answer is syn_ack else 0)
    assert most <= allowed, f"{most} entries are held, {allowed} are the most that the limits allow"


def test_no_number_of_datagrams_or_stray_answers_makes_memory_grow() -> None:
    pipeline = Pipeline(strict(limits=LIMITS), US)
    for number in range(1000):
        source = f"10.{number >> 8}.{number & 255}.1"
        watch(pipeline, udp(source, number, at=number / 1000), tcp(source, HOST, 80, number, SYN | ACK))
        watch(pipeline, icmp_unreachable(udp(source, 99)[0]))
    assert held(pipeline) <= MOST_HELD


def test_events_name_evidence() -> None:
    """The traffic of the properties above makes evidence lines."""
    events = watch(strict(), syn(SCANNER, *range(100, 112)))
    assert any(isinstance(event, EvidenceEvent) and event.verdict == "ban" for event in events)
    assert held(Pipeline(strict(), US)) > 0
