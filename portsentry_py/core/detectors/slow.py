"""Slow scan: a sequential test over everything that a source probed, however long ago."""

from math import log2

from portsentry_py.config.settings import Slow
from portsentry_py.core.detectors.base import Detector, attempts_on_hosts, type_of
from portsentry_py.core.finding import Finding
from portsentry_py.core.question import Attempts, Questions, are_health_checks
from portsentry_py.core.sighting import Sighting
from portsentry_py.core.source_record import SourceRecord

# Jung, Paxson, Berger, Balakrishnan: Fast Portscan Detection Using Sequential Hypothesis Testing, IEEE S&P
# 2004. Each first contact moves a likelihood ratio; there is no window. Their probabilities that a first
# contact fails, for a scanner 0.8 and for others 0.2, hold for contacts with different hosts.
_HOST_FAILS = log2(0.8 / 0.2)
# Another port of the same host says less: an honest client that looks for a mail server tries seven.
_PORT_FAILS = log2(0.76 / 0.32)
_HOST_SUCCEEDS = log2(0.2 / 0.8)
_PORT_SUCCEEDS = log2(0.24 / 0.68)
# A host serves few ports and a scanner finds them all: after two, one more says nothing in its favour.
_MAX_PORTS_IN_FAVOUR = 2


class SlowDetector(Detector):
    """Sequential hypothesis test with detection probability 0.99 and false-positive probability `alpha`.

    Only new questions make a scan last: a monitor that repeats those of its first minute for days is none.

    Args:
        settings: the thresholds.
        questions: what counts as one thing asked.
    """

    def __init__(self, settings: Slow, questions: Questions) -> None:
        self._questions = questions
        self._threshold = log2(0.99 / settings.alpha)
        self._min_us = settings.min_seconds * 1_000_000

    def observe(self, sighting: Sighting, record: SourceRecord) -> Finding | None:
        """See Detector."""
        if abs(sighting.time_us - record.first_us) < self._min_us:
            return None
        attempts = [item for item in attempts_on_hosts(sighting, record) if item[0].proto == sighting.proto]
        if not attempts or self._duration_us(attempts, record) < self._min_us:
            return None
        questions = self._questions.of(attempts)
        hosts = {question.host for question in questions}
        evidence = len(hosts) * _HOST_FAILS + (len(questions) - len(hosts)) * _PORT_FAILS
        # The walk of the paper starts again at its lower bound: no number of successes buys more than that.
        in_favour = max(self._successes(record), -self._threshold)
        if evidence + in_favour < self._threshold:
            return None
        if are_health_checks(record):
            return Finding("slow", sighting, record, type_of(attempts), False, "health_check")
        return Finding("slow", sighting, record, type_of(attempts), True, "likelihood")

    @staticmethod
    def _duration_us(attempts: Attempts, record: SourceRecord) -> int:
        """The time from the first to the last new question."""
        first_us = [attempt.first_us for _, attempt in attempts]
        oldest = next(iter(record.unserved.values()))
        return max(first_us) - min(oldest.first_us, *first_us)

    def _successes(self, record: SourceRecord) -> float:
        """The evidence in favour: hosts that answered, and served ports of hosts that it also probed in vain."""
        host_of = self._questions.host_of
        in_vain = {host_of(target) for target in record.targets}
        answered = [host_of(endpoint.target) for endpoint in record.opened]
        same_host = sum(host in in_vain for host in answered)
        other_hosts = len(set(answered) - in_vain)
        return other_hosts * _HOST_SUCCEEDS + min(same_host, _MAX_PORTS_IN_FAVOUR) * _PORT_SUCCEEDS
