"""Stealth: first packets with flags that no stack sends (FIN, NULL, Xmas and other oddities)."""

from portsentry_py.config.settings import Stealth
from portsentry_py.core.detectors.base import Detector, type_of
from portsentry_py.core.finding import Finding
from portsentry_py.core.probe_types import STEALTH_TYPES
from portsentry_py.core.sighting import Sighting
from portsentry_py.core.source_record import MAX_JUDGED, SourceRecord


class StealthDetector(Detector):
    """Needs few packets, because no honest one looks like this; but a lone one can be forged or broken."""

    def __init__(self, settings: Stealth) -> None:
        self._min_ports = settings.min_ports
        self._window_us = settings.window_seconds * 1_000_000

    def observe(self, sighting: Sighting, record: SourceRecord) -> Finding | None:
        """See Detector."""
        if sighting.scan_type not in STEALTH_TYPES:
            return None
        recent = record.recent(sighting.time_us, self._window_us, MAX_JUDGED)
        attempts = [item for item in recent if item[1].scan_type in STEALTH_TYPES]
        if len(attempts) < self._min_ports:
            return None
        return Finding("stealth", sighting, record, type_of(attempts), True, "impossible_flags")
