"""Standing needs sessions, ages, and is bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.core import standing as module
from portsentry_py.core.sighting import Kind, Sighting
from portsentry_py.core.source_record import Attempt, Endpoint, SourceRecord, StackFingerprint
from portsentry_py.core.standing import Acquaintance, StandingTable
from portsentry_py.events.model import Direction
from tests.support.build import FRIEND, HOST, SCANNER, SCANNER6, SECOND_US, START_US, no_deadline
from tests.support.sightings import sighting

DAY_US = 86_400_000_000
MINUTE_US = 60_000_000
STACK = StackFingerprint(60, 40)
NEIGHBOUR6 = "2001:db8:bad::77"


def known(table: StandingTable, address: str = FRIEND) -> Acquaintance:
    found = table.of(address)
    assert found is not None
    return found


def test_a_stranger_has_no_standing() -> None:
    assert StandingTable().of(FRIEND) is None
    assert StandingTable().neighbours(FRIEND) == []


def test_one_session_makes_neither_a_guest_nor_a_regular_visitor() -> None:
    table = StandingTable()
    table.note_session(FRIEND, STACK, START_US)
    assert not known(table).is_guest(START_US)
    assert not known(table).is_regular(START_US)


def test_five_sessions_within_a_day_make_a_guest_until_the_day_is_over() -> None:
    table = StandingTable()
    for nth in range(5):
        table.note_session(FRIEND, STACK, START_US + nth)
    assert known(table).is_guest(START_US + DAY_US)
    assert not known(table).is_guest(START_US + DAY_US + 1)
    assert not known(table).is_regular(START_US)


def test_sessions_on_two_days_make_a_regular_visitor_for_a_month() -> None:
    table = StandingTable()
    table.note_session(FRIEND, STACK, START_US)
    table.note_session(FRIEND, STACK, START_US + DAY_US)
    assert known(table).is_regular(START_US + DAY_US)
    assert known(table).is_regular(START_US + 30 * DAY_US)
    assert not known(table).is_regular(START_US + 31 * DAY_US)


def test_the_stacks_of_its_sessions_are_kept_and_no_more_than_four() -> None:
    table = StandingTable()
    for ttl in range(50, 60):
        table.note_session(FRIEND, StackFingerprint(ttl, 40), START_US)
    assert [stack.ttl for stack in known(table).stacks] == [56, 57, 58, 59]


def test_neighbours_are_addresses_of_the_same_ipv6_network() -> None:
    table = StandingTable()
    table.note_session(NEIGHBOUR6, STACK, START_US)
    table.note_session("2001:db8:bad:1::77", STACK, START_US)
    assert [one.address for one in table.neighbours(SCANNER6)] == [NEIGHBOUR6]
    assert table.neighbours(NEIGHBOUR6) == []


def test_a_network_is_one_entry_however_many_addresses_it_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_NETWORKS", 2)
    table = StandingTable()
    table.note_session(FRIEND, STACK, START_US)
    for host in range(1, 50):
        table.note_session(f"2001:db8:bad::{host:x}", STACK, START_US)
    assert table.of(FRIEND) is not None
    assert len(table.entries()) == 1 + module._MAX_NEIGHBOURS


def test_the_least_recently_used_network_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_NETWORKS", 2)
    table = StandingTable()
    for address in (FRIEND, SCANNER6, FRIEND, SCANNER):
        table.note_session(address, STACK, START_US)
    assert [one.address for one in table.entries()] == [FRIEND, SCANNER]


def test_the_entries_outlive_a_restart() -> None:
    table, other = StandingTable(), StandingTable()
    for address in (FRIEND, SCANNER6, NEIGHBOUR6):
        table.note_session(address, STACK, START_US)
    other.restore(table.entries())
    assert other.entries() == table.entries()
    assert [one.address for one in other.neighbours(SCANNER6)] == [NEIGHBOUR6]


def updated(*sightings: Sighting, attempts: int = 0, touches: int = 0) -> StandingTable:
    """A table with these sightings in it, all of sources with that record."""
    table = StandingTable()
    for one in sightings:
        record = SourceRecord(one.source, one.direction, START_US, START_US, trap_touches=touches)
        for port in range(attempts):
            record.unserved[Endpoint(HOST, "tcp", port)] = Attempt(START_US, START_US, "syn")
        table.update(one, record)
    return table


def used(kind: Kind, *, at: float = 0, direction: Direction = "inbound") -> Sighting:
    return sighting(kind, 80, source=FRIEND, at=at, direction=direction)


def test_a_session_counts_with_its_stack() -> None:
    assert known(updated(used(Kind.SESSION))) == (
        FRIEND,
        (START_US // DAY_US,),
        (START_US,),
        (StackFingerprint(64, 24),),
    )


def test_a_session_counts_until_the_source_touches_a_trap() -> None:
    assert updated(used(Kind.SESSION), attempts=3).of(FRIEND) is not None
    assert updated(used(Kind.SESSION), touches=1).of(FRIEND) is None


def test_our_own_sessions_with_others_do_not_count() -> None:
    assert updated(used(Kind.SESSION, direction="outbound"), used(Kind.PROVEN, direction="outbound")).entries() == []


def test_a_health_check_is_a_session_once_a_minute() -> None:
    table = updated(*(used(Kind.PROVEN, at=at) for at in (0, 30, 59, 60, 61, 130)))
    assert [time_us - START_US for time_us in known(table).sessions_us] == [0, MINUTE_US, 130 * SECOND_US]


def test_a_connection_that_is_closed_unused_by_a_source_that_probes_is_no_session() -> None:
    assert updated(used(Kind.PROVEN), attempts=1).of(FRIEND) is None


addresses = st.sampled_from([FRIEND, SCANNER, *(f"2001:db8:bad::{host:x}" for host in range(1, 9))])
sessions = st.tuples(addresses, st.builds(StackFingerprint, st.integers(0, 255), st.just(40)), st.integers(0, 1 << 50))


@no_deadline
@given(st.lists(sessions, max_size=100))
def test_what_is_kept_is_bounded_and_holds_the_last_session(
    all_sessions: list[tuple[str, StackFingerprint, int]],
) -> None:
    table = StandingTable()
    for address, stack, now_us in all_sessions:
        table.note_session(address, stack, now_us)
        last = known(table, address)
        assert last.sessions_us[-1] == now_us
        assert now_us // DAY_US in last.days
        assert stack in last.stacks
        for one in table.entries():
            assert (len(one.days) <= module.MAX_DAYS, len(one.stacks) <= 4) == (True, True)
            assert len(one.sessions_us) <= module.GUEST_SESSIONS
            assert len(set(one.days)) == len(one.days)
        assert len(table.entries()) <= 2 + module._MAX_NEIGHBOURS
        assert not any(one.address == address for one in table.neighbours(address))
