"""Sweep: one source probes many hosts of ours that do not answer."""

from portsentry_py.config.settings import Sweep
from portsentry_py.core.detectors.base import PROBES, SETTLED, Detector, attempts_on_hosts, type_of
from portsentry_py.core.finding import Finding
from portsentry_py.core.probe_types import STEALTH_TYPES
from portsentry_py.core.sighting import Sighting
from portsentry_py.core.source_record import SourceRecord

# A monitor asks fifty hosts at once, and their answers are on the way: a younger attempt does not count ...
_ROUND_TRIP_US = 200_000
# ... but a monitor connects through an operating system, whose SYN carries that system's options.
_RAW_TYPES = STEALTH_TYPES | {"syn"}


class SweepDetector(Detector):
    """Counts distinct (host, port) pairs over several hosts, whatever their mixture."""

    kinds = PROBES | SETTLED

    def __init__(self, settings: Sweep) -> None:
        self._min_hosts = settings.min_hosts
        self._min_pairs = settings.min_pairs
        self._window_us = settings.window_seconds * 1_000_000

    def observe(self, sighting: Sighting, record: SourceRecord) -> Finding | None:
        """See Detector."""
        if len(record.targets) < self._min_hosts:
            return None
        attempts = [
            (endpoint, attempt)
            for endpoint, attempt in attempts_on_hosts(sighting, record, self._window_us)
            if attempt.settled
            or attempt.scan_type in _RAW_TYPES
            or abs(sighting.time_us - attempt.last_us) >= _ROUND_TRIP_US
        ]
        hosts = {endpoint.target for endpoint, _ in attempts}
        if len(hosts) < self._min_hosts:
            return None
        if len(attempts) < self._min_pairs and not self._is_mostly_in_vain(record, hosts):
            return None
        return Finding("sweep", sighting, record, type_of(attempts), True, "hosts_in_window")

    def _is_mostly_in_vain(self, record: SourceRecord, hosts: set[str]) -> bool:
        """Whether it probed many hosts and a third of them in vain: an operator knows which hosts are up."""
        answered = {endpoint.target for endpoint in record.opened} - hosts
        probed = len(hosts) + len(answered)
        return probed >= 2 * self._min_pairs and 3 * len(hosts) >= probed
