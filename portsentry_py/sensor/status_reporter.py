"""The sensor's lines about itself."""

from typing import cast

from portsentry_py import __version__
from portsentry_py.capture.loss import LossAccounting, of_file
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.events.model import SensorReason, SensorState, StatusEvent, utc


def status_event(
    engine: Pipeline,
    time_us: int,
    state: str,
    reason: str,
    *,
    accounts: LossAccounting | None = None,
    restarts: int = 0,
    renewals: int = 0,
    lost: int = 0,
) -> StatusEvent:
    """A `status` line with the counts since the start.

    Args:
        engine: whose counts are told.
        time_us: when, in microseconds since 1970.
        state: what the sensor does (SensorState).
        reason: why (SensorReason).
        accounts: of a live capture; a file has nothing but what was read.
        restarts: times that the capture was restarted.
        renewals: times that a fresh capture took over.
        lost: lines that could not be written.
    """
    counts = engine.counts()
    accounts = accounts or of_file(counts["packets"])
    return StatusEvent(
        timestamp=utc(time_us),
        verdict="none",
        state=cast("SensorState", state),
        reason=cast("SensorReason", reason),
        version=__version__,
        packets_seen=accounts.seen,
        packets_pending=accounts.pending,
        packets_dropped=accounts.dropped,
        packets_missed=accounts.missed,
        lines_lost=lost,
        restarts=restarts,
        renewals=renewals,
        **counts,
    )
