"""What a detector says about a source: the noun between detectors and policy."""

from typing import NamedTuple

from portsentry_py.ledger import SourceRecord
from portsentry_py.sighting import Sighting


class Finding(NamedTuple):
    """The evidence of one technique holds for a source at one sighting.

    `bannable` is the detector's own view of that evidence: False for what one forged packet can make.
    `reason` is the word for the rule that it met; `weight` the size that grows while the scan goes on.
    """

    technique: str
    sighting: Sighting
    record: SourceRecord
    scan_type: str
    bannable: bool
    reason: str
    weight: int
