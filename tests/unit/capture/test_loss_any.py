"""Loss accounting in any order of events: every packet is in exactly one place."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from portsentry_py.capture.loss import LossAccounting
from tests.support.accounted_wire import SETTLED_SECONDS, Wire, lines, wall
from tests.support.build import no_deadline

COUNTS = st.integers(1, 20)


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
