"""What a restart must not forget, as bytes and back: sources, open scans, served ports, our servers.

The bytes are blocks, so that packets can be read between the making of two. A block is tables, each behind
its length: one of the addresses and one of the words that the others refer to, then tables of fixed rows.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from struct import Struct, error
from typing import TypeVar, get_args

from portsentry_py.core.decode import MAX_TIME_US, canonical_address
from portsentry_py.core.detectors.base import MOST
from portsentry_py.core.finding import Finding
from portsentry_py.core.packet import Packet
from portsentry_py.core.saved_state import SavedState
from portsentry_py.core.scan_tracker import RepeatInterval, Scan
from portsentry_py.core.served_ports import Learned
from portsentry_py.core.sighting import Kind, Sighting
from portsentry_py.core.source_record import Attempt, Endpoint, SourceRecord, StackFingerprint
from portsentry_py.events.model import Proto, Reason, ScanType, Technique, Tool

VERSION = 1
# Twice what the default limits can come to.
MAX_BYTES = 64 << 20
_SOURCES_IN_BLOCK = 500
_PORTS_IN_BLOCK = 10_000

_LENGTH = Struct("<Q")
_SOURCE = Struct("<IB7q8H")  # address, flags, numbers, and how many rows it has in each of the next tables
_ATTEMPT = Struct("<IBH2q2B")  # address, protocol, port, first and last time, type, flags
_PAIR = Struct("<IBH")  # address, protocol, port
_TALLY = Struct("<Bq")  # word, how often
_MAKE = Struct("<2Bq")  # hops, bytes of the header, how often
_PROVEN = Struct("<2B")  # hops, bytes of the header
_SCAN = Struct("<4B6qIBHB")  # words, flags, numbers, last probe, how many types were said
_SAID = Struct("<B")  # type
_LEARNED = Struct("<IBHq")  # address, kind, port, time
_SERVER = Struct("<IB")  # address, what it is
_OF_SOURCES = (_ATTEMPT, _PAIR, _PAIR, _TALLY, _TALLY, _MAKE, _PROVEN, _SCAN)
_TABLES = (_SOURCE, *_OF_SOURCES, _SAID, _LEARNED, _SERVER)

_OUTBOUND, _KNOWN, _TRAP_ANSWERED, _DECOY, _TUNNELLED = 1, 2, 4, 8, 16
_SETTLED, _REFUSED = 1, 2
_BANNABLE, _SAID_BANNABLE = 1, 2
_PROTOS, _TECHNIQUES, _REASONS, _TYPES, _TOOLS = (
    frozenset[str](get_args(words)) for words in (Proto, Technique, Reason, ScanType, Tool)
)
_KINDS = _PROTOS - {"tcp", "udp"} | {"port"}  # see served.py
_SERVERS = frozenset({"resolver", "ntp_server", "dhcp_server"})  # see flows.py

_T = TypeVar("_T")
_Row = tuple[int, ...]


class BrokenSnapshot(ValueError):
    """The bytes are no snapshot of ours."""


def encode(state: SavedState, sure_us: int) -> Iterator[bytes]:
    """The state as bytes, block by block; its records may change between two.

    Of its attempts each source keeps the latest, as many as a detector looks at, but none since `sure_us` of
    which it is not known what became of it: it may be answered while nobody looks. Where all comes to more
    than `MAX_BYTES`, sources are left out: those that made a single attempt before others, and of each kind
    those that were unused for longest.
    """
    scans: dict[int, list[Scan]] = {}
    for scan in state.scans:
        scans.setdefault(id(scan.last.record), []).append(scan)
    size = 0
    for block in chain(
        _rest(state),
        *(
            _sources(some, flags, scans, sure_us)
            for some, flags in ((state.known, _KNOWN), (state.newcomers, 0))
        ),
    ):
        content = block.content()
        size += len(content)
        if size > MAX_BYTES:
            return
        yield content


def _rest(state: SavedState) -> Iterator["_Block"]:
    block = _Block()
    block.add_servers(state.servers[::-1])
    yield block
    for some in _slices(state.learned[::-1], _PORTS_IN_BLOCK):
        block = _Block()
        block.add_learned(some)
        yield block


def _sources(
    records: Sequence[SourceRecord], flags: int, scans: Mapping[int, Sequence[Scan]], sure_us: int
) -> Iterator["_Block"]:
    for some in _slices(records[::-1], _SOURCES_IN_BLOCK):
        block = _Block()
        for record in some:
            # It may have been forgotten since, and its source have come back with another record.
            if not record.evicted:
                block.add_source(record, flags, scans.get(id(record), ()), sure_us)
        yield block


def _slices(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def decode(content: bytes) -> SavedState:
    """The state that the bytes hold; the sums in its records are left for the ledger to make.

    Raises:
        BrokenSnapshot: they hold none. Nothing in them is trusted.
    """
    rest = memoryview(content)
    blocks: list[SavedState] = []
    try:
        while rest:
            reader = _Reader(rest)
            blocks.append(reader.state())
            rest = reader.rest
    except (ValueError, error) as reason:
        raise BrokenSnapshot(str(reason)) from reason
    except LookupError as reason:
        raise BrokenSnapshot("it refers to what is not there") from reason
    # The latest were written first.
    state = SavedState(*([*chain.from_iterable(parts)][::-1] for parts in zip(*blocks, strict=True)))
    records = [*state.known, *state.newcomers]
    _expect_each_once((record.source, record.direction) for record in records)
    _expect_each_once((id(scan.last.record), scan.last.technique == "trap") for scan in state.scans)
    return state


class _Places(dict[str, int]):
    """Gives each text its place in a table, the next one to a new text."""

    def __missing__(self, text: str) -> int:
        place = self[text] = len(self)
        return place


class _Block:
    """Makes the tables of one block."""

    def __init__(self) -> None:
        self._addresses, self._words = _Places(), _Places()
        self._tables: list[list[bytes]] = [[] for _ in _TABLES]

    def add_source(self, record: SourceRecord, flags: int, scans: Sequence[Scan], sure_us: int) -> None:
        """Add a source and its open scans."""
        addresses, words = self._addresses, self._words
        asked = [
            _ATTEMPT.pack(
                *(addresses[target], words[proto], port, attempt.first_us, attempt.last_us),
                *(words[attempt.scan_type], _SETTLED * attempt.settled | _REFUSED * attempt.refused),
            )
            for (target, proto, port), attempt in islice(reversed(record.unserved.items()), MOST)
            if attempt.settled or attempt.last_us < sure_us
        ]
        rows = (
            asked,
            [_PAIR.pack(addresses[target], words[proto], port) for target, proto, port in record.opened],
            [_PAIR.pack(addresses[target], words[proto], port) for target, proto, port in record.proofs],
            [_TALLY.pack(words[name], count) for name, count in record.types.items()],
            [_TALLY.pack(words[name], count) for name, count in record.tools.items()],
            [_MAKE.pack(hops, size, count) for (hops, size), count in record.stacks.items()],
            [_PROVEN.pack(hops, size) for hops, size in record.proven_stacks],
            [self._scan(scan, len(asked)) for scan in scans],
        )
        sources, *tables = self._tables[: 1 + len(rows)]
        for table, some in zip(tables, rows, strict=True):
            table.extend(some)
        flags |= _OUTBOUND * (record.direction == "outbound") | _TRAP_ANSWERED * record.trap_answered
        flags |= _DECOY * record.has_twin | _TUNNELLED * record.tunnelled
        sources.append(
            _SOURCE.pack(
                *(addresses[record.source], flags, record.first_us, record.last_us, record.attempts),
                *(record.probes, record.sessions, record.last_check_us, record.trap_touches),
                *map(len, rows),
            )
        )

    def _scan(self, scan: Scan, kept: int) -> bytes:
        last, probe, words = scan.last, scan.last_probe, self._words
        # What is not kept of a scan must not seem to be withdrawn.
        holds = last.technique != "trap" and last.weight >= scan.first_weight
        self._tables[-3] += [_SAID.pack(words[name]) for name in sorted(scan.said_types)]
        return _SCAN.pack(
            *(words[last.technique], words[last.reason], words[last.scan_type]),
            _BANNABLE * last.bannable | _SAID_BANNABLE * scan.said_bannable,
            min(scan.first_weight, kept) if holds else scan.first_weight,
            *(scan.next_weight, scan.first_us, scan.pace.said_us, scan.pace.wait_us, probe.time_us),
            *(self._addresses[probe.target], words[probe.proto], probe.port, len(scan.said_types)),
        )

    def add_learned(self, learned: Iterable[Learned]) -> None:
        """Add ports that answered."""
        self._tables[-2] += [
            _LEARNED.pack(self._addresses[address], self._words[kind], port, answered_us)
            for address, kind, port, answered_us in learned
        ]

    def add_servers(self, servers: Iterable[tuple[str, str]]) -> None:
        """Add servers of ours."""
        self._tables[-1] += [
            _SERVER.pack(self._addresses[address], self._words[kind]) for address, kind in servers
        ]

    def content(self) -> bytes:
        """All tables."""
        texts = ("\n".join(table).encode("ascii") for table in (self._addresses, self._words))
        tables = chain(texts, map(b"".join, self._tables))
        return b"".join(chain.from_iterable((_LENGTH.pack(len(table)), table) for table in tables))


class _Reader:
    """Reads the tables of one block, and doubts all that is in them."""

    def __init__(self, content: memoryview) -> None:
        self.rest = content
        self._addresses, words = self._texts(), self._texts()
        if not all(map(_is_address, self._addresses)):
            raise ValueError("an address is none")
        self._tables = [self._rows(row) for row in _TABLES]

        def among(allowed: frozenset[str]) -> dict[int, str]:
            return {place: word for place, word in enumerate(words) if word in allowed}

        self._protos, self._kinds, self._servers = among(_PROTOS), among(_KINDS), among(_SERVERS)
        self._types, self._tools = among(_TYPES), among(_TOOLS)
        self._techniques, self._reasons = among(_TECHNIQUES), among(_REASONS)

    def _take(self) -> memoryview:
        (size,) = _LENGTH.unpack_from(self.rest)
        end = _LENGTH.size + size
        if end > len(self.rest):
            raise ValueError("it breaks off")
        table, self.rest = self.rest[_LENGTH.size : end], self.rest[end:]
        return table

    def _texts(self) -> list[str]:
        text = str(self._take(), "ascii")
        return text.split("\n") if text else []

    def _rows(self, row: Struct) -> list[_Row]:
        rows = list(row.iter_unpack(self._take()))
        if not all(0 <= number <= MAX_TIME_US for one in rows for number in one):
            raise ValueError("a number is out of bounds")
        return rows

    def state(self) -> SavedState:
        """What the tables hold, in the order of their rows."""
        sources, *tables, said, learned, servers = self._tables
        counts = [row[-len(tables) :] for row in sources]
        scans = tables[-1]
        expected = [sum(column) for column in zip(*counts, strict=True)] or [0] * len(tables)
        expected.append(sum(row[-1] for row in scans))
        if expected != [len(table) for table in (*tables, said)]:
            raise ValueError("a count is wrong")
        rows, words = [iter(table) for table in tables], iter(said)
        parts: tuple[list[SourceRecord], list[SourceRecord]] = [], []
        found: list[Scan] = []
        for row, some in zip(sources, counts, strict=True):
            *own, of_scans = (islice(rest, count) for rest, count in zip(rows, some, strict=True))
            record = self._source(row, own)
            parts[not row[1] & _KNOWN].append(record)
            found += [self._scan(scan, record, islice(words, scan[-1])) for scan in of_scans]
        return SavedState(
            *parts,
            found,
            [Learned(self._addresses[row[0]], self._kinds[row[1]], row[2], row[3]) for row in learned],
            [(self._addresses[address], self._servers[kind]) for address, kind in servers],
        )

    def _source(self, row: _Row, tables: Sequence[Iterator[_Row]]) -> SourceRecord:
        address, flags, first_us, last_us, attempts, probes, sessions, last_check_us, touches = row[:9]
        unserved, opened, proofs, types, tools, makes, proven = tables
        return SourceRecord(
            self._addresses[address],
            "outbound" if flags & _OUTBOUND else "inbound",
            first_us,
            last_us,
            unserved=OrderedDict([*map(self._attempt, unserved)][::-1]),
            opened=tuple(map(self._pair, opened)),
            types=Counter({self._types[word]: count for word, count in types}),
            tools=Counter({self._tools[word]: count for word, count in tools}),
            stacks=Counter({StackFingerprint(hops, size): count for hops, size, count in makes}),
            proven_stacks=tuple(StackFingerprint(hops, size) for hops, size in proven),
            proofs=tuple(map(self._pair, proofs)),
            attempts=attempts,
            probes=probes,
            sessions=sessions,
            last_check_us=last_check_us,
            trap_touches=touches,
            trap_answered=bool(flags & _TRAP_ANSWERED),
            has_twin=bool(flags & _DECOY),
            tunnelled=bool(flags & _TUNNELLED),
        )

    def _pair(self, row: _Row) -> Endpoint:
        return Endpoint(self._addresses[row[0]], self._protos[row[1]], row[2])

    def _attempt(self, row: _Row) -> tuple[Endpoint, Attempt]:
        first_us, last_us, scan_type, flags = row[3:]
        settled, refused = bool(flags & _SETTLED), bool(flags & _REFUSED)
        return self._pair(row), Attempt(first_us, last_us, self._types[scan_type], settled, refused)

    def _scan(self, row: _Row, record: SourceRecord, said: Iterator[_Row]) -> Scan:
        technique, reason, word, flags, first_weight, next_weight, first_us, said_us, wait_us, probed_us = (
            row[:10]
        )
        pair, scan_type = self._pair(row[10:]), self._types[word]
        probe = Sighting(
            kind=Kind.PROBE,
            time_us=probed_us,
            source=record.source,
            target=pair.target,
            port=pair.port,
            proto=pair.proto,
            scan_type=scan_type,
            direction=record.direction,
            packet=Packet(probed_us, record.source, pair.target, 0),  # no line tells more of it
        )
        last = Finding(
            self._techniques[technique],
            probe,
            record,
            scan_type,
            bool(flags & _BANNABLE),
            self._reasons[reason],
        )
        return Scan(
            first_us=first_us,
            last=last,
            last_probe=probe,
            first_weight=first_weight,
            pace=RepeatInterval(said_us, wait_us, wait_us),
            said_types={self._types[name] for (name,) in said},
            said_bannable=bool(flags & _SAID_BANNABLE),
            next_weight=next_weight,
        )


def _is_address(text: str) -> bool:
    try:
        return canonical_address(text) == text and "%" not in text
    except ValueError:
        return False


def _expect_each_once(keys: Iterable[object]) -> None:
    listed = list(keys)
    if len(set(listed)) < len(listed):
        raise BrokenSnapshot("something stands there twice")
