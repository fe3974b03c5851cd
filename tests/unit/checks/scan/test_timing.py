"""Timeouts by RFC 6298, the window, and the pause for hosts that limit their errors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.checks.scan.timing import RoundTrip, Timing, Window


def test_the_first_measurement_is_that_of_the_rfc() -> None:
    trip = RoundTrip()
    assert trip.timeout == 1
    trip.measure(0.2)
    assert (trip.smoothed, trip.variance) == (0.2, 0.1)
    assert trip.timeout == pytest.approx(0.6)
    trip.measure(0.4)
    assert trip.variance == pytest.approx(0.125)
    assert trip.smoothed == pytest.approx(0.225)


@given(st.lists(st.floats(0, 100), max_size=30))
def test_the_timeout_has_bounds(seconds: list[float]) -> None:
    trip = RoundTrip()
    for one in seconds:
        trip.measure(one)
        trip.back_off()
    assert 0.1 <= trip.timeout <= 10


def test_later_probes_of_a_port_wait_longer_but_no_more_than_a_second() -> None:
    trip = RoundTrip()
    trip.measure(0.001)
    timing = Timing(trip, Window(100))
    assert [timing.timeout(attempt) for attempt in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    trip.timeout = 3
    assert timing.timeout(5) == 3


def test_errors_that_matter_are_awaited_for_a_second() -> None:
    timing = Timing(RoundTrip(timeout=0.1), Window(100))
    timing.await_errors()
    assert timing.timeout(0) == 1


def test_the_window_grows_with_answers_and_halves_once_a_round_trip() -> None:
    window = Window(2048)
    begin = window.size
    for _ in range(begin):
        window.grow()
    assert window.size == 2 * begin
    window.halve(10, 1)
    window.halve(10.5, 1)
    assert window.size == begin
    window.grow()
    assert window.size == begin, "beyond the threshold it grows by one in a round trip"
    for now in range(20, 60, 2):
        window.halve(now, 1)
    assert window.size == 8


def test_the_window_keeps_to_what_the_caller_has() -> None:
    window = Window(3)
    window.grow()
    window.halve(0, 0)
    assert window.size == 3


def test_the_pause_doubles_up_to_a_second() -> None:
    timing, pauses = Timing(RoundTrip(), Window(9)), []
    for now in range(0, 16, 2):
        timing.slow_down(now)
        pauses.append(timing.pause)
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1, 1, 1]
    before = Timing(RoundTrip(), Window(9))
    before.slow_down(5)
    before.slow_down(5.01)
    assert before.pause == 0.05
