"""What every detector is, and what several of them share."""

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from portsentry_py.core.finding import Finding
from portsentry_py.core.group_table import GroupLimits
from portsentry_py.core.question import Attempts
from portsentry_py.core.sighting import Kind, Sighting
from portsentry_py.core.source_record import ANY_TIME_US, MAX_JUDGED, SourceRecord, prevailing
from portsentry_py.core.swept_ports import is_swept_port
from portsentry_py.events.model import Direction, Proto, ScanType

PROBES = frozenset({Kind.PROBE, Kind.REPEAT})
SETTLED = frozenset({Kind.REFUSED, Kind.SILENT})

TrapPorts = Mapping[Proto, frozenset[int]]


class Detector(Protocol):
    """Says when a source's record shows its technique.

    Pure: it writes nothing, and knows no clock, no I/O and no logging; `sighting.time_us` is now. It has a
    finding at every sighting for which the evidence holds; the scan tracker decides which become lines.

    Attributes:
        kinds: the sightings after which it is asked.
        direction: whose attempts it judges.
        is_always_asked: also while no line about a scan of the source can be written.
        trap_ports: ports whose touches the source table counts for it.
        group_limits: how much the group table keeps for it; None if it does not read that table.
    """

    kinds: frozenset[Kind] = PROBES
    direction: Direction = "inbound"
    is_always_asked: bool = False
    trap_ports: TrapPorts = MappingProxyType({})
    group_limits: GroupLimits | None = None

    def observe(self, sighting: Sighting, record: SourceRecord) -> Finding | None:
        """Judge the record, which holds the sighting already."""
        ...


def attempts_on_target(
    sighting: Sighting, record: SourceRecord, window_us: int = ANY_TIME_US, limit: int = MAX_JUDGED
) -> Attempts:
    """The latest attempts within the window on the sighting's target, over its transport."""
    recent = record.recent(sighting.time_us, window_us, limit)
    return [item for item in recent if item[0].target == sighting.target and item[0].proto == sighting.proto]


def attempts_on_hosts(sighting: Sighting, record: SourceRecord, window_us: int = ANY_TIME_US) -> Attempts:
    """The latest attempts within the window, over any transport, that count over several hosts.

    Where it is unknown who "we" are, a client or a peer-to-peer program looks like a sweep: only ports that neither
    uses count then.
    """
    return [
        (endpoint, attempt)
        for endpoint, attempt in record.recent(sighting.time_us, window_us, MAX_JUDGED)
        if sighting.home_known or endpoint.proto not in {"tcp", "udp"} or is_swept_port(endpoint.port)
    ]


def type_of(attempts: Attempts) -> ScanType:
    """The scan type of most of these attempts."""
    return prevailing(Counter(attempt.scan_type for _, attempt in attempts))
