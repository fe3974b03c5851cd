"""The sensor's lines about itself: what they hold, and when they are written."""

import logging

from portsentry_py import __version__
from portsentry_py.capture.loss import LossAccounting
from portsentry_py.capture.supervisor import CaptureSupervisor
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.events.model import SensorReason, SensorState, StatusEvent, utc
from portsentry_py.output.sink import Dispatcher, Reading
from portsentry_py.sensor.clock import Clock, Interval

_CHANGES_SECONDS = 60.0
_NEWS_SECONDS = 10.0
_READING_SECONDS = 1.0
_MANY_PACKETS = 100
# No capture runs.
_MUTE_STATES = frozenset[SensorState]({"interrupted", "stopped"})
_diagnostics = logging.getLogger(__name__)


class StatusReporter:
    """Writes the status lines of a running sensor, and gives its readings to the metrics."""

    def __init__(self, pipeline: Pipeline, captures: CaptureSupervisor, outputs: Dispatcher, clock: Clock) -> None:
        self._pipeline = pipeline
        self._captures = captures
        self._outputs = outputs
        self._clock = clock
        self._changes_interval = Interval(clock, _CHANGES_SECONDS)
        self._news_interval = Interval(clock, _NEWS_SECONDS)
        self._reading_interval = Interval(clock, _READING_SECONDS)
        self._restarts = 0
        self._reported: dict[str, int] = {}
        self._reported_losses = self._reported_self_tests = 0

    def report(self, state: SensorState, reason: SensorReason) -> None:
        """Write a line now; a line of a restart counts it."""
        self._restarts += state == "restarted"
        self._captures.read_counter()
        status = self._event(state, reason)
        self._outputs.write(status)
        self._observe(status)

    def _event(self, state: SensorState, reason: SensorReason) -> StatusEvent:
        return status_event(
            self._pipeline, self._clock.now_us(), state, reason, loss=self._captures.loss, **self._sensor_counts()
        )

    def _observe(self, status: StatusEvent) -> None:
        if self._outputs.observe is None:
            return
        self._outputs.observe(
            Reading(
                status=status,
                hears=status.state not in _MUTE_STATES and not self._captures.loss.stalled,
                tshark_version=self._captures.tshark_version,
                tshark_bytes=self._captures.tshark_bytes,
                lag_seconds=self._captures.lag or 0.0,
                sources=self._pipeline.tracked_sources,
                ban_budget=self._pipeline.ban_budget(self._clock.now_us()),
                lines=self._outputs.lines,
            )
        )

    def _sensor_counts(self) -> dict[str, int]:
        return {
            "restarts": self._restarts,
            "handovers": self._captures.handovers,
            "forged": self._captures.forged,
            "lines_lost": self._outputs.lines_lost,
        }

    def tick(self) -> None:
        """Write a line per minute in which a count changed, and ten seconds after a loss or a test packet."""
        if self._changes_interval.is_over():
            self._report_changes()
        elif self._news_interval.is_over():
            self._report_news()
        if self._outputs.observe is not None and self._reading_interval.is_over():
            self._observe(self._event("running", "none"))

    def _report_changes(self) -> None:
        loss = self._captures.loss
        counts = self._pipeline.counts() | {"dropped": loss.dropped, "missed": loss.missed} | self._sensor_counts()
        if counts != self._reported:
            self._warn_if_blind(counts)
            self._reported = counts
            self.report("running", "none")

    def _report_news(self) -> None:
        loss, tests = self._captures.loss, self._pipeline.self_tests
        losses = loss.dropped + loss.missed + self._outputs.lines_lost
        if losses != self._reported_losses:
            self._reported_losses = losses
            self.report("running", "none")
        if tests != self._reported_self_tests:
            self._reported_self_tests = tests
            self.report("running", "self_test")

    def _warn_if_blind(self, counts: dict[str, int]) -> None:
        """A tshark with other columns would leave the sensor running and blind."""
        seen, malformed = (counts[name] - self._reported.get(name, 0) for name in ("packets", "packets_malformed"))
        if malformed > _MANY_PACKETS and 2 * malformed > seen:
            _diagnostics.error(
                "%d of %d packets of the last minute could not be understood: is tshark %s supported? "
                "Please report it with the output of `tshark -v`.",
                *(malformed, seen, self._captures.tshark_version),
            )


def status_event(
    pipeline: Pipeline,
    time_us: int,
    state: SensorState,
    reason: SensorReason,
    *,
    loss: LossAccounting | None = None,
    restarts: int = 0,
    handovers: int = 0,
    forged: int = 0,
    lines_lost: int = 0,
) -> StatusEvent:
    """A `status` line with the counts since the start; a capture file has no losses."""
    counts = pipeline.counts()
    loss = loss or LossAccounting(counts["packets"])  # all packets of a file arrive
    return StatusEvent(
        timestamp=utc(time_us),
        verdict="none",
        state=state,
        reason=reason,
        version=__version__,
        packets_seen=loss.seen,
        packets_pending=loss.pending,
        packets_dropped=loss.dropped,
        packets_missed=loss.missed,
        lines_lost=lines_lost,
        restarts=restarts,
        renewals=handovers,
        packets_forged=forged,
        **counts,
    )
