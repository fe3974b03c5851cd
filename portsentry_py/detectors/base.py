"""What every detector is: a pure judge of one source's record, asked at each of its sightings."""

from typing import Protocol

from portsentry_py.finding import Finding
from portsentry_py.ledger import SourceRecord
from portsentry_py.sighting import Sighting


class Detector(Protocol):
    """Says when a source's record shows its technique.

    Pure: no clock, no I/O, no logging; `sighting.time_us` is now. It answers at every sighting for which
    the evidence holds; how often that becomes a line is decided behind it.
    """

    def observe(self, sighting: Sighting, record: SourceRecord) -> Finding | None:
        """Judge the record after `sighting` was written into it."""
        ...
