"""Which sources are judged at which of their probes: a scan that goes on costs less with each."""

from collections.abc import Callable

from portsentry_py.core.detectors.base import PROBES
from portsentry_py.core.rate_limit import Rate, TokenBucket
from portsentry_py.core.scan_tracker import Scan, ScanTracker
from portsentry_py.core.sighting import Sighting
from portsentry_py.core.source_record import SourceRecord
from portsentry_py.core.unreported_scans import LEAST_WEIGHT

_REMEMBERED_AT = frozenset(1 << power for power in range(4, 32))
# So many probes of sources that go on after their first eight are examined in a second, twice as many at once; beyond
# that they wait, and are judged when they did twice as much. A finding takes as long as eight, and sources that are
# only watched are never done with.
_WORK_PER_SECOND = 1_000
_FINDING = 8  # in probes
_FEW_PROBES = 8
_JUDGED_AT = _REMEMBERED_AT | {_FEW_PROBES}


class Judging:
    """Says who goes without a judgement now.

    Args:
        scans: the scans that are followed.
        note_spent: called with the time of a probe while no line can be written about any source.
    """

    def __init__(self, scans: ScanTracker, note_spent: Callable[[int], None]) -> None:
        self._scans = scans
        self._note_spent = note_spent
        self._work = TokenBucket(Rate(_WORK_PER_SECOND / 1e6, 2 * _WORK_PER_SECOND), 2 * _WORK_PER_SECOND)
        self.unjudged = 0
        """Probes without a judgement because there was too much to do, or no line could be written."""

    def note_finding(self, time_us: int) -> None:
        """A detector found something, which is judged now."""
        self._work.take(self._scans.present_us(time_us), price=_FINDING)

    def is_put_off(self, sighting: Sighting, record: SourceRecord, scan: Scan | None) -> bool:
        """Whether a source that is not suppressed goes without a judgement; its record says whether it waits again.

        Args:
            sighting: what it did.
            record: its record.
            scan: its scan, if that had a line and has not ended.
        """
        # A scanner that goes on is judged now and then, to be remembered until there is room for its line. Outcomes
        # count too: else all those that come after its last probe would be judged, or none. Small scans are not
        # remembered.
        count = record.probes + record.settled
        if len(record.unserved) >= LEAST_WEIGHT and _is_at(_REMEMBERED_AT, sighting, record, count):
            record.waits_again = False
            return False
        is_too_much = count >= _FEW_PROBES and self._is_too_much(sighting, record, count)
        is_spent = not is_too_much and self._scans.is_spent(sighting, record)
        # A source that goes on leaves room to those that begin: of very many, each was judged with its first eight.
        record.waits_again = is_spent or (is_too_much and record.probes >= _FEW_PROBES)
        if not (is_too_much or is_spent):
            return scan is not None and self._scans.is_told(scan, sighting, record)
        if sighting.kind in PROBES:
            self.unjudged += 1
            # If this source alone can have no ban, others can.
            if is_spent and self._scans.has_no_line(sighting, record):
                self._note_spent(self._scans.present_us(sighting.time_us))
        return True

    def _is_too_much(self, sighting: Sighting, record: SourceRecord, count: int) -> bool:
        """Whether there is so much to do that a source with so many probes and outcomes is judged when it did more."""
        if sighting.direction == "outbound" or _is_at(_JUDGED_AT, sighting, record, count):
            return False
        price = 1 if sighting.kind in PROBES else 0
        return not self._work.take(self._scans.present_us(sighting.time_us), price=price)


def _is_at(numbers: frozenset[int], sighting: Sighting, record: SourceRecord, count: int) -> bool:
    """Whether a source did one of so many things just now.

    Probes count by themselves too. Where each is refused at once, a probe is never the even one of all that was done,
    and most detectors say nothing about a refusal.
    """
    return count in numbers or (sighting.kind in PROBES and record.probes in numbers)
