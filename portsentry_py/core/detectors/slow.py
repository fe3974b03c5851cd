"""Slow scan: a sequential test over everything that a source probed, however long ago."""

from math import log2

from portsentry_py.config.settings import Slow
from portsentry_py.core.detectors.base import Detector, attempts_on_hosts, type_of
from portsentry_py.core.finding import Finding
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
    """Sequential hypothesis test with detection probability 0.99 and false-positive probability `alpha`."""

    def __init__(self, settings: Slow) -> None:
        self._threshold = log2(0.99 / settings.alpha)
        self._min_us = settings.min_seconds * 1_000_000

    def observe(self, sighting: Sighting, record: SourceRecord) -> Finding | None:
        """See Detector."""
        if abs(sighting.time_us - record.first_us) < self._min_us:
            return None
        attempts = attempts_on_hosts(sighting, record)
        hosts = {endpoint.target for endpoint, _ in attempts}
        evidence = len(hosts) * _HOST_FAILS + (len(attempts) - len(hosts)) * _PORT_FAILS
        # The walk of the paper starts again at its lower bound: no number of successes buys more than that.
        in_favour = max(_successes(record), -self._threshold)
        if evidence + in_favour < self._threshold:
            return None
        return Finding("slow", sighting, record, type_of(attempts), True, "likelihood")


def _successes(record: SourceRecord) -> float:
    """The evidence in favour: hosts that answered, and served ports of hosts that it also probed in vain."""
    same_host = sum(endpoint.target in record.targets for endpoint in record.opened)
    other_hosts = len({one.target for one in record.opened if one.target not in record.targets})
    return other_hosts * _HOST_SUCCEEDS + min(same_host, _MAX_PORTS_IN_FAVOUR) * _PORT_SUCCEEDS
