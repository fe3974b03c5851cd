"""When a fresh capture is due: a grown tshark, a stale filter, drops that nobody has told yet."""

from __future__ import annotations

from itertools import pairwise

import pytest

from portsentry_py.capture.handover import BEHIND, GROWN, SERVED, HandoverPolicy

MIB = 1 << 20
SIZE = 100 * MIB
NTP, SIP = frozenset({123}), frozenset({5060})


@pytest.fixture
def renewals() -> HandoverPolicy:
    """A capture that has run for a while, and whose filter knows of port 123."""
    made = HandoverPolicy(128 * MIB)
    made.begin(0.0, NTP)
    assert made.due(1.0, SIZE) is None
    return made


def served(renewals: HandoverPolicy, *ports: frozenset[int]) -> None:
    """These ports are listening, at one look after the other."""
    for one in ports:
        renewals.listening(one)


def fell_behind(renewals: HandoverPolicy, now: float) -> None:
    """Lines came late, and then in time."""
    renewals.read(now, 3.0)
    renewals.read(now, 0.3)


def test_a_capture_that_runs_well_goes_on(renewals: HandoverPolicy) -> None:
    served(renewals, NTP, NTP, NTP)
    for now in range(2, 1000):
        renewals.read(now, 0.5 if now % 3 else None)
        assert renewals.due(now, SIZE) is None


def test_a_tshark_that_has_grown_is_replaced(renewals: HandoverPolicy) -> None:
    assert renewals.due(3, SIZE + 128 * MIB) is None
    assert renewals.due(4, SIZE + 129 * MIB) == GROWN


def test_what_tshark_needs_to_begin_with_is_no_growth() -> None:
    late = HandoverPolicy(16 * MIB)
    late.begin(0, NTP)
    for now, size in ((0.5, 10 * MIB), (1.9, SIZE), (2.1, SIZE + 16 * MIB)):
        assert late.due(now, size) is None
    late.begin(10, NTP)
    assert late.due(20, SIZE + 100 * MIB) is None, "the first look came late"
    assert late.due(21, SIZE + 117 * MIB) == GROWN


def test_a_growth_is_told_once_until_it_has_grown_as_much_again(renewals: HandoverPolicy) -> None:
    grown = SIZE + 129 * MIB
    told = [renewals.due(now, grown) for now in range(3, 10)]
    assert told == [GROWN, *[None] * 6]
    assert renewals.due(10, grown + 129 * MIB) == GROWN


def test_a_port_that_is_served_at_two_looks_makes_the_filter_stale(renewals: HandoverPolicy) -> None:
    served(renewals, NTP | SIP)
    assert renewals.due(3, SIZE) is None
    served(renewals, NTP | SIP)
    assert renewals.due(13, SIZE) == SERVED
    renewals.begin(14, NTP | SIP)
    served(renewals, NTP | SIP, NTP | SIP)
    assert renewals.due(1000, SIZE) is None


def test_a_port_that_is_no_longer_served_does_not(renewals: HandoverPolicy) -> None:
    served(renewals, frozenset(), frozenset(), NTP | SIP, NTP | SIP, NTP)
    assert renewals.due(3, SIZE) is None


def test_a_client_that_takes_another_port_each_time_does_not(renewals: HandoverPolicy) -> None:
    for port in range(40_000, 40_100):
        served(renewals, NTP | {port})
        assert renewals.due(port, SIZE) is None


def test_ports_that_come_and_go_renew_more_and_more_rarely(renewals: HandoverPolicy) -> None:
    when = []
    for now in range(10, 7210, 10):
        served(renewals, NTP | {now // 20}, NTP | {now // 20})
        if renewals.due(now, SIZE):
            when.append(now)
            renewals.begin(now, NTP)
    pauses = [after - before for before, after in pairwise(when)]
    assert pauses[:5] == [60, 120, 240, 480, 600]
    assert set(pauses[5:]) == {600}


def test_after_a_quiet_time_a_new_service_waits_for_nothing(renewals: HandoverPolicy) -> None:
    served(renewals, SIP, SIP)
    when = [now for now in range(3, 1000) if renewals.due(now, SIZE)]
    assert when[:2] == [3, 63], "a fresh capture that does not start is tried again"
    served(renewals, NTP)
    assert renewals.due(3000, SIZE) is None
    served(renewals, SIP, SIP)
    assert renewals.due(3001, SIZE) == SERVED
    assert renewals.due(3061, SIZE) == SERVED


def test_other_ports_that_the_operator_names_wait_for_nothing(renewals: HandoverPolicy) -> None:
    served(renewals, SIP, SIP)
    assert renewals.due(3, SIZE) == SERVED
    renewals.begin(4, NTP | SIP)
    renewals.named_anew()
    assert renewals.due(5, SIZE) == SERVED
    assert renewals.due(6, SIZE) is None, "if it does not start, it is not tried at once again"
    assert renewals.due(65, SIZE) == SERVED
    renewals.begin(66, NTP)
    assert renewals.due(1000, SIZE) is None


def test_once_the_sensor_has_caught_up_it_asks_what_was_dropped(renewals: HandoverPolicy) -> None:
    renewals.read(10, 1.1)
    assert renewals.due(10, SIZE) is None, "a fresh one would be as late"
    renewals.read(12, 0.9)
    assert renewals.due(12, SIZE) == BEHIND
    renewals.begin(13, NTP)
    renewals.read(20, 0.9)
    assert renewals.due(1000, SIZE) is None


def test_who_falls_behind_again_has_not_caught_up(renewals: HandoverPolicy) -> None:
    fell_behind(renewals, 10)
    renewals.read(11, 2.0)
    assert renewals.due(11, SIZE) is None


def test_silence_means_caught_up_once_it_has_lasted(renewals: HandoverPolicy) -> None:
    renewals.read(10, 5.0)
    renewals.read(19, None)
    assert renewals.due(19, SIZE) is None, "tshark may be held up"
    renewals.read(20, None)
    assert renewals.due(20, SIZE) == BEHIND


def test_a_capture_that_takes_over_begins_behind(renewals: HandoverPolicy) -> None:
    renewals.read(5, 2.0)
    renewals.read(6, 0.1)
    assert renewals.due(6, SIZE) is None


def test_drops_are_asked_for_at_most_once_a_minute(renewals: HandoverPolicy) -> None:
    when = []
    for now in range(10, 3000):
        fell_behind(renewals, now)
        if renewals.due(now, SIZE):
            when.append(now)
            renewals.begin(now, NTP)
    assert when[:3] == [10, 70, 190]
    assert len(when) < 10


@pytest.mark.parametrize(("step_seconds", "told"), [(3600.0, [BEHIND]), (-3600.0, [])])
def test_a_clock_that_is_stepped_renews_once_at_most(
    renewals: HandoverPolicy, step_seconds: float, told: list[str]
) -> None:
    renewals.read(10, 0.3 + step_seconds)
    found = []
    for now in range(11, 3000):
        renewals.read(now, 0.3)
        if reason := renewals.due(now, SIZE):
            found.append(reason)
            renewals.begin(now, NTP)
    assert found == told


def test_a_clock_that_is_always_wrong_renews_rarely(renewals: HandoverPolicy) -> None:
    found = 0
    for now in range(11, 7200):
        renewals.read(now, 3600.0 if now % 30 < 15 else None)
        if renewals.due(now, SIZE):
            found += 1
            renewals.begin(now, NTP)
    assert 1 <= found <= 15
