"""Sweep: one source asks many hosts of ours that do not answer."""

from portsentry_py.config.settings import Sweep
from portsentry_py.core.detectors.base import PROBES, SETTLED, attempts_on_hosts, type_of
from portsentry_py.core.finding import Finding
from portsentry_py.core.probe_types import STEALTH_TYPES
from portsentry_py.core.sighting import Sighting
from portsentry_py.core.source_record import SourceRecord

# A monitor asks fifty hosts at once, and the answers are on their way: what is younger does not count ...
_ROUND_TRIP_US = 200_000
# ... but a monitor connects through an operating system, whose SYN carries its options.
_RAW_TYPES = STEALTH_TYPES | {"syn"}


class SweepDetector:
    """Counts distinct (host, port) pairs over several hosts, whatever their mixture."""

    kinds = PROBES | SETTLED
    direction = "inbound"

    def __init__(self, settings: Sweep) -> None:
        self._min_hosts = settings.min_hosts
        self._min_pairs = settings.min_pairs
        self._window_us = settings.window_seconds * 1_000_000

    def observe(self, sighting: Sighting, record: SourceRecord) -> Finding | None:
        """See Detector."""
        if len(record.targets) < self._min_hosts:
            return None
        attempts = [
            (pair, attempt)
            for pair, attempt in attempts_on_hosts(sighting, record, self._window_us)
            if attempt.settled
            or attempt.scan_type in _RAW_TYPES
            or abs(sighting.time_us - attempt.last_us) >= _ROUND_TRIP_US
        ]
        hosts = {pair.target for pair, _ in attempts}
        if len(hosts) < self._min_hosts:
            return None
        if len(attempts) < self._min_pairs and not self._mostly_in_vain(record, hosts):
            return None
        return Finding("sweep", sighting, record, type_of(attempts), True, "hosts_in_window")

    def _mostly_in_vain(self, record: SourceRecord, hosts: set[str]) -> bool:
        """Many hosts asked, a third or more in vain: who keeps a list of his hosts finds them alive."""
        answered = {pair.target for pair in record.opened} - hosts
        asked = len(hosts) + len(answered)
        return asked >= 2 * self._min_pairs and 3 * len(hosts) >= asked
