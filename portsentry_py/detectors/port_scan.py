"""Port scan: one source touches many unserved ports of one host within a window."""

from itertools import islice

from portsentry_py.finding import Finding
from portsentry_py.ledger import SourceRecord
from portsentry_py.settings import PortScan
from portsentry_py.sighting import Kind, Sighting


class PortScanDetector:
    """Counts distinct unserved TCP ports of one target.

    Ports count as soon as they are probed and stop counting when somebody answers, so the verdict over
    closed ports comes with the probe that reaches the threshold (scanlogd counts the same way).
    """

    technique = "port_scan"

    def __init__(self, settings: PortScan) -> None:
        self._min_ports = settings.min_ports
        self._window_us = settings.window_seconds * 1_000_000

    def observe(self, sighting: Sighting, record: SourceRecord) -> Finding | None:
        """See Detector."""
        if sighting.kind not in {Kind.PROBE, Kind.AGAIN} or sighting.proto != "tcp":
            return None
        if sighting.direction != "inbound":
            return None
        ports = record.unserved.get(sighting.target)
        if ports is None or len(ports) < self._min_ports:
            return None
        nth_last_us = next(islice(reversed(ports.values()), self._min_ports - 1, None))
        if sighting.time_us - nth_last_us > self._window_us:
            return None
        return Finding(
            technique=self.technique,
            sighting=sighting,
            record=record,
            scan_type=record.scan_type,
            bannable=True,
            reason="ports_in_window",
            weight=record.entries,
        )
