"""Loss accounting, compared with a simulated kernel, dumpcap and tshark whose every packet is known."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from portsentry_py.capture.loss import LossAccounting
from tests.support.build import START_US, no_deadline

COUNTS = st.integers(1, 20)
SETTLED_SECONDS = 15.0  # fourteen while no line has come, and what rounding takes


def wall(now: float) -> float:
    """The packets' clock."""
    return START_US / 1e6 + now


def lines(*moments: float) -> list[str]:
    """What tshark prints of packets of these moments."""
    return [f"{wall(moment):.6f}\tx" for moment in moments]


class Wire:
    """The truth: a kernel that counts every packet, and a capture that has, loses or delivers it."""

    def __init__(self, loss: LossAccounting | None = None) -> None:
        self.loss = loss or LossAccounting()
        self.now = 0.0
        self.passed = self.received = self.lost = 0
        self.queue: list[float] = []  # when those passed that the capture has and tshark has not printed
        self.runs = False
        self.dropped = 0  # of the capture that runs, as dumpcap will report
        self.starts()

    def count(self) -> None:
        """Read the counter."""
        self.loss.update_count(self.now, self.passed)

    def wait(self, seconds: float) -> None:
        """Let seconds pass, and read the counter."""
        self.now += seconds
        self.count()

    def settle(self) -> None:
        """Wait until nothing more can arrive."""
        self.wait(0)
        self.wait(SETTLED_SECONDS)

    def passes(self, count: int) -> None:
        """Let packets pass; a running capture has them."""
        self.now += 0.001
        self.passed += count
        if self.runs:
            self.queue += [self.now] * count
        else:
            self.lost += count

    def drops(self, count: int) -> None:
        """Let packets pass that the capture drops."""
        self.now += 0.001
        self.passed += count
        self.lost += count
        self.dropped += count

    def vanish(self, count: int) -> None:
        """Lose packets that the capture had; dumpcap does not report them."""
        gone = min(count, len(self.queue))
        del self.queue[:gone]
        self.lost += gone

    def delivers(self, count: int) -> None:
        """Print some packets."""
        some, self.queue = self.queue[:count], self.queue[count:]
        if some:
            self.count()
        self.loss.add_lines(self.now, lines(*some))
        self.received += len(some)

    def starts(self, early: int = 0) -> None:
        """Start another capture; `early` packets pass before the accounting knows."""
        self.runs = True
        if early:
            self.passes(early)
        self.now += 0.001
        self.count()
        self.loss.capture_started(self.now, wall(self.now))

    def is_taken_over(self, delivers: int) -> None:
        """End the capture while another one runs, which has what this one has not delivered."""
        self.delivers(delivers)
        self.count()
        self.loss.capture_ended(self.dropped, taken_over=True)
        self.dropped = 0

    def ends(self, delivers: int, *, reports: bool = True) -> None:
        """Deliver some packets and end with the rest; dumpcap reports its drops, or was killed."""
        self.delivers(delivers)
        self.vanish(len(self.queue))
        self.count()
        self.loss.capture_ended(self.dropped if reports else 0)
        self.dropped = 0
        self.runs = False

    @property
    def account(self) -> tuple[int, int, int, int]:
        """Received, dropped, missed and pending."""
        loss = self.loss
        return loss.received, loss.dropped, loss.missed, loss.pending

    @property
    def accounted_losses(self) -> int:
        """All losses in the account."""
        return self.loss.dropped + self.loss.missed


class AnyOrder(RuleBasedStateMachine):
    """Events in any order: every packet is in exactly one place."""

    def __init__(self) -> None:
        super().__init__()
        self.wire = Wire()
        self.seen = 0

    runs = precondition(lambda self: self.wire.runs)
    does_not_run = precondition(lambda self: not self.wire.runs)

    @rule(seconds=st.sampled_from([0.0, 0.25, 1.0, 3.0, SETTLED_SECONDS]), counts=st.booleans())
    def time_goes_on(self, seconds: float, counts: bool) -> None:
        """With or without reading the counter."""
        if counts:
            self.wire.wait(seconds)
        else:
            self.wire.now += seconds

    @rule(count=COUNTS)
    def packets_pass(self, count: int) -> None:
        """The capture has them."""
        self.wire.passes(count)

    @runs
    @rule(count=COUNTS)
    def packets_are_dropped(self, count: int) -> None:
        """The capture has no room."""
        self.wire.drops(count)

    @runs
    @rule(count=COUNTS)
    def packets_vanish(self, count: int) -> None:
        """They are lost without a report."""
        self.wire.vanish(count)

    @runs
    @rule(count=st.integers(0, 40))
    def lines_come(self, count: int) -> None:
        """Some, all, or none; perhaps long after they were presumed lost."""
        self.wire.delivers(count)

    @runs
    @rule(delivers=st.integers(0, 40), reports=st.booleans())
    def the_capture_ends(self, delivers: int, reports: bool) -> None:
        """It reports its drops, or was killed."""
        self.wire.ends(delivers, reports=reports)

    @does_not_run
    @rule(early=st.integers(0, 5))
    def another_starts(self, early: int) -> None:
        """It has some packets already."""
        self.wire.starts(early)

    @runs
    @rule(delivers=st.integers(0, 40))
    def another_takes_over(self, delivers: int) -> None:
        """There is no gap."""
        self.wire.is_taken_over(delivers)

    @rule()
    def it_settles(self) -> None:
        """What has not arrived is lost, each packet once."""
        self.wire.settle()
        pending = self.wire.loss.pending
        assert self.wire.accounted_losses + pending == self.wire.lost + len(self.wire.queue)
        assert pending == 0 or not self.wire.runs, "losses with an end are known when another capture runs"

    @invariant()
    def every_packet_is_somewhere(self) -> None:
        """At every moment."""
        loss = self.wire.loss
        assert loss.seen == sum(self.wire.account)
        assert min(self.wire.account) >= 0
        assert loss.received == self.wire.received
        assert self.seen <= loss.seen <= self.wire.passed
        assert self.wire.accounted_losses <= self.wire.lost + len(self.wire.queue)
        self.seen = loss.seen

    def teardown(self) -> None:
        """The sensor ends, and nothing is on its way any more."""
        wire = self.wire
        if wire.runs:
            wire.ends(7)
        wire.count()
        wire.loss.finish()
        self.every_packet_is_somewhere()
        assert wire.account == (wire.received, wire.loss.dropped, wire.loss.missed, 0)
        assert wire.loss.seen == wire.passed
        assert wire.accounted_losses == wire.lost


TestAnyOrder = no_deadline(AnyOrder).TestCase


CALLS = st.one_of(
    st.tuples(st.just("update_count"), st.integers(0, 50)),
    st.tuples(st.just("add_lines"), st.lists(st.floats(-2, 2), max_size=5)),
    st.tuples(st.just("capture_started"), st.floats(-2, 2)),
    st.tuples(st.just("capture_ended"), st.integers(0, 50)),
    st.tuples(st.sampled_from(["filter_changed", "check_stall", "finish", "wait"]), st.none()),
)


@no_deadline
@given(st.lists(CALLS, max_size=40))
def test_the_account_adds_up_in_any_case(calls: list[tuple[str, object]]) -> None:
    """The counter knows fewer packets than arrive, dumpcap reports too many drops, and clocks jump."""
    loss = LossAccounting()
    now, total = 0.0, 0
    for name, what in calls:
        now += 0.5
        if name == "update_count":
            assert isinstance(what, int)
            total += what
            loss.update_count(now, total)
        elif name == "add_lines":
            assert isinstance(what, list)
            loss.add_lines(now, lines(*(now + ahead for ahead in what)))
        elif name == "capture_started":
            assert isinstance(what, float)
            loss.capture_started(now, wall(now + what))
        elif name == "capture_ended":
            assert isinstance(what, int)
            loss.capture_ended(what)
        elif name == "wait":
            now += SETTLED_SECONDS
        elif name == "check_stall":
            loss.check_stall(now)
        else:
            getattr(loss, name)()
        parts = (loss.received, loss.dropped, loss.missed, loss.pending)
        assert loss.seen == sum(parts)
        assert min(parts) >= 0
        assert name != "finish" or loss.pending == 0


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


def test_a_lone_packet_that_is_lost_before_the_first_line_is_no_stall() -> None:
    wire = Wire()
    wire.drops(1)
    for _ in range(20):
        wire.wait(1)
        assert not wire.loss.check_stall(wire.now)
    assert wire.account == (0, 1, 0, 0)


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


def test_packets_that_the_counter_cannot_count_hide_no_losses() -> None:
    wire = Wire()
    wire.count()
    wire.loss.add_lines(wire.now, lines(*[wire.now] * 5))
    wire.drops(2)
    wire.settle()
    assert wire.account == (5, 2, 0, 0)
    assert wire.loss.seen == 7


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
