"""What every detector is: a pure judge of one source's record, asked at each of its sightings."""

from collections import Counter
from typing import Protocol

from portsentry_py.core.finding import Finding
from portsentry_py.core.sighting import Kind, Sighting
from portsentry_py.core.source_record import Attempt, Endpoint, SourceRecord, prevailing
from portsentry_py.core.swept_ports import is_swept_port

PROBES = frozenset({Kind.PROBE, Kind.REPEAT})
SETTLED = frozenset({Kind.REFUSED, Kind.SILENT})
# However long a record is, so many of its latest attempts decide.
MOST = 128


class Detector(Protocol):
    """Says when a source's record shows its technique.

    Pure: no clock, no I/O, no logging; `sighting.time_us` is now. It answers at every sighting for which
    the evidence holds; how often that becomes a line is decided behind it. `kinds` are the sightings that
    it is asked at, and `direction` whose attempts it judges.
    """

    kinds: frozenset[Kind]
    direction: str

    def observe(self, sighting: Sighting, record: SourceRecord) -> Finding | None:
        """Judge the record after `sighting` was written into it."""
        ...


Attempts = list[tuple[Endpoint, Attempt]]


def attempts_on_target(
    sighting: Sighting, record: SourceRecord, window_us: int, most: int = MOST
) -> Attempts:
    """The latest attempts within the window on the sighting's target, over its transport."""
    recent = record.recent(sighting.time_us, window_us, most)
    return [item for item in recent if item[0].target == sighting.target and item[0].proto == sighting.proto]


def attempts_on_hosts(sighting: Sighting, record: SourceRecord, window_us: int) -> Attempts:
    """The latest attempts within the window, over the sighting's transport, that count over several hosts.

    Where it is not known who "we" are, or where we are the source, a client or a peer-to-peer program looks
    like a sweep: only ports that neither uses count then.
    """
    sure = sighting.home_known and sighting.direction == "inbound"
    return [
        (pair, attempt)
        for pair, attempt in record.recent(sighting.time_us, window_us, MOST)
        if pair.proto == sighting.proto
        and (sure or pair.proto not in {"tcp", "udp"} or is_swept_port(pair.port))
    ]


def type_of(attempts: Attempts) -> str:
    """What most of these attempts are."""
    return prevailing(Counter(attempt.scan_type for _, attempt in attempts))
