"""What a detector says about a source: the noun between detectors and policy."""

from typing import NamedTuple

from portsentry_py.core.sighting import Sighting
from portsentry_py.core.source_record import SourceRecord


class Finding(NamedTuple):
    """The evidence of one technique holds for a source at one sighting.

    `bannable` is the detector's own view of that evidence: False for what one forged packet can make.
    `reason` is the word for the rule that it met.
    """

    technique: str
    sighting: Sighting
    record: SourceRecord
    scan_type: str
    bannable: bool
    reason: str

    @property
    def weight(self) -> int:
        """The size that grows while the scan goes on: touches of decoys, else distinct attempts."""
        return self.record.trap_touches if self.technique == "trap" else len(self.record.unserved)
