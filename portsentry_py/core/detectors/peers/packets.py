"""Packets: every probe counts, repetitions too (psad's danger levels)."""

from portsentry_py.core.detectors.base import Detector
from portsentry_py.core.finding import Finding
from portsentry_py.core.sighting import Sighting
from portsentry_py.core.source_record import SourceRecord

# psad 2.4.6 psad.conf: DANGER_LEVEL1 and DANGER_LEVEL5; AUTO_IDS_DANGER_LEVEL is 5, so only that bans.
_FIRST_LEVEL = 5
_BANNED_LEVEL = 10_000
_MIN_PORTS = 2  # PORT_RANGE_SCAN_THRESHOLD 1: a range of at least one


class PacketsDetector(Detector):
    """Reports a scan from the first danger level on, and bans at the fifth."""

    def observe(self, sighting: Sighting, record: SourceRecord) -> Finding | None:
        """See Detector."""
        if record.probes < _FIRST_LEVEL or len(record.unserved) < _MIN_PORTS:
            return None
        bannable = record.probes >= _BANNED_LEVEL
        return Finding("port_scan", sighting, record, record.scan_type, bannable, "packets")
