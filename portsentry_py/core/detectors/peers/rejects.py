"""Rejects: refused attempts and ports within a window (Snort's port_scan inspector)."""

from dataclasses import dataclass

from portsentry_py.core.detectors.base import PROBES, SETTLED, Detector, attempts_on_target, type_of
from portsentry_py.core.finding import Finding
from portsentry_py.core.sighting import Sighting
from portsentry_py.core.source_record import MAX_JUDGED, SourceRecord


@dataclass(frozen=True, slots=True)
class Rejects:
    """One sensitivity of Snort 3, lua/snort_defaults.lua, table tcp_*_ports."""

    window_seconds: int
    scans: int
    rejects: int
    ports: int


LOW = Rejects(60, 0, 5, 5)
MEDIUM = Rejects(90, 200, 10, 15)
HIGH = Rejects(600, 200, 5, 10)


class RejectsDetector(Detector):
    """Has a finding at `rejects` refusals over `ports` ports, or at `scans` attempts (0: never)."""

    kinds = PROBES | SETTLED

    def __init__(self, rejects: Rejects) -> None:
        self._limits = rejects

    def observe(self, sighting: Sighting, record: SourceRecord) -> Finding | None:
        """See Detector."""
        limits = self._limits
        window_us, limit = limits.window_seconds * 1_000_000, max(MAX_JUDGED, limits.scans)
        attempts = attempts_on_target(sighting, record, window_us, limit)
        refused = sum(attempt.refused for _, attempt in attempts)
        rejected = refused >= limits.rejects and len(attempts) >= limits.ports
        scanned = 0 < limits.scans <= len(attempts)
        if not rejected and not scanned:
            return None
        return Finding("port_scan", sighting, record, type_of(attempts), True, "rejects")
