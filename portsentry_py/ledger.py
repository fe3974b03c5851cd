"""What each source has tried: Sightings in, one bounded record a source. Detectors judge the records."""

from collections import Counter, OrderedDict
from dataclasses import dataclass, field

from portsentry_py.settings import Limits
from portsentry_py.sighting import Kind, Sighting
from portsentry_py.tables import BoundedTable

PRIVILEGED_PORT_POINTS = 3  # scanlogd 2.2.8, params.h: PORT_WEIGHT_PRIV
OTHER_PORT_POINTS = 1  # scanlogd 2.2.8, params.h: PORT_WEIGHT_HIGH
_FIRST_UNPRIVILEGED_PORT = 1024

PortKey = tuple[str, int]


@dataclass(slots=True)
class SourceRecord:
    """One source's attempts on what nobody serves.

    `unserved` has, for each target, the (proto, port) pairs in order of their last probe, with its time in
    microseconds. `opened` holds what turned out to be served. `types` counts probes by scan type.
    """

    source: str
    direction: str
    first_us: int
    last_us: int
    unserved: dict[str, OrderedDict[PortKey, int]] = field(default_factory=dict)
    refused: set[tuple[str, str, int]] = field(default_factory=set)
    opened: set[tuple[str, str, int]] = field(default_factory=set)
    types: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    entries: int = 0
    score: int = 0
    verified: bool = False
    trap_touches: int = 0

    @property
    def ports(self) -> int:
        """Distinct (proto, port) pairs that nobody serves, over all targets."""
        if len(self.unserved) == 1:
            return len(next(iter(self.unserved.values())))
        return len({key for ports in self.unserved.values() for key in ports})

    @property
    def scan_type(self) -> str:
        """The one type of its probes, or `mixed` where none makes up nine in ten of them."""
        if not self.types:
            return "unknown"
        name, count = self.types.most_common(1)[0]
        return name if count * 10 >= 9 * self.types.total() else "mixed"


class Ledger:
    """The records of all sources, bounded in sources and in attempts."""

    def __init__(self, limits: Limits) -> None:
        self._records: BoundedTable[tuple[str, str], SourceRecord] = BoundedTable(
            limits.max_sources, on_evict=self._forget
        )
        self._max_attempts = limits.max_attempts
        self._entries = 0

    @property
    def evicted(self) -> int:
        """Sources forgotten because the ledger was full."""
        return self._records.evicted

    def __len__(self) -> int:
        return len(self._records)

    @property
    def entries(self) -> int:
        """Attempts held over all sources."""
        return self._entries

    def note(self, sighting: Sighting) -> SourceRecord:
        """Write a sighting into its source's record.

        Returns:
            The record, as it is after the sighting.
        """
        key = (sighting.source, sighting.direction)
        record = self._records.touch(key)
        if record is None:
            record = SourceRecord(sighting.source, sighting.direction, sighting.time_us, sighting.time_us)
            self._records.put(key, record)
        record.verified = record.verified or sighting.verified
        if sighting.kind in {Kind.PROBE, Kind.AGAIN, Kind.SERVED}:
            record.attempts += 1
            record.last_us = sighting.time_us
        if sighting.kind in {Kind.PROBE, Kind.AGAIN}:
            record.types[sighting.scan_type] += 1
            self._add(record, sighting)
        elif sighting.kind is Kind.REFUSED:
            self._refuse(record, sighting)
        elif sighting.kind is Kind.ANSWERED:
            self._take_back(record, sighting)
        return record

    def forget(self, source: str, direction: str) -> None:
        """Drop a record: its scan has ended, the next one starts anew."""
        record = self._records.pop((source, direction))
        if record is not None:
            self._entries -= record.entries

    def _forget(self, _key: tuple[str, str], record: SourceRecord) -> None:
        self._entries -= record.entries

    def _add(self, record: SourceRecord, sighting: Sighting) -> None:
        ports = record.unserved.setdefault(sighting.target, OrderedDict())
        port = (sighting.proto, sighting.port)
        if port not in ports:
            record.entries += 1
            self._entries += 1
            record.score += _points(sighting.port)
        ports[port] = sighting.time_us
        ports.move_to_end(port)
        while self._entries > self._max_attempts:
            self._shrink(record)

    def _shrink(self, current: SourceRecord) -> None:
        """Make room: the source unused for longest goes; the only one left loses its oldest attempts."""
        if len(self._records) > 1:
            self._records.evict_oldest()
            return
        target = next(iter(current.unserved))
        port, _ = current.unserved[target].popitem(last=False)
        self._drop(current, target, port)

    def _refuse(self, record: SourceRecord, sighting: Sighting) -> None:
        ports = record.unserved.get(sighting.target)
        if ports is not None and (sighting.proto, sighting.port) in ports:
            record.refused.add((sighting.target, sighting.proto, sighting.port))

    def _take_back(self, record: SourceRecord, sighting: Sighting) -> None:
        """The port is served after all: it was no evidence."""
        port = (sighting.proto, sighting.port)
        ports = record.unserved.get(sighting.target)
        if ports is None or ports.pop(port, None) is None:
            return
        self._drop(record, sighting.target, port)
        if len(record.opened) < self._max_attempts:
            record.opened.add((sighting.target, *port))

    def _drop(self, record: SourceRecord, target: str, port: PortKey) -> None:
        record.entries -= 1
        self._entries -= 1
        record.score -= _points(port[1])
        record.refused.discard((target, *port))
        if not record.unserved[target]:
            del record.unserved[target]


def _points(port: int) -> int:
    return PRIVILEGED_PORT_POINTS if port < _FIRST_UNPRIVILEGED_PORT else OTHER_PORT_POINTS
