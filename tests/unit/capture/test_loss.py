"""Loss accounting: what of the packets that the kernel counts has arrived, is on its way, or is lost."""

import pytest

from portsentry_py.capture.loss import LossAccounting
from tests.support.accounted_wire import Wire, lines, wall


def test_a_packet_is_pending_until_it_arrives() -> None:
    wire = Wire()
    wire.passes(3)
    wire.count()
    assert wire.account == (0, 0, 0, 3)
    wire.delivers(2)
    assert wire.account == (2, 0, 0, 1)
    wire.delivers(1)
    assert wire.account == (3, 0, 0, 0)
    assert wire.loss.seen == 3


def test_without_a_counter_seen_is_what_arrived_and_what_dumpcap_reports() -> None:
    loss = LossAccounting()
    loss.capture_started(0.0, wall(0.0))
    loss.add_lines(1.0, lines(0.5, 0.6))
    loss.capture_ended(3)
    assert (loss.seen, loss.pending, loss.dropped, loss.missed) == (5, 0, 3, 0)
    loss.capture_started(9.0, wall(9.0))
    loss.add_lines(10.0, lines(9.5))
    assert not loss.check_stall(99.0)
    loss.capture_ended(4)
    loss.finish()
    assert (loss.seen, loss.received, loss.dropped, loss.missed) == (10, 3, 7, 0)


def test_pending_packets_are_lost_four_seconds_after_the_last_change() -> None:
    wire = Wire()
    wire.passes(5)
    wire.drops(2)
    wire.count()
    wire.now += 1
    wire.delivers(5)
    wire.wait(3.9)
    assert wire.account == (5, 0, 0, 2)
    wire.wait(0.2)
    assert wire.account == (5, 2, 0, 0)


def test_pending_packets_are_not_lost_while_packets_pass() -> None:
    wire = Wire()
    wire.passes(1)
    wire.delivers(1)
    for _ in range(5):
        wire.drops(1)
        wire.wait(3)
    wire.wait(3.9)
    assert wire.account == (1, 0, 0, 5)
    wire.wait(0.2)
    assert wire.account == (1, 5, 0, 0)


@pytest.mark.parametrize("takes_over", [False, True])
def test_packets_are_not_lost_while_a_tshark_takes_long_to_start(takes_over: bool) -> None:
    wire = Wire()
    if takes_over:
        wire.passes(1)
        wire.delivers(1)
        wire.loss.reading_started()
    wire.passes(4)
    wire.wait(0)
    for _ in range(13):
        wire.wait(1)
        assert wire.account == (takes_over, 0, 0, 4)
    wire.delivers(4)
    assert wire.account == (takes_over + 4, 0, 0, 0)


def test_a_packet_that_arrives_late_was_not_lost() -> None:
    wire = Wire()
    wire.passes(4)
    wire.drops(1)
    wire.settle()
    assert wire.account == (0, 5, 0, 0)
    wire.delivers(4)
    assert wire.account == (4, 1, 0, 0)
    assert wire.loss.seen == 5


def test_drops_that_dumpcap_reports_do_not_count_twice() -> None:
    wire = Wire()
    wire.drops(3)
    wire.settle()
    wire.drops(4)
    assert wire.account == (0, 3, 0, 0)
    wire.ends(0)
    assert wire.account == (0, 7, 0, 0)
    wire.starts()
    wire.drops(2)
    wire.ends(0)
    assert wire.account == (0, 9, 0, 0)


def test_losses_that_only_the_counter_knows_are_added_to_those_of_dumpcap() -> None:
    wire = Wire()
    wire.passes(5)
    wire.vanish(5)
    wire.settle()
    wire.drops(3)
    wire.ends(0)
    wire.starts()
    wire.settle()
    assert wire.accounted_losses == 8


def test_packets_that_the_counter_cannot_count_hide_no_losses() -> None:
    wire = Wire()
    wire.count()
    wire.loss.add_lines(wire.now, lines(*[wire.now] * 5))
    wire.drops(2)
    wire.settle()
    assert wire.account == (5, 2, 0, 0)
    assert wire.loss.seen == 7


def test_packets_that_pass_while_the_sensor_ends_do_not_change_the_account() -> None:
    """The counter is closed before the capture: what arrives then was not counted."""
    wire = Wire()
    wire.drops(5)
    wire.settle()
    wire.loss.stop_counting()
    wire.loss.add_lines(wire.now, lines(*[wire.now] * 9))
    wire.loss.capture_ended(6)
    wire.loss.finish()
    assert wire.account == (9, 6, 0, 0)


def test_all_packets_of_a_file_have_arrived() -> None:
    loss = LossAccounting(7)
    assert (loss.seen, loss.received, loss.pending) == (7, 7, 0)
    assert (loss.dropped, loss.missed) == (0, 0)
