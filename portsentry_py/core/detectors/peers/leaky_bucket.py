"""Leaky bucket: distinct ports fill it, time leaks it, overflow is a scan (CrowdSec)."""

from portsentry_py.core.detectors.base import Detector, attempts_on_target, type_of
from portsentry_py.core.finding import Finding
from portsentry_py.core.sighting import Sighting
from portsentry_py.core.source_record import SourceRecord

# crowdsecurity/iptables-scan-multi_ports: capacity 15, leakspeed 5s; the 16th distinct port overflows.
_CAPACITY = 15
_LEAK_US = 5_000_000


class LeakyBucketDetector(Detector):
    """Replays the latest distinct TCP ports of one target through the bucket."""

    def observe(self, sighting: Sighting, record: SourceRecord) -> Finding | None:
        """See Detector."""
        if sighting.proto != "tcp":
            return None
        attempts = attempts_on_target(sighting, record)
        level, before_us = 0.0, 0
        for _, attempt in reversed(attempts):
            level = max(0.0, level - max(0, attempt.last_us - before_us) / _LEAK_US) + 1
            before_us = attempt.last_us
        if level <= _CAPACITY:
            return None
        return Finding("port_scan", sighting, record, type_of(attempts), True, "bucket")
