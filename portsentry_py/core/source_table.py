"""The records of all sources, bounded: Sightings in, one record for each source, which detectors judge."""

from collections.abc import Callable, Iterable, Mapping
from itertools import islice

from portsentry_py.config.settings import Limits
from portsentry_py.core.host_state import wide_network_of
from portsentry_py.core.lru_table import LruTable
from portsentry_py.core.probe_types import STEALTH_TYPES
from portsentry_py.core.sighting import Kind, Sighting
from portsentry_py.core.source_record import MAX_JUDGED, Counts, Endpoint, SourceRecord
from portsentry_py.core.spoofed_twins import SpoofedTwins
from portsentry_py.events.model import Direction, Proto

# A program of this host that asks everybody must not push out what others try here.
_OUTBOUND_SHARE = 8
# So large a part of the sources may be of one /16 or /32 before they count for little.
_NETWORK_SHARE = 16
_FEW = 16
_Key = tuple[str, Direction]
_PROBES = frozenset({Kind.PROBE, Kind.REPEAT})
_ATTEMPTS = _PROBES | {Kind.SERVED}
# Bound once: to look a member of an enumeration up by its name costs more than a call.
_PROBE, _SERVED, _SESSION = Kind.PROBE, Kind.SERVED, Kind.SESSION
_new = tuple.__new__  # of a named tuple, in one call
_TOUCHES = frozenset({Kind.REFUSED, Kind.SILENT, Kind.TRAPPED})


class SourceTable:
    """The records of all sources, bounded in sources and in attempts.

    Sources that made a single attempt have a table of their own: a flood of forged sources, one packet each,
    pushes out others of its kind and not the scanner that it is meant to hide. Among the others, the sources with
    the fewest attempts go first, and those of a network that has very many here.
    """

    def __init__(self, limits: Limits) -> None:
        self._known: LruTable[_Key, SourceRecord] = LruTable(limits.max_sources, self._evict_known, self._worth)
        self._newcomers: LruTable[_Key, SourceRecord] = LruTable(limits.max_sources, self._evict)
        # Sources with more than one attempt of each wide network: an owner of many must not push out all others.
        self._of_network: Counts[str] = Counts()
        self._max_of_network = max(_FEW, limits.max_sources // _NETWORK_SHARE)
        self._twins = SpoofedTwins()
        self._max_attempts = limits.max_attempts
        self._memory_us = limits.memory_hours * 3_600_000_000
        self.attempts = 0
        """Attempts held over all sources."""
        self._now_us = 0
        self._traps = frozenset[tuple[Proto, int]]()

    def set_traps(self, traps: frozenset[tuple[Proto, int]]) -> None:
        """Take the ports whose touches are counted."""
        self._traps = traps

    def _worth(self, record: SourceRecord) -> int:
        """The attempts that count, while they are remembered; few of a network that has many sources here."""
        if self._of_network[wide_network_of(record.address)] > self._max_of_network:
            return min(1, len(record.unserved))
        return len(record.unserved) if abs(self._now_us - record.last_us) <= self._memory_us else 0

    def _evict_known(self, key: _Key, record: SourceRecord) -> None:
        network = wide_network_of(record.address)
        self._of_network[network] -= 1
        if not self._of_network[network]:
            del self._of_network[network]
        self._evict(key, record)

    def _put_known(self, key: _Key, record: SourceRecord) -> None:
        self._of_network[wide_network_of(record.address)] += 1
        self._known.add(key, record)

    def _evict(self, _key: _Key, record: SourceRecord) -> None:
        self.attempts -= len(record.unserved)
        record.evict()

    @property
    def evicted(self) -> int:
        """Sources that were dropped because the table was full."""
        return self._known.evicted + self._newcomers.evicted

    def __len__(self) -> int:
        return len(self._known) + len(self._newcomers)

    def waits_again(self, source: str) -> bool | None:
        """Whether no line about what the source tried here could be written; None if there is no record of it."""
        key: _Key = (source, "inbound")
        record = self._known.peek(key) or self._newcomers.peek(key)
        return None if record is None else record.waits_again

    def known(self) -> list[SourceRecord]:
        """The records of sources that made more than one attempt, the least recently used first."""
        return [record for _, record in self._known.items()]

    def newcomers(self) -> list[SourceRecord]:
        """The other records, likewise."""
        return [record for _, record in self._newcomers.items()]

    def restore(self, known: Iterable[SourceRecord], newcomers: Iterable[SourceRecord], now_us: int) -> None:
        """Take records of an earlier run before the first sighting, less what is too much or too old.

        Args:
            known: as `known` gives them. No source occurs twice, in either or both.
            newcomers: as `newcomers` gives them.
            now_us: the time now.
        """
        self._now_us = now_us
        for put, records in ((self._put_known, known), (self._newcomers.put, newcomers)):
            for record in records:
                record.recompute()
                self.attempts += len(record.unserved)
                put((record.source, record.direction), record)
                self._make_room(record, now_us, len(record.unserved))

    def update(self, sighting: Sighting) -> SourceRecord:
        """Write a sighting into the record of its source; returns the updated record."""
        record = self._record(sighting)
        kind = sighting.kind
        if kind is _SERVED:
            self._visit(record, sighting)
            return record
        if kind is _SESSION:
            return record
        endpoint = _new(Endpoint, (sighting.target, sighting.proto, sighting.port))
        if kind is _PROBE and sighting.scan_type == "unseen" and endpoint in record.unserved:
            return record  # the probe was counted without a flow
        if kind in _PROBES:
            now_us = sighting.time_us
            record.attempts += 1
            record.last_us = now_us
            record.count_probes(sighting, 1)
            self.attempts += record.attempt(endpoint, sighting)
            if kind is _PROBE and sighting.proto == "tcp":
                self._twins.note(sighting.packet, sighting.scan_type, record.unserved[endpoint])
            is_old = abs(now_us - record.first_us) > self._memory_us
            if is_old or self.attempts > self._max_attempts or sighting.direction == "outbound":
                self._make_room(record, now_us, 1)
        else:
            self._conclude(record, endpoint, sighting)
        return record

    def _conclude(self, record: SourceRecord, endpoint: Endpoint, sighting: Sighting) -> None:
        """What became of an attempt."""
        kind = sighting.kind
        if kind in _TOUCHES:
            record.settle(endpoint, refused=kind is Kind.REFUSED)
            record.trap_touches += self._is_touch(sighting)
        elif kind is Kind.ANSWERED:
            self._retract(record, endpoint)
            record.add_opened(endpoint)
        elif kind is Kind.EXPECTED:
            self._retract_expected(record, endpoint)
        elif kind is Kind.PROVEN:
            record.prove(endpoint, sighting)
            record.trap_answered = record.trap_answered or (record.trap_touches > 0 and self._is_touch(sighting))

    def _visit(self, record: SourceRecord, sighting: Sighting) -> None:
        """A first packet to a served port: of most visitors nothing is new but the time."""
        record.attempts += 1
        record.last_us = sighting.time_us
        if sighting.scan_type in STEALTH_TYPES:
            record.count_probes(sighting, 1)  # no visitor of the port sends it
        asked = (sighting.target, sighting.proto, sighting.port)
        if record.unserved or asked not in record.opened:
            endpoint = Endpoint(*asked)
            self._retract(record, endpoint)
            record.add_opened(endpoint)

    def update_counted(self, last: Sighting, probes: Mapping[Endpoint, int], refused: Iterable[Endpoint]) -> None:
        """Write many probes of one source into its record at once.

        Args:
            last: the last of them; the others are taken to look like it.
            probes: how often each endpoint was probed.
            refused: the endpoints among them that were refused.
        """
        record, times = self._record(last), sum(probes.values())
        record.attempts += times
        record.last_us = last.time_us
        record.count_probes(last, times)
        for endpoint in probes:
            self.attempts += record.attempt(endpoint, last)
        for endpoint in refused:
            record.settle(endpoint, refused=True)
        self._make_room(record, last.time_us, len(probes))

    def retract_served(self, record: SourceRecord, is_served: Callable[[str, Proto, int], bool]) -> bool:
        """Retract the latest attempts on what turned out to be served; returns whether there were any."""
        latest = islice(reversed(record.unserved), MAX_JUDGED)
        served = [endpoint for endpoint in latest if is_served(*endpoint)]
        for endpoint in served:
            self._drop(record, endpoint)
        return bool(served)

    def _is_touch(self, sighting: Sighting) -> bool:
        return (sighting.proto, sighting.port) in self._traps and sighting.direction == "inbound"

    def _record(self, sighting: Sighting) -> SourceRecord:
        key, self._now_us = (sighting.source, sighting.direction), sighting.time_us
        known = self._known
        record = known.peek(key)
        if record is not None:
            known.renew(key)
            return record
        record = self._newcomers.touch(key)
        if record is None:
            record = SourceRecord(*key, sighting.time_us, sighting.time_us, sighting.packet.src)
            if sighting.kind in _ATTEMPTS:  # the outcome of an evicted source's attempt brings nobody back
                self._newcomers.add(key, record)
        elif record.attempts and sighting.kind in _ATTEMPTS:
            self._newcomers.pop(key)
            self._put_known(key, record)
        return record

    def _make_room(self, record: SourceRecord, now_us: int, new: int) -> None:
        """Drop old attempts of this source, at most as many as are new; then attempts beyond the bound."""
        oldest = next(iter(record.unserved.values()), None)
        if oldest is not None and abs(now_us - oldest.last_us) > self._memory_us:
            for endpoint, attempt in list(islice(record.unserved.items(), new)):
                if abs(now_us - attempt.last_us) <= self._memory_us:
                    break
                self._drop(record, endpoint)
        if record.direction == "outbound":
            while len(record.unserved) > self._max_attempts // _OUTBOUND_SHARE:
                self._drop(record, next(iter(record.unserved)))
        while self.attempts > self._max_attempts:
            table = next((one for one in (self._newcomers, self._known) if _other_than(record, one)), None)
            if table is not None:
                table.evict_oldest()
            else:
                self._drop(record, next(iter(record.unserved)))

    def _retract(self, record: SourceRecord, endpoint: Endpoint) -> None:
        """An attempt on the endpoint is no evidence any more."""
        if endpoint in record.unserved:
            self._drop(record, endpoint)

    def _retract_expected(self, record: SourceRecord, endpoint: Endpoint) -> None:
        """The port beside a stream may have been refused: that stays evidence."""
        attempt = record.unserved.get(endpoint)
        if attempt is not None and not attempt.refused:
            self._drop(record, endpoint)

    def _drop(self, record: SourceRecord, endpoint: Endpoint) -> None:
        record.drop(endpoint)
        self.attempts -= 1


def _other_than(record: SourceRecord, table: LruTable[_Key, SourceRecord]) -> bool:
    oldest = table.oldest()
    return oldest is not None and oldest[1] is not record
