"""Stealth: first packets with flags that no stack sends (FIN, NULL, Xmas and other oddities)."""

from portsentry_py.config.settings import Stealth
from portsentry_py.core.detectors.base import PROBES, Detector, type_of
from portsentry_py.core.finding import Finding
from portsentry_py.core.probe_types import STEALTH_TYPES
from portsentry_py.core.sighting import Kind, Sighting
from portsentry_py.core.source_record import MAX_JUDGED, SourceRecord

# nmap's OS detection sends NULL, SYN+FIN+PSH+URG and FIN+PSH+URG to two ports, one of which is served.
_OS_DETECTION_TYPES = 3


class StealthDetector(Detector):
    """Needs few packets, because no honest one looks like this; but a lone one can be forged or broken.

    Several ports of which nobody serves any are a scan. Several kinds of such packets to any port are OS detection:
    the source learns nothing of a port by it, so it is watched.
    """

    kinds = PROBES | {Kind.SERVED}

    def __init__(self, settings: Stealth) -> None:
        self._min_ports = settings.min_ports
        self._window_us = settings.window_seconds * 1_000_000

    def observe(self, sighting: Sighting, record: SourceRecord) -> Finding | None:
        """See Detector."""
        if sighting.scan_type not in STEALTH_TYPES:
            return None
        if len(record.unserved) < self._min_ports and len(record.types) < _OS_DETECTION_TYPES:
            return None  # most sources of a flood
        recent = record.recent(sighting.time_us, self._window_us, MAX_JUDGED)
        attempts = [item for item in recent if item[1].scan_type in STEALTH_TYPES]
        if len(attempts) >= self._min_ports:
            return Finding("stealth", sighting, record, type_of(attempts), True, "impossible_flags")
        if sum(kind in STEALTH_TYPES for kind in record.types) >= _OS_DETECTION_TYPES:
            return Finding("stealth", sighting, record, "mixed", False, "impossible_flags")
        return None
