"""Port scan: one source probes many unserved ports of one host within a window."""

from portsentry_py.config.settings import PortScan
from portsentry_py.core.detectors.base import PROBES, SETTLED, Detector, type_of
from portsentry_py.core.finding import Finding
from portsentry_py.core.question import Attempts, Questions, are_health_checks
from portsentry_py.core.sighting import Sighting
from portsentry_py.core.source_record import MAX_JUDGED, SourceRecord
from portsentry_py.events.model import ScanType

# A client of many ports (files in passive mode) finds nearly all of them served, and the answers of some may be lost. A
# scanner finds few. At most 64 ports are kept as served, so twice the default number is needed at most.
_OPEN_FOR_EACH = 4


class PortScanDetector(Detector):
    """Counts distinct questions to one host for what it does not serve, over one transport.

    Ports count as soon as they are probed and stop counting when somebody answers, so the verdict over
    closed ports comes with the probe that reaches the threshold (scanlogd counts the same way). Datagrams that are not
    refused may be streams, which more datagrams will show: they count when the time for an answer is over.

    Args:
        settings: the thresholds.
        questions: what counts as one thing asked.
        types: the scan types that count; None for all.
    """

    kinds = PROBES | SETTLED

    def __init__(self, settings: PortScan, questions: Questions, types: frozenset[ScanType] | None = None) -> None:
        self._types = types
        self._questions = questions
        self._min_ports = settings.min_ports
        self._min_protocols = settings.min_protocols
        self._window_us = settings.window_seconds * 1_000_000

    def observe(self, sighting: Sighting, record: SourceRecord) -> Finding | None:
        """See Detector."""
        if self._types is not None and sighting.scan_type not in self._types:
            return None
        if sighting.kind in SETTLED and sighting.proto != "udp":
            return None
        threshold = self._min_protocols if sighting.proto == "ip" else self._min_ports
        threshold = max(threshold, len(record.opened) // _OPEN_FOR_EACH)
        if sighting.proto == "udp" and not record.closed and record.settled < threshold:
            return None  # a scanner sends thousands of datagrams before the first is settled
        if sighting.proto in {"icmp", "icmpv6"} or self._asked(sighting.target, record) < threshold:
            return None
        attempts = self._judged(sighting, record)
        if len(attempts) < threshold or not self._questions.are_enough(attempts, threshold):
            return None
        if are_health_checks(record):
            return Finding("port_scan", sighting, record, type_of(attempts), False, "health_check")
        return Finding("port_scan", sighting, record, type_of(attempts), True, "ports_in_window")

    def _asked(self, target: str, record: SourceRecord) -> int:
        """At least the number of questions to the target's host, found quickly."""
        is_alone = len(record.targets) == 1 or self._questions.host_of(target) == target
        return record.targets[target] if is_alone else len(record.unserved)

    def _judged(self, sighting: Sighting, record: SourceRecord) -> Attempts:
        """The attempts on the target's host that count now."""
        proto, host_of = sighting.proto, self._questions.host_of
        recent = record.recent(sighting.time_us, self._window_us, MAX_JUDGED)
        attempts = [item for item in recent if item[0].proto == proto]
        if len(record.targets) > 1:
            host = host_of(sighting.target)
            attempts = [item for item in attempts if host_of(item[0].target) == host]
        if proto != "udp" or (record.closed and any(attempt.refused for _, attempt in attempts)):
            return attempts
        return [(endpoint, attempt) for endpoint, attempt in attempts if attempt.settled]
