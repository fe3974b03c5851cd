"""Loss accounting over several captures: what passes between two of them, and what a handover keeps."""

from portsentry_py.capture.loss import LossAccounting
from tests.support.accounted_wire import Wire, lines, wall


def test_packets_from_before_the_first_capture_do_not_count() -> None:
    loss = LossAccounting()
    loss.update_count(0.0, 1000)
    loss.capture_started(0.0, wall(0.0))
    assert loss.seen == 0
    loss.update_count(1.0, 1002)
    assert (loss.seen, loss.pending) == (2, 2)


def test_packets_that_the_first_capture_had_before_the_counter_count() -> None:
    loss = LossAccounting()
    loss.update_count(0.0, 0)
    loss.capture_started(0.0, wall(0.0))
    loss.update_count(0.5, 0)
    loss.add_lines(0.5, lines(-0.2, -0.1))
    assert (loss.received, loss.pending, loss.seen) == (2, 0, 2)
    loss.update_count(1.0, 1)
    assert (loss.received, loss.pending, loss.seen) == (2, 1, 3)


def test_packets_between_two_captures_are_missed() -> None:
    wire = Wire()
    wire.passes(2)
    wire.ends(2)
    wire.passes(3)
    wire.starts()
    wire.passes(1)
    assert wire.account == (2, 0, 0, 3)
    wire.delivers(1)
    assert wire.account == (3, 0, 3, 0)


def test_packets_between_two_captures_are_missed_however_long_it_takes() -> None:
    wire = Wire()
    wire.ends(0)
    wire.passes(3)
    wire.settle()
    wire.starts()
    wire.settle()
    assert wire.account == (0, 0, 3, 0)


def test_packets_that_a_capture_had_before_its_start_are_not_missed() -> None:
    wire = Wire()
    wire.ends(0)
    wire.passes(3)
    wire.starts(early=2)
    wire.passes(1)
    wire.delivers(1)
    assert wire.account == (1, 0, 0, 5), "more may come of what passed before"
    wire.delivers(2)
    assert wire.account == (3, 0, 3, 0)


def test_one_batch_may_hold_packets_from_before_and_after_the_start() -> None:
    wire = Wire()
    wire.ends(0)
    wire.passes(3)
    wire.starts(early=2)
    wire.passes(2)
    wire.delivers(4)
    assert wire.account == (4, 0, 3, 0)


def test_a_line_without_a_time_is_from_before_the_start() -> None:
    wire = Wire()
    wire.ends(0)
    wire.passes(1)
    wire.starts()
    wire.count()
    wire.loss.add_lines(wire.now, ["torn"])
    assert wire.loss.missed == 0


def test_a_packet_that_arrives_late_was_not_missed() -> None:
    wire = Wire()
    wire.ends(0)
    wire.passes(3)
    wire.starts(early=2)
    wire.settle()
    assert wire.account == (0, 0, 5, 0)
    wire.delivers(2)
    assert wire.account == (2, 0, 3, 0)


def test_packets_that_are_lost_with_the_end_of_a_capture_are_missed() -> None:
    wire = Wire()
    wire.passes(5)
    wire.ends(1)
    wire.starts()
    wire.settle()
    assert wire.account == (1, 0, 4, 0)


def test_packets_that_are_pending_at_the_end_are_missed() -> None:
    wire = Wire()
    wire.passes(5)
    wire.ends(1)
    wire.loss.finish()
    assert wire.account == (1, 0, 4, 0)


def test_a_handover_leaves_no_gap() -> None:
    wire = Wire()
    wire.passes(6)
    wire.drops(2)
    wire.is_taken_over(4)
    assert wire.account == (4, 2, 0, 2)
    wire.delivers(2)
    wire.settle()
    assert wire.account == (6, 2, 0, 0)


def test_packets_that_dumpcap_had_not_written_are_no_losses_if_the_next_capture_has_them() -> None:
    wire = Wire()
    wire.passes(6)
    wire.dropped = 2  # flushed when it ended, in dumpcap's words
    wire.is_taken_over(4)
    assert wire.account == (4, 2, 0, 0)
    wire.delivers(2)
    wire.settle()
    assert wire.account == (6, 0, 0, 0)
    assert wire.loss.seen == 6


def test_a_packet_that_only_the_old_filter_passes_is_no_loss() -> None:
    wire = Wire()
    wire.passes(4)
    wire.is_taken_over(4)
    wire.passed += 3  # counted by the old filter, and not captured by the new one
    wire.count()
    wire.loss.filter_changed()
    wire.settle()
    assert wire.account == (4, 0, 0, 0)
    assert wire.loss.seen == 4
    wire.drops(1)
    wire.settle()
    assert wire.account == (4, 1, 0, 0), "once"


def test_packets_that_are_lost_after_a_change_of_the_filter_are_losses() -> None:
    """It may take long until there is a pause."""
    wire = Wire()
    wire.is_taken_over(0)
    wire.passed += 3
    wire.count()
    wire.loss.filter_changed()
    for _ in range(100):
        wire.passes(1)
        wire.drops(2)
        wire.wait(1)
        wire.delivers(1)
    wire.settle()
    assert wire.account == (100, 200, 0, 0)
    wire.is_taken_over(0)
    wire.passed += 3
    wire.count()
    wire.loss.filter_changed()
    wire.ends(0)
    wire.loss.finish()
    assert wire.account == (100, 200, 0, 0)
