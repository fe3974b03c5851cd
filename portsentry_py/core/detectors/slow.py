"""Slow scan: a sequential test over everything that a source asked for, however far apart."""

from math import log2

from portsentry_py.config.settings import Slow
from portsentry_py.core.detectors.base import PROBES, attempts_on_hosts, type_of
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
# A host serves few ports and a scanner finds them all: after two, one more says nothing for its honesty.
_MOST_PORTS_IN_FAVOUR = 2
# The ledger forgets; the test does not.
_ALWAYS_US = 1 << 62


class SlowDetector:
    """Sequential hypothesis test with detection probability 0.99 and false-positive probability `alpha`."""

    kinds = PROBES
    direction = "inbound"

    def __init__(self, settings: Slow) -> None:
        self._enough = log2(0.99 / settings.alpha)
        self._least_us = settings.min_seconds * 1_000_000

    def observe(self, sighting: Sighting, record: SourceRecord) -> Finding | None:
        """See Detector."""
        if abs(sighting.time_us - record.first_us) < self._least_us:
            return None
        attempts = attempts_on_hosts(sighting, record, _ALWAYS_US)
        hosts = {pair.target for pair, _ in attempts}
        evidence = len(hosts) * _HOST_FAILS + (len(attempts) - len(hosts)) * _PORT_FAILS
        if evidence < self._enough or evidence + _successes(record) < self._enough:
            return None
        return Finding("slow", sighting, record, type_of(attempts), True, "likelihood")


def _successes(record: SourceRecord) -> float:
    """What speaks for it: hosts that answered, and ports served by hosts that it also asked in vain."""
    same_host = sum(pair.target in record.targets for pair in record.opened)
    other_hosts = len({pair.target for pair in record.opened if pair.target not in record.targets})
    return other_hosts * _HOST_SUCCEEDS + min(same_host, _MOST_PORTS_IN_FAVOUR) * _PORT_SUCCEEDS
