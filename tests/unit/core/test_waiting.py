"""Sources that wait and asked for many things: those that asked for most stay, and have their turn first."""

from collections.abc import Iterable
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.config.settings import Bans, Limits, Lines, Settings
from portsentry_py.core import waiting as module
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.core.waiting import STRONG, StrongSources, Waiting, network_of_text
from portsentry_py.events.model import Event, EvidenceEvent
from tests.support.build import (
    HOST,
    SCANNER,
    US,
    Sent,
    connections,
    evidence,
    in_time,
    lines,
    micros,
    no_deadline,
    records,
    syn,
    syn_ack,
    watch,
)

ROOM = 1_000_000
FLOOD = st.lists(st.tuples(st.integers(0, 3), st.integers(STRONG, 90)), max_size=60)


def waiting(source: str, asks: int, at: float = 0.1) -> Waiting:
    """What is kept of a source that asked for so much."""
    first, *others = lines(*syn(source, *range(1, asks + 1), at=at, every=0))
    one = Waiting(first)
    for line in others:
        one.add(line)
    one.count = asks
    return one


def cell(at: float) -> str:
    """A time cell."""
    return f"{micros(at) / 1e6:.9f}"


def forge(room: StrongSources, flood: list[tuple[int, int]]) -> None:
    """Let forged sources of some networks wait that asked for so much."""
    for nth, (network, asks) in enumerate(flood):
        room.put(f"10.{network}.0.{nth}", waiting("10.0.0.1", asks), cell(0.1))


@no_deadline
@given(FLOOD, FLOOD, st.integers(5_000, 100_000))
def test_no_number_of_sources_that_ask_for_less_hides_a_scanner(
    before: list[tuple[int, int]], after: list[tuple[int, int]], max_size: int
) -> None:
    room, scanner = StrongSources(max_size), waiting(SCANNER, 91)
    room._max_size = max(max_size, 2 * scanner.size)
    forge(room, before)
    room.put(SCANNER, scanner, cell(0.2))
    forge(room, [(network + 4, asks) for network, asks in after])
    assert next(room.next_turns()) is scanner
    assert len(scanner.lines) == 91


@no_deadline
@given(FLOOD.filter(len))
def test_each_network_has_a_turn_before_any_has_two_of_these(flood: list[tuple[int, int]]) -> None:
    room, scanner = StrongSources(ROOM), waiting(SCANNER, STRONG)
    forge(room, flood)
    room.put(SCANNER, scanner, cell(0.1))
    networks = len({network for network, _ in flood}) + 1
    assert scanner in list(room.next_turns())[: 2 * networks]


def test_a_network_that_had_turns_waits_for_those_that_had_none() -> None:
    room, scanner = StrongSources(ROOM), waiting(SCANNER, STRONG)
    forge(room, [(0, 70)] * 4)
    assert next(room.next_turns()).count == 70
    room.put(SCANNER, scanner, cell(0.1))
    turns = room.next_turns()
    assert next(turns).count == 70
    assert next(turns) is scanner


@no_deadline
@given(FLOOD, st.integers(1, 60_000))
def test_the_room_is_bounded_and_its_size_is_known(flood: list[tuple[int, int]], max_size: int) -> None:
    room = StrongSources(max_size)
    forge(room, flood)
    room.add("10.0.0.0", "x" * 500)
    kept = list(room._sources.items())
    assert room.size == sum(one.size for _, one in kept) == sum(len(line) for _, one in kept for line in one.lines)
    assert room.size <= max_size
    assert len(list(room.next_turns())) == len(kept)
    assert room.size == 0


def test_before_a_source_is_dropped_its_first_lines_are_kept() -> None:
    one = waiting(SCANNER, 70)
    room, all_of_it = StrongSources(one.size + 1), list(one.lines)
    room.put(SCANNER, one, cell(0.1))
    room.put("10.0.0.1", waiting("10.0.0.1", 71), cell(0.2))
    kept = room.peek(SCANNER)
    assert kept is not None
    assert kept.lines == all_of_it[: 2 * STRONG]
    assert kept.count == 70


def test_some_are_due_at_the_next_whole_second_and_nobody_when_there_is_none() -> None:
    room = StrongSources(ROOM)
    assert room.due > cell(1e9)
    forge(room, [(0, 20)] * 2)
    assert (room.due_us, room.due) == (micros(1), cell(1)[: len(room.due)])
    next(room.next_turns())
    room.pass_on()
    assert room.due_us == micros(2)
    list(room.next_turns())
    room.pass_on()
    assert room.due > cell(1e9)


def test_a_clock_that_is_set_back_lets_nobody_wait_for_long() -> None:
    room = StrongSources(ROOM)
    room.put(SCANNER, waiting(SCANNER, 20), cell(5_000))
    room.put("10.0.0.1", waiting("10.0.0.1", 20), cell(0.5))
    assert room.due_us == micros(1)


def test_what_waited_for_more_than_a_minute_is_not_let_in() -> None:
    room, one = StrongSources(ROOM), waiting(SCANNER, 20, at=0.5)
    late = lines(*syn(SCANNER, 30, at=61.5))
    one.add(*late)
    room.put(SCANNER, one, cell(61.5))
    assert room.not_late(next(room.next_turns())) == late


def test_the_networks_that_had_turns_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_NETWORKS", 3)
    room = StrongSources(ROOM)
    forge(room, [(nth, 20) for nth in range(9)])
    turns = room.next_turns()
    for _ in range(8):
        next(turns)
        room.pass_on()
        assert len(room._turns) <= 3


def test_our_answer_that_stands_for_a_first_packet_asked_for_what_it_answers() -> None:
    (asked,) = syn(SCANNER, 80)
    kept = "\n".join(lines(asked, syn_ack(asked)))
    for one, answers in ((Waiting(kept), 1), (Waiting(syn_ack(asked).line), 1), (Waiting(asked.line), 0)):
        assert (one.asked, one.answers) == ({("tcp", HOST, "0050")}, answers)


@pytest.mark.parametrize(
    ("source", "network"),
    [("198.51.100.7", "198.51"), ("2001:db8:bad::/64", "2001:db8"), ("2001::5", "2001:0"), ("", "")],
)
def test_the_network_of_a_text(source: str, network: str) -> None:
    assert network_of_text(source) == network


@cache
def amid_forged_scanners() -> list[Sent]:
    """A scan of ninety ports within a second, amid two hundred forged ones of seventy; only a visit afterwards."""
    mine = syn(SCANNER, *range(900, 990), at=2, every=0.01, options=b"")
    flood = [
        probe
        for nth in range(200)
        for probe in syn(f"10.{nth}.0.1", *range(600, 670), at=nth * 0.02, every=0.0002, src_port=1_024 + nth)
    ]
    return in_time(mine, flood, syn("192.0.2.99", 80, at=5))


SMALL = Settings(lines=Lines(scans_per_second=1), limits=Limits(new_sources_per_second=30, max_held=3_000))


def test_a_scanner_amid_forged_ones_that_ask_for_less_is_banned_while_the_flood_goes_on() -> None:
    engine = Pipeline(SMALL, US)
    events = [event for sent in amid_forged_scanners() if sent.time_us < micros(4) for event in watch(engine, sent)]
    mine = [one for one in evidence(events) if one.src_ip == SCANNER]
    assert [(one.verdict, one.technique) for one in mine] == [("ban", "port_scan")]
    assert engine.counts()["packets_held"] > 5_000


@pytest.mark.parametrize("every", [0.37, 1.0, 2.5])
def test_a_tick_changes_no_line_about_sources_that_wait(every: float) -> None:
    traffic = amid_forged_scanners()
    live, ticks, events = Pipeline(SMALL, US), 0, list[Event]()
    for sent in traffic:
        while micros(ticks * every) <= sent.time_us:
            events += live.advance(micros(ticks * every))
            ticks += 1
        events += watch(live, sent)
    assert records([*events, *live.finish()]) == records(watch(SMALL, traffic))


def forged(nth: int, at: float) -> list[Sent]:
    """Eighty probes of a source with a stack and a network of its own."""
    ports = range(1_000 * nth + 600, 1_000 * nth + 680)
    return syn(f"10.{nth}.0.1", *ports, at=at, every=0, src_port=2_000 + nth, seq=nth, options=bytes([2, 4, 5, nth]))


@pytest.mark.interpreted
def test_sources_that_waited_for_long_refill_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else each forged source that waits for minutes has an innocent more banned."""
    engine = Pipeline(Settings(bans=Bans(unverified_per_minute=1), lines=Lines(per_second=1)), US)
    events = list(watch(engine, in_time(*(forged(nth, at=1_000 + nth) for nth in range(12)))))
    assert 8 <= len(bans(events)) <= 10
    now = {nth: syn("192.0.2.9", 5_000 + nth, at=1_012 + nth) for nth in range(12, 24)}
    late = {line: lines(*forged(nth, at=10)) for nth, sent in now.items() for line in lines(*sent)}
    monkeypatch.setattr(engine._admission, "admit", lambda line, _: [*late.get(line, ()), line])
    later = list(watch(engine, in_time(*now.values())))
    assert bans(later) == []
    assert len(connections(later)) < 50
    assert len(bans(watch(engine, in_time(*(forged(nth, at=1_100 + nth) for nth in range(24, 28)))))) <= 2


def bans(events: Iterable[Event]) -> list[EvidenceEvent]:
    """The lines that ban."""
    return [one for one in evidence(events) if one.verdict == "ban"]
