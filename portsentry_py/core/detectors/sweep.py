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
    their answers are on the way. If more than two thirds of the hosts answer, the source may be a monitor of which some
    hosts are down, and is watched.

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
        if len(hosts) < self._min_hosts:
            return None
        is_share = 3 * len(hosts) >= self._probed(hosts, record)
        if not self._are_enough_pairs(sighting, attempts) and not (is_share and self._is_wide(hosts, record)):
            return None
        if are_health_checks(record) and any(map(is_node_port, record.opened)):
            return Finding("sweep", sighting, record, type_of(attempts), False, "health_check")
        return Finding("sweep", sighting, record, type_of(attempts), is_share, "hosts_in_window")

    def _hosts(self, attempts: Attempts) -> set[str]:
        return {self._questions.host_of(endpoint.target) for endpoint, _ in attempts}

    def _are_enough_pairs(self, sighting: Sighting, attempts: Attempts) -> bool:
        alike = [item for item in attempts if item[0].proto == sighting.proto]
        return len(self._hosts(alike)) >= self._min_hosts and len(self._questions.of(alike)) >= self._min_pairs

    def _is_wide(self, hosts: set[str], record: SourceRecord) -> bool:
        return len(hosts) >= self._min_pairs or self._probed(hosts, record) >= 2 * self._min_pairs

    def _probed(self, hosts: set[str], record: SourceRecord) -> int:
        """The hosts that it asked, of which these did not answer."""
        return len(hosts | {self._questions.host_of(endpoint.target) for endpoint in record.opened})
