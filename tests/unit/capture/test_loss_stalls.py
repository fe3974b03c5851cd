"""Loss accounting: when a capture is stalled, and when it is only quiet, slow or behind."""

from itertools import pairwise

import pytest

from tests.support.accounted_wire import Wire


def test_a_lone_packet_that_is_lost_before_the_first_line_is_no_stall() -> None:
    wire = Wire()
    wire.drops(1)
    for _ in range(20):
        wire.wait(1)
        assert not wire.loss.check_stall(wire.now)
    assert wire.account == (0, 1, 0, 0)


def stalls(wire: Wire, seconds: int) -> list[int]:
    """When stalls are found, while a packet is lost each second and each stall ends in a restart."""
    found = []
    for _ in range(seconds):
        wire.drops(1)
        wire.wait(1)
        if wire.loss.check_stall(wire.now):
            found.append(round(wire.now))
            wire.ends(0)
            wire.starts()
    return found


def test_a_stall_before_the_first_line_is_found_late_and_then_after_twice_the_time() -> None:
    wire = Wire()
    found = stalls(wire, 400)
    pauses = [after - before for before, after in pairwise(found)]
    assert found[0] == 16, "the first count with a packet, and fifteen seconds"
    assert pauses[:2] == [31, 61]
    assert set(pauses[2:]) == {61}
    assert wire.loss.stalled


def test_a_packet_that_arrives_ends_the_stall_and_the_next_is_found_after_three_seconds() -> None:
    wire = Wire()
    assert stalls(wire, 16) == [16]
    wire.passes(1)
    wire.delivers(1)
    assert not wire.loss.stalled
    start = round(wire.now)
    assert [moment - start for moment in stalls(wire, 30)] == [4, 20]


def test_a_capture_that_takes_over_gets_time_for_its_first_line() -> None:
    wire = Wire()
    wire.passes(1)
    wire.delivers(1)
    for _ in range(3):
        wire.drops(1)
        wire.wait(1)
    wire.loss.reading_started()
    for _ in range(15):
        wire.drops(1)
        wire.wait(1)
        assert not wire.loss.check_stall(wire.now)
    wire.wait(1)
    assert wire.loss.check_stall(wire.now)


def test_a_restart_does_not_end_a_stall() -> None:
    wire = Wire()
    stalls(wire, 16)
    wire.settle()
    assert wire.loss.stalled
    assert not wire.loss.check_stall(wire.now), "nothing passes any more"
    wire.delivers(0)
    assert wire.loss.stalled


def test_without_packets_there_is_no_stall() -> None:
    wire = Wire()
    for _ in range(100):
        wire.wait(1)
        assert not wire.loss.check_stall(wire.now)
    wire.passes(1)
    wire.wait(1)
    wire.delivers(1)
    for _ in range(100):
        wire.wait(1)
        assert not wire.loss.check_stall(wire.now)
    assert not wire.loss.stalled


@pytest.mark.parametrize("first", ["lines", "count"])
def test_a_pause_after_a_burst_of_which_some_was_dropped_is_no_stall(first: str) -> None:
    """The lines arrived; pending are those that never will."""
    wire = Wire()
    wire.passes(50)
    wire.drops(50)
    if first == "count":
        wire.wait(0.1)
    wire.now += 0.4
    wire.delivers(50)
    for _ in range(10):
        wire.wait(1)
        assert not wire.loss.check_stall(wire.now)
    assert wire.account == (50, 50, 0, 0)


def test_a_capture_that_is_behind_is_not_stalled() -> None:
    wire = Wire()
    wire.passes(100)
    for _ in range(20):
        wire.wait(1)
        wire.delivers(5)
        assert not wire.loss.check_stall(wire.now)
    assert wire.account == (100, 0, 0, 0)
