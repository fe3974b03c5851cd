"""Port scan: one source probes many unserved ports of one host within a window."""

from portsentry_py.config.settings import PortScan
from portsentry_py.core.detectors.base import Detector, attempts_on_target, type_of
from portsentry_py.core.finding import Finding
from portsentry_py.core.sighting import Sighting
from portsentry_py.core.source_record import SourceRecord
from portsentry_py.events.model import ScanType


class PortScanDetector(Detector):
    """Counts distinct unserved ports (or protocols) of one target, over one transport.

    Ports count as soon as they are probed and stop counting when somebody answers, so the verdict over
    closed ports comes with the probe that reaches the threshold (scanlogd counts the same way).

    Args:
        settings: the thresholds.
        types: the scan types that count; None for all.
    """

    def __init__(self, settings: PortScan, types: frozenset[ScanType] | None = None) -> None:
        self._types = types
        self._min_ports = settings.min_ports
        self._min_protocols = settings.min_protocols
        self._window_us = settings.window_seconds * 1_000_000

    def observe(self, sighting: Sighting, record: SourceRecord) -> Finding | None:
        """See Detector."""
        if self._types is not None and sighting.scan_type not in self._types:
            return None
        threshold = self._min_protocols if sighting.proto == "ip" else self._min_ports
        if sighting.proto in {"icmp", "icmpv6"} or record.targets[sighting.target] < threshold:
            return None
        attempts = attempts_on_target(sighting, record, self._window_us)
        if len(attempts) < threshold:
            return None
        return Finding("port_scan", sighting, record, type_of(attempts), True, "ports_in_window")
