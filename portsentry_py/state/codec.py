"""What outlives a restart, as bytes and back: sources, open scans, served ports, the standing of addresses.

The bytes are blocks, each behind its length, so that packets can be read between the making of two.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_network
from itertools import islice
from typing import TypeVar

from msgspec import DecodeError, msgpack

from portsentry_py.core.decode import canonical_address
from portsentry_py.core.finding import Finding
from portsentry_py.core.host_state import network_of
from portsentry_py.core.packet import Packet
from portsentry_py.core.policy import Judgement
from portsentry_py.core.saved_state import SavedState
from portsentry_py.core.scan_tracker import RepeatInterval, Scan
from portsentry_py.core.served_ports import Learned
from portsentry_py.core.sighting import Kind, Sighting
from portsentry_py.core.source_record import MAX_JUDGED, Attempt, Counts, Endpoint, SourceRecord, StackFingerprint
from portsentry_py.core.standing import Acquaintance
from portsentry_py.state.snapshot import Block, SavedAcquaintance, SavedAttempt, SavedPort, SavedScan, SavedSource

MAX_BYTES = 64 << 20
"""Six times what full tables of the default size come to."""
_SOURCES_IN_BLOCK = 500
_ENTRIES_IN_BLOCK = 10_000
_LENGTH_BYTES = 4
_CONVERTED = {"unserved", "opened", "proofs", "checks", "scans"}
_COPIED = tuple(name for name in SavedSource.__struct_fields__ if name not in _CONVERTED)
_encode = msgpack.Encoder().encode
_decode = msgpack.Decoder(Block).decode
_T = TypeVar("_T")


class BrokenSnapshot(ValueError):
    """The bytes are not a snapshot of ours."""


def encode(state: SavedState, settled_us: int) -> Iterator[bytes]:
    """Write the state, block by block; its records may change between two blocks.

    Each source keeps its latest attempts, as many as a detector looks at. An attempt since `settled_us` whose
    outcome is unknown is left out: its answer may come while nobody watches. Above `MAX_BYTES`, sources are
    left out: first those that made a single attempt, and of each kind those that were unused for longest.
    """
    size = 0
    for block in _blocks(state, settled_us):
        content = _encode(block)
        size += _LENGTH_BYTES + len(content)
        if size > MAX_BYTES:
            return
        yield len(content).to_bytes(_LENGTH_BYTES, "big") + content


def _blocks(state: SavedState, settled_us: int) -> Iterator[Block]:
    scans: dict[int, list[Scan]] = defaultdict(list)
    for scan in state.scans:
        scans[id(scan.last.finding.record)].append(scan)
    for known in _latest_first(state.standing, _ENTRIES_IN_BLOCK):
        yield Block(standing=[SavedAcquaintance(*one) for one in known])
    for ports in _latest_first(state.learned, _ENTRIES_IN_BLOCK):
        yield Block(learned=[SavedPort(*port) for port in ports])
    for endpoints, sources in _sources(state.known, scans, settled_us):
        yield Block(endpoints, known=sources)
    for endpoints, sources in _sources(state.newcomers, scans, settled_us):
        yield Block(endpoints, newcomers=sources)


def _sources(
    records: Sequence[SourceRecord], scans: Mapping[int, Sequence[Scan]], settled_us: int
) -> Iterator[tuple[list[Endpoint], list[SavedSource]]]:
    for some in _latest_first(records, _SOURCES_IN_BLOCK):
        endpoints = _Numbered()
        # A record may have been evicted since, and its source have another one now.
        sources = [_saved_source(one, scans.get(id(one), ()), endpoints, settled_us) for one in some if not one.evicted]
        yield list(endpoints), sources


def _latest_first(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    items = items[::-1]
    return (items[start : start + size] for start in range(0, len(items), size))


class _Numbered(dict[Endpoint, int]):
    """Gives each endpoint its index in the block."""

    def __missing__(self, endpoint: Endpoint) -> int:
        number = self[endpoint] = len(self)
        return number


def _saved_source(record: SourceRecord, scans: Iterable[Scan], endpoints: _Numbered, settled_us: int) -> SavedSource:
    unserved = [
        SavedAttempt(
            endpoints[endpoint],
            attempt.first_us,
            attempt.last_us,
            attempt.scan_type,
            attempt.settled,
            attempt.refused,
            attempt.has_twin,
        )
        for endpoint, attempt in islice(reversed(record.unserved.items()), MAX_JUDGED)
        if attempt.settled or attempt.last_us < settled_us
    ]
    return SavedSource(
        unserved=unserved,
        opened=[endpoints[endpoint] for endpoint in record.opened],
        proofs=[endpoints[endpoint] for endpoint in record.proofs],
        checks=[endpoints[endpoint] for endpoint in record.checks],
        scans=[_saved_scan(scan, endpoints, len(unserved)) for scan in scans],
        **{name: getattr(record, name) for name in _COPIED},
    )


def _saved_scan(scan: Scan, endpoints: _Numbered, kept: int) -> SavedScan:
    last, probe = scan.last.finding, scan.last_probe
    # An attempt that is left out must not look like one that was withdrawn.
    holds = last.technique != "trap" and last.weight >= scan.first_weight
    return SavedScan(
        last.technique,
        last.reason,
        last.scan_type,
        last.bannable,
        last.group,
        scan.last.verdict,
        scan.last.reason,
        scan.reported_verdict,
        min(scan.first_weight, kept) if holds else scan.first_weight,
        scan.next_weight,
        scan.first_us,
        scan.interval.reported_us,
        scan.interval.wait_us,
        probe.time_us,
        endpoints[Endpoint(probe.target, probe.proto, probe.port)],
        sorted(scan.reported_types),
    )


def decode(content: bytes) -> SavedState:
    """Read the state; the sums in its records are left for the source table to make.

    Raises:
        BrokenSnapshot: the bytes hold no state. Nothing in them is trusted.
    """
    try:
        return _Reader().state(content)
    except (DecodeError, ValueError) as error:
        raise BrokenSnapshot(str(error)) from error
    except IndexError as error:
        raise BrokenSnapshot("an endpoint is missing") from error


def _split(content: bytes) -> Iterator[Block]:
    rest = memoryview(content)
    while rest:
        size = int.from_bytes(rest[:_LENGTH_BYTES], "big")
        block, rest = rest[_LENGTH_BYTES : _LENGTH_BYTES + size], rest[_LENGTH_BYTES + size :]
        if len(block) < size:
            raise ValueError("the end is missing")
        yield _decode(block)


class _Addresses(dict[str, str]):
    """One object for all equal addresses, each checked once."""

    def __missing__(self, text: str) -> str:
        with suppress(ValueError):
            if canonical_address(text) == text and "%" not in text:
                self[text] = text
                return text
        raise ValueError("an address is not canonical")


def _source(text: str, addresses: _Addresses) -> str:
    """The name of a source: an address, or a /64."""
    if "/" not in text:
        return addresses[text]
    if ":" in text and network_of(addresses[text.partition("/")[0]]) == text:
        return text
    raise ValueError("a network is not canonical")


class _Reader:
    """Collects the parts of all blocks."""

    def __init__(self) -> None:
        self._addresses = _Addresses()
        self._endpoints: list[Endpoint] = []
        self._scans: list[Scan] = []

    def state(self, content: bytes) -> SavedState:
        """All blocks together. The latest of each part were written first."""
        known: list[SourceRecord] = []
        newcomers: list[SourceRecord] = []
        learned: list[Learned] = []
        standing: list[Acquaintance] = []
        for block in _split(content):
            self._endpoints = [
                Endpoint(self._addresses[target], proto, port) for target, proto, port in block.endpoints
            ]
            known += map(self._record, block.known)
            newcomers += map(self._record, block.newcomers)
            learned += [
                Learned(self._addresses[one.address], one.kind, one.port, one.answered_us) for one in block.learned
            ]
            standing += map(self._acquaintance, block.standing)
        _expect_each_once((record.source, record.direction) for record in [*known, *newcomers])
        _expect_each_once((id(scan.last.finding.record), scan.last.finding.series) for scan in self._scans)
        return SavedState(known[::-1], newcomers[::-1], self._scans[::-1], learned[::-1], standing[::-1])

    def _acquaintance(self, saved: SavedAcquaintance) -> Acquaintance:
        stacks = tuple(StackFingerprint(*stack) for stack in saved.stacks)
        return Acquaintance(self._addresses[saved.address], saved.days, saved.sessions_us, stacks)

    def _record(self, saved: SavedSource) -> SourceRecord:
        endpoint_at = self._endpoints.__getitem__
        copied = {name: getattr(saved, name) for name in _COPIED}
        source, address = _source(saved.source, self._addresses), self._addresses[saved.address]
        if source not in {address, network_of(address)}:
            raise ValueError("an address is not of its source")
        copied |= {
            "source": source,
            "address": address,
            "opened": tuple(map(endpoint_at, saved.opened)),
            "proofs": tuple(map(endpoint_at, saved.proofs)),
            "checks": tuple(map(endpoint_at, saved.checks)),
            "types": Counts(saved.types),
            "tools": Counts(saved.tools),
            "stacks": Counts({StackFingerprint(*stack): count for stack, count in saved.stacks.items()}),
            "proven_stacks": tuple(StackFingerprint(*stack) for stack in saved.proven_stacks),
        }
        record = SourceRecord(unserved=dict(map(self._attempt, reversed(saved.unserved))), **copied)
        self._scans += [self._scan(scan, record) for scan in saved.scans]
        return record

    def _attempt(self, saved: SavedAttempt) -> tuple[Endpoint, Attempt]:
        attempt = Attempt(saved.first_us, saved.last_us, saved.scan_type, saved.settled, saved.refused, saved.has_twin)
        return self._endpoints[saved.endpoint], attempt

    def _scan(self, saved: SavedScan, record: SourceRecord) -> Scan:
        target, proto, port = self._endpoints[saved.probed]
        if saved.group and str(ip_network(saved.group)) != saved.group:
            raise ValueError("a network is not canonical")
        probe = Sighting(
            kind=Kind.PROBE,
            time_us=saved.probed_us,
            source=record.source,
            target=target,
            port=port,
            proto=proto,
            scan_type=saved.scan_type,
            direction=record.direction,
            packet=Packet(saved.probed_us, record.address, target, 0),  # no line shows more of it
        )
        return Scan(
            first_us=saved.first_us,
            last=Judgement(
                Finding(saved.technique, probe, record, saved.scan_type, saved.bannable, saved.reason, saved.group),
                saved.verdict,
                saved.rule,
            ),
            last_probe=probe,
            first_weight=saved.first_weight,
            interval=RepeatInterval(saved.said_us, saved.wait_us, saved.wait_us),
            reported_types=set(saved.said_types),
            reported_verdict=saved.said_verdict,
            next_weight=saved.next_weight,
        )


def _expect_each_once(keys: Iterable[object]) -> None:
    listed = list(keys)
    if len(set(listed)) < len(listed):
        raise ValueError("an entry is there twice")
