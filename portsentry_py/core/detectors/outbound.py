"""Outbound: this host itself probes many others for what they do not serve. An alarm, never a ban."""

from portsentry_py.config.settings import Outbound
from portsentry_py.core.detectors.base import SETTLED, Detector, attempts_on_hosts, type_of
from portsentry_py.core.finding import Finding
from portsentry_py.core.sighting import Sighting
from portsentry_py.core.source_record import SourceRecord


class OutboundDetector(Detector):
    """Counts distinct (host, port) pairs within a window that were refused or not answered."""

    kinds = SETTLED
    direction = "outbound"

    def __init__(self, settings: Outbound) -> None:
        self._min_pairs = settings.min_pairs
        self._window_us = settings.window_seconds * 1_000_000

    def observe(self, sighting: Sighting, record: SourceRecord) -> Finding | None:
        """See Detector."""
        if len(record.unserved) < self._min_pairs:
            return None
        attempts = attempts_on_hosts(sighting, record, self._window_us)
        settled = [item for item in attempts if item[1].settled]
        if len(settled) < self._min_pairs:
            return None
        return Finding("outbound", sighting, record, type_of(settled), False, "outbound")
