"""Status lines come at each change of state, and soon after what an operator should know."""

import pytest

from portsentry_py.core.pipeline import Pipeline
from portsentry_py.events.model import SensorState
from portsentry_py.output.sink import Reading
from portsentry_py.sensor.status_reporter import StatusReporter, status_event
from tests.support.build import SCANNER, US, lines, lost, micros, statuses, strict, syn
from tests.support.sensor_parts import KeptEvents, MovedClock, PlayedCaptures


class Reporting:
    def __init__(self) -> None:
        self.clock = MovedClock()
        self.pipeline = Pipeline(strict(), US)
        self.captures = PlayedCaptures()
        self.outputs = KeptEvents()
        self.reporter = StatusReporter(self.pipeline, self.captures, self.outputs, self.clock)

    def feed(self, *given: str) -> None:
        for _ in self.pipeline.feed(given):
            pass

    def after(self, seconds: float) -> list[tuple[str, str]]:
        before = len(self.outputs.events)
        self.clock.passed = seconds
        self.reporter.tick()
        return [(status.state, status.reason) for status in statuses(self.outputs.events[before:])]


@pytest.fixture
def reporting() -> Reporting:
    """A reporter whose sensor has just started."""
    return Reporting()


def test_a_line_has_the_counts_of_all_parts(reporting: Reporting) -> None:
    reporting.feed(*lines(syn(SCANNER, 22, 23)), "broken")
    reporting.captures.loss = lost(7)
    reporting.captures.handovers = 3
    reporting.captures.forged_packets = 5
    reporting.outputs.lost = 2
    reporting.clock.passed = 1
    reporting.reporter.report("interrupted", "tshark_ended")
    reporting.reporter.report("restarted", "tshark_ended")
    first, second = statuses(reporting.outputs.events)
    assert (first.state, first.reason) == ("interrupted", "tshark_ended")
    assert first.timestamp == "2023-11-14T22:13:21.000000Z"
    assert (first.packets, first.packets_decoded, first.packets_malformed) == (3, 2, 1)
    assert (first.packets_dropped, first.renewals, first.packets_forged, first.lines_lost) == (7, 3, 5, 2)
    assert [first.restarts, second.restarts] == [0, 1]


def test_a_minute_without_a_change_has_no_line(reporting: Reporting) -> None:
    assert reporting.after(59) == []
    assert reporting.after(60) == [("running", "none")]
    assert reporting.after(120) == []
    reporting.feed(*lines(syn(SCANNER, 22)))
    assert reporting.after(179) == []
    assert reporting.after(180) == [("running", "none")]


def test_a_loss_is_reported_within_ten_seconds(reporting: Reporting) -> None:
    reporting.captures.loss = lost(1)
    assert reporting.after(9) == []
    assert reporting.after(10) == [("running", "none")]
    assert reporting.after(20) == []
    reporting.outputs.lost = 1
    assert reporting.after(30) == [("running", "none")]


def test_a_test_packet_is_reported_within_ten_seconds(reporting: Reporting) -> None:
    reporting.pipeline.self_tests += 1
    assert reporting.after(10) == [("running", "self_test")]
    assert reporting.after(20) == []


@pytest.mark.parametrize(("good", "bad", "warned"), [(0, 101, True), (0, 100, False), (102, 101, False)])
def test_a_minute_of_which_little_was_understood_is_a_warning(
    reporting: Reporting, caplog: pytest.LogCaptureFixture, good: int, bad: int, warned: bool
) -> None:
    reporting.feed(*["broken"] * bad, *lines(syn(SCANNER, *[22] * good)))
    reporting.after(60)
    assert ("could not be understood" in caplog.text) is warned
    caplog.clear()
    reporting.feed(*lines(syn(SCANNER, 23)))
    reporting.after(120)
    assert not caplog.text, "each minute is judged by itself"


def test_a_file_has_no_losses() -> None:
    pipeline = Pipeline(strict(), US)
    status = status_event(pipeline, micros(0), "stopped", "end_of_input")
    assert (status.packets_seen, status.packets_dropped, status.lines_lost) == (0, 0, 0)


def test_the_metrics_get_a_reading_each_second_and_at_each_change(reporting: Reporting) -> None:
    readings: list[Reading] = []
    reporting.outputs.observe = readings.append
    reporting.feed(*lines(syn(SCANNER, 22, 23)))
    assert reporting.after(0.9) == []
    assert readings == []
    assert reporting.after(1) == []
    (found,) = readings
    assert (found.hears, found.sources, found.ban_budget, found.lag_seconds) == (True, 1, 200, 0.5)
    assert (found.status.packets, found.tshark_bytes, found.tshark_version) == (2, 70_000_000, "4.0.17")
    changes: tuple[tuple[SensorState, bool], ...] = (("interrupted", False), ("restarted", True), ("stopped", False))
    for state, hears in changes:
        reporting.reporter.report(state, "none")
        assert readings[-1].hears == hears, state
    reporting.captures.loss.stalled = True
    reporting.after(2)
    assert not readings[-1].hears
