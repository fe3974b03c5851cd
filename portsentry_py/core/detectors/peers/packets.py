"""Packets: every probe counts, repetitions too (psad's danger levels)."""

from portsentry_py.core.detectors.base import PROBES
from portsentry_py.core.finding import Finding
from portsentry_py.core.sighting import Sighting
from portsentry_py.core.source_record import SourceRecord

# psad 2.4.6 psad.conf: DANGER_LEVEL1 and DANGER_LEVEL5; AUTO_IDS_DANGER_LEVEL is 5, so only that bans.
_FIRST_LEVEL = 5
_BANNED_LEVEL = 10_000


class PacketsDetector:
    """From the first danger level a scan is told, at the fifth it bans.

    psad wants a port range of at least one (PORT_RANGE_SCAN_THRESHOLD), that is two ports.
    """

    kinds = PROBES
    direction = "inbound"

    def observe(self, sighting: Sighting, record: SourceRecord) -> Finding | None:
        """See Detector."""
        if record.probes < _FIRST_LEVEL or len(record.unserved) < 2:  # noqa: PLR2004 - a range
            return None
        bannable = record.probes >= _BANNED_LEVEL
        return Finding("port_scan", sighting, record, record.scan_type, bannable, "packets")
