"""What a detector finds: the noun between detectors and scan tracker."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from portsentry_py.core.sighting import Sighting
from portsentry_py.core.source_record import SourceRecord
from portsentry_py.events.model import EvidenceEvent, Reason, ScanEvent, ScanType, Technique, TrapEvent


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """The lines about one source that belong together; a scan and touches of traps are two series.

    Attributes:
        event_class: the line.
        weight: the size that grows while the series goes on.
        has_end: whether its end is reported.
    """

    event_class: type[EvidenceEvent]
    weight: Callable[[SourceRecord], int]
    has_end: bool


SCAN = Series(ScanEvent, lambda record: len(record.unserved), has_end=True)
TRAP = Series(TrapEvent, lambda record: record.trap_touches, has_end=False)
_SERIES: Mapping[Technique, Series] = {"trap": TRAP}


class Finding(NamedTuple):
    """The evidence of one technique holds for a source at one sighting.

    `bannable` is False for evidence that one forged packet can make. `reason` is the rule that is met.
    `group` is the network that scans together, if one does.
    """

    technique: Technique
    sighting: Sighting
    record: SourceRecord
    scan_type: ScanType
    bannable: bool
    reason: Reason
    group: str = ""

    @property
    def series(self) -> Series:
        """The lines that the finding belongs to."""
        return _SERIES.get(self.technique, SCAN)

    @property
    def weight(self) -> int:
        """The size of the series now."""
        return self.series.weight(self.record)
