"""Sweep: one source probes many hosts of ours that do not answer."""

from portsentry_py.config.settings import Sweep
from portsentry_py.core.detectors.base import PROBES, SETTLED, Detector, attempts_on_hosts, type_of
from portsentry_py.core.finding import Finding
from portsentry_py.core.question import Attempts, Questions, are_health_checks, is_node_port
from portsentry_py.core.sighting import Sighting
from portsentry_py.core.source_record import SourceRecord


class SweepDetector(Detector):
    """Counts hosts, whatever the probe, and questions to several hosts over one transport.

    Only what was refused, or not answered within the settling time, counts: a monitor asks fifty hosts at once, and
    their answers are on the way.

    Args:
        settings: the thresholds.
        questions: what counts as one thing asked.
    """

    kinds = PROBES | SETTLED

    def __init__(self, settings: Sweep, questions: Questions) -> None:
        self._questions = questions
        self._min_hosts = settings.min_hosts
        self._min_pairs = settings.min_pairs
        self._window_us = settings.window_seconds * 1_000_000

    def observe(self, sighting: Sighting, record: SourceRecord) -> Finding | None:
        """See Detector."""
        if len(record.targets) < self._min_hosts:
            return None
        attempts = [item for item in attempts_on_hosts(sighting, record, self._window_us) if item[1].settled]
        hosts = self._hosts(attempts)
        if len(hosts) < self._min_hosts or not self._is_enough(sighting, attempts, hosts, record):
            return None
        if are_health_checks(attempts) and any(map(is_node_port, record.opened)):
            return Finding("sweep", sighting, record, type_of(attempts), False, "health_check")
        return Finding("sweep", sighting, record, type_of(attempts), True, "hosts_in_window")

    def _hosts(self, attempts: Attempts) -> set[str]:
        return {self._questions.host_of(endpoint.target) for endpoint, _ in attempts}

    def _is_enough(self, sighting: Sighting, attempts: Attempts, hosts: set[str], record: SourceRecord) -> bool:
        alike = [item for item in attempts if item[0].proto == sighting.proto]
        if len(self._hosts(alike)) >= self._min_hosts and len(self._questions.of(alike)) >= self._min_pairs:
            return True
        # An operator knows which hosts are up, so a third in vain are more than a monitor's.
        answered = {self._questions.host_of(endpoint.target) for endpoint in record.opened} - hosts
        probed = len(hosts) + len(answered)
        is_wide = len(hosts) >= self._min_pairs or probed >= 2 * self._min_pairs
        return is_wide and 3 * len(hosts) >= probed
