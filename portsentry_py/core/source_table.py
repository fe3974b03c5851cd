"""What each source has tried: Sightings in, one bounded record a source. Detectors judge the records."""

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import islice
from typing import TypeVar

from portsentry_py.config.settings import Limits
from portsentry_py.core.fingerprints import tool_of
from portsentry_py.core.lru_table import LruTable
from portsentry_py.core.packet import SYN, TCP
from portsentry_py.core.sighting import Kind, Sighting
from portsentry_py.core.source_record import Attempt, Endpoint, SourceRecord, StackFingerprint

_T = TypeVar("_T")

PRIVILEGED_PORT_POINTS = 3  # scanlogd 2.2.8, params.h: PORT_WEIGHT_PRIV
OTHER_PORT_POINTS = 1  # scanlogd 2.2.8, params.h: PORT_WEIGHT_HIGH
_FIRST_UNPRIVILEGED_PORT = 1024
_MAX_MAKES = 8
_MAX_OPENED = 64
_HABIT_US = 60_000_000
_MAX_TWINS = 8_192
_ATTEMPTS = frozenset({Kind.PROBE, Kind.AGAIN, Kind.SERVED})


class SourceTable:
    """The records of all sources, bounded in sources and in attempts.

    Sources that made a single attempt live in a table of their own: a flood of forged sources, one packet
    each, pushes out others of its kind and not the scanner that it is meant to hide.
    """

    def __init__(self, limits: Limits) -> None:
        self._known: LruTable[tuple[str, str], SourceRecord] = self._table(limits.max_sources)
        self._newcomers: LruTable[tuple[str, str], SourceRecord] = self._table(limits.max_sources)
        self._twins: LruTable[tuple[Endpoint, int, int], SourceRecord] = LruTable(_MAX_TWINS)
        self._max_attempts = limits.max_attempts
        self._memory_us = limits.memory_hours * 3_600_000_000
        self._entries = 0

    def _table(self, limit: int) -> LruTable[tuple[str, str], SourceRecord]:
        return LruTable(limit, on_evict=self._forget)

    @property
    def evicted(self) -> int:
        """Sources forgotten because the ledger was full."""
        return self._known.evicted + self._newcomers.evicted

    def __len__(self) -> int:
        return len(self._known) + len(self._newcomers)

    @property
    def entries(self) -> int:
        """Attempts held over all sources."""
        return self._entries

    def knows(self, source: str) -> bool:
        """Whether there is a record of what the source tried here."""
        key = (source, "inbound")
        return self._known.holds(key) or self._newcomers.holds(key)

    def known(self) -> list[SourceRecord]:
        """The records of sources that made more than one attempt, the one unused for longest first."""
        return [record for _, record in self._known.items()]

    def newcomers(self) -> list[SourceRecord]:
        """The other records, likewise."""
        return [record for _, record in self._newcomers.items()]

    def restore(self, known: Iterable[SourceRecord], newcomers: Iterable[SourceRecord], now_us: int) -> None:
        """Take records of an earlier run, less what is too much and too old; before any sighting.

        Args:
            known: as `known` gives them. No source stands there twice, nor here and among the newcomers.
            newcomers: as `newcomers` gives them.
            now_us: the time now.
        """
        for table, records in ((self._known, known), (self._newcomers, newcomers)):
            for record in records:
                _sum_up(record)
                self._entries += len(record.unserved)
                table.put((record.source, record.direction), record)
                self._make_room(record, now_us, len(record.unserved))

    def note(self, sighting: Sighting) -> SourceRecord:
        """Write a sighting into its source's record, and give the record as it is then."""
        record = self._record(sighting)
        kind = sighting.kind
        if kind in _ATTEMPTS:
            record.attempts += 1
            record.last_us = sighting.time_us
        if kind in {Kind.PROBE, Kind.AGAIN}:
            self._probe(record, sighting)
        elif kind in {Kind.REFUSED, Kind.SILENT, Kind.TRAPPED}:
            self._settle(record, sighting)
        elif kind in {Kind.ANSWERED, Kind.SERVED}:
            self._take_back(record, sighting)
        elif kind is Kind.SESSION and not record.trap_touches:
            record.sessions += 1
        elif kind is Kind.PROVEN:
            self._prove(record, sighting)
        return record

    def note_counted(
        self, last: Sighting, probes: Mapping[Endpoint, int], refused: Iterable[Endpoint]
    ) -> None:
        """Write many probes of one source into its record at once.

        Args:
            last: the last of them; the others are taken to be like it, but for what they asked for.
            probes: what they asked for, and how often.
            refused: what of it was refused.
        """
        record, times = self._record(last), sum(probes.values())
        record.attempts += times
        record.last_us = last.time_us
        self._mark(record, last, times)
        for pair in probes:
            self._ask(record, pair, last)
        for pair in refused:
            self._refuse(record, record.unserved[pair])
        self._make_room(record, last.time_us, len(probes))

    def _record(self, sighting: Sighting) -> SourceRecord:
        key = (sighting.source, sighting.direction)
        record = self._known.touch(key)
        if record is not None:
            return record
        record = self._newcomers.touch(key)
        if record is None:
            record = SourceRecord(*key, first_us=sighting.time_us, last_us=sighting.time_us)
            if sighting.kind in _ATTEMPTS:  # what became of a forgotten source's attempt brings nobody back
                self._newcomers.put(key, record)
        elif record.attempts and sighting.kind in _ATTEMPTS:
            self._newcomers.pop(key)
            self._known.put(key, record)
        return record

    def _forget(self, _key: tuple[str, str], record: SourceRecord) -> None:
        """Others may hold the record still, a scan that has not ended, say: its memory goes now."""
        self._entries -= len(record.unserved)
        record.forgotten = True
        for content in (record.unserved, record.targets, record.types, record.tools, record.makes):
            content.clear()
        record.closed, record.opened, record.proven, record.proofs = 0, (), (), ()

    def _probe(self, record: SourceRecord, sighting: Sighting) -> None:
        pair = Endpoint(sighting.target, sighting.proto, sighting.port)
        self._mark(record, sighting, 1)
        self._find_twins(record, sighting, pair)
        self._ask(record, pair, sighting)
        self._make_room(record, sighting.time_us, 1)

    @staticmethod
    def _mark(record: SourceRecord, sighting: Sighting, times: int) -> None:
        """Count what the probes look like."""
        record.probes += times
        record.types[sighting.scan_type] += times
        record.tunnelled = record.tunnelled or sighting.packet.tunnelled
        make = _make(sighting)
        if make in record.makes or len(record.makes) < _MAX_MAKES:
            record.makes[make] += times
        tool = tool_of(sighting.packet)
        if tool is not None:
            record.tools[tool] += times

    def _ask(self, record: SourceRecord, pair: Endpoint, sighting: Sighting) -> None:
        """The source asks for that."""
        attempt = record.unserved.get(pair)
        if attempt is None:
            record.unserved[pair] = Attempt(sighting.time_us, sighting.time_us, sighting.scan_type)
            record.targets[pair.target] += 1
            record.score += _points(pair.port)
            self._entries += 1
        else:
            attempt.last_us = sighting.time_us
            record.unserved.move_to_end(pair)

    def _find_twins(self, record: SourceRecord, sighting: Sighting, pair: Endpoint) -> None:
        """Equal probes from different sources: nmap's decoys differ in nothing but the source."""
        packet = sighting.packet
        if packet.proto != TCP or not packet.flags & SYN or not packet.seq:
            return
        key = (pair, packet.src_port, packet.seq)
        twin = self._twins.peek(key)
        if twin is None:
            self._twins.put(key, record)
        elif twin.source != record.source:
            twin.decoy = record.decoy = True

    def _make_room(self, record: SourceRecord, now_us: int, new: int) -> None:
        """Forget what this source asked for too long ago, as much as is `new`; then whatever is too much."""
        for pair, attempt in list(islice(record.unserved.items(), new)):
            if abs(now_us - attempt.last_us) <= self._memory_us:
                break
            self._drop(record, pair)
        while self._entries > self._max_attempts:
            table = next((one for one in (self._newcomers, self._known) if _other_than(record, one)), None)
            if table is not None:
                table.evict_oldest()
            else:
                self._drop(record, next(iter(record.unserved)))

    @staticmethod
    def _prove(record: SourceRecord, sighting: Sighting) -> None:
        """A connection that was opened and closed: part of a connect scan, or a health check.

        Whoever asks for nothing else does it out of habit; one in a minute counts as a session.
        """
        if record.unserved:
            record.proven = _with(record.proven, _make(sighting), _MAX_MAKES)
            pair = Endpoint(sighting.target, sighting.proto, sighting.port)
            record.proofs = _with(record.proofs, _shared(pair), _MAX_MAKES)
        elif sighting.time_us - record.last_check_us >= _HABIT_US:
            record.last_check_us = sighting.time_us
            record.sessions += 1

    def _settle(self, record: SourceRecord, sighting: Sighting) -> None:
        pair = Endpoint(sighting.target, sighting.proto, sighting.port)
        attempt = record.unserved.get(pair)
        if attempt is not None:
            attempt.settled = True
            if sighting.kind is Kind.REFUSED:
                self._refuse(record, attempt)

    @staticmethod
    def _refuse(record: SourceRecord, attempt: Attempt) -> None:
        record.closed += not attempt.refused
        attempt.settled = attempt.refused = True

    def _take_back(self, record: SourceRecord, sighting: Sighting) -> None:
        """Somebody serves it: it is no evidence, and if it was counted, it no longer is."""
        pair = Endpoint(sighting.target, sighting.proto, sighting.port)
        if pair in record.unserved:
            self._drop(record, pair)
        record.opened = _with(record.opened, _shared(pair), _MAX_OPENED)

    def _drop(self, record: SourceRecord, pair: Endpoint) -> None:
        record.closed -= record.unserved.pop(pair).refused
        self._entries -= 1
        record.score -= _points(pair.port)
        record.targets[pair.target] -= 1
        if not record.targets[pair.target]:
            del record.targets[pair.target]


def _sum_up(record: SourceRecord) -> None:
    """Make what follows from the rest of a record, within the bounds."""
    pairs = record.unserved
    record.targets = Counter(pair.target for pair in pairs)
    record.closed = sum(attempt.refused for attempt in pairs.values())
    record.score = sum(_points(pair.port) for pair in pairs)
    record.opened = tuple(map(_shared, record.opened[:_MAX_OPENED]))
    record.makes = Counter(dict(islice(record.makes.items(), _MAX_MAKES)))
    record.proven, record.proofs = record.proven[:_MAX_MAKES], record.proofs[:_MAX_MAKES]


@lru_cache(maxsize=4096)
def _shared(pair: Endpoint) -> Endpoint:
    """Few ports are served, and every source may hold them: one object for all."""
    return pair


def _with(members: tuple[_T, ...], new: _T, most: int) -> tuple[_T, ...]:
    """The members and a new one, if it is new and they are not too many."""
    return members if new in members or len(members) >= most else (*members, new)


def _other_than(record: SourceRecord, table: LruTable[tuple[str, str], SourceRecord]) -> bool:
    oldest = table.oldest()
    return oldest is not None and oldest[1] is not record


def _make(sighting: Sighting) -> StackFingerprint:
    return StackFingerprint(sighting.packet.ttl, sighting.packet.header_bytes)


def _points(port: int) -> int:
    return PRIVILEGED_PORT_POINTS if port < _FIRST_UNPRIVILEGED_PORT else OTHER_PORT_POINTS
