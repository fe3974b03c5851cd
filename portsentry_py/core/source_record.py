"""What one source has tried on this host, and what follows from it."""

from collections import Counter, OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

from portsentry_py.core.fingerprints import tool_of
from portsentry_py.core.sighting import Sighting
from portsentry_py.events.model import Direction, Proto, ScanType, Tool

_T = TypeVar("_T")
_new = tuple.__new__  # of a named tuple, in one call

_PRIVILEGED_PORT_POINTS = 3  # scanlogd 2.2.8, params.h: PORT_WEIGHT_PRIV
_OTHER_PORT_POINTS = 1  # scanlogd 2.2.8, params.h: PORT_WEIGHT_HIGH
_FIRST_UNPRIVILEGED_PORT = 1024
# However long a record is, its latest attempts decide.
MAX_JUDGED = 128
MAX_STACKS = 8
_STRAYS = 8
# So many stacks that proved themselves are one scanner that varies its packets.
_VARIED_STACKS = 3
MAX_OPENED = 64
ANY_TIME_US = 1 << 62
"""A window that holds every attempt of a record."""
# A scan has the name of one type if at least nine in ten of its probes are of that type ...
_TYPE_SHARE = 9
# ... or twice as many as all others, each of which is rare: host discovery asks for one or two ports (nmap's default is
# a SYN to 443 and an ACK to 80), and OS detection sends one probe of each kind.
_RARE = 2


class Counts(dict[_T, int]):
    """How often each of some things was seen: a Counter that costs a flood less to make."""

    __slots__ = ()

    def __missing__(self, _thing: _T) -> int:
        return 0


class _Shared(Counts[_T]):
    """Counts that many records hold, so they never change."""

    __slots__ = ()
    # So they can be the default of a field, which takes no call for each record.
    __hash__ = object.__hash__  # type: ignore[assignment] # a dictionary can change, these do not


_NONE: Mapping[Any, int] = _Shared()


class Endpoint(NamedTuple):
    """What a source probes: one port (or IP protocol, or ICMP type) of one address."""

    target: str
    proto: Proto
    port: int


class StackFingerprint(NamedTuple):
    """What the sender's IP stack and its distance make of a packet; a forger would have to guess both."""

    ttl: int
    header_bytes: int


_UNSEEN_STACK = StackFingerprint(0, 0)


@dataclass(slots=True)
class Attempt:
    """The state of one endpoint: `settled` once it is sure that nobody answers, `refused` if we said so."""

    first_us: int
    last_us: int
    scan_type: ScanType
    settled: bool = False
    refused: bool = False
    has_twin: bool = False


@dataclass(slots=True)
class SourceRecord:
    """One source's attempts on what nobody serves.

    Attributes:
        source: an IPv4 address, or an IPv6 /64, whose addresses one owner has.
        address: the address of the last probe.
        unserved: the attempts, in the order of their last probe, or of a datagram's outcome; ordered by itself from the
            second one on.
        targets: how many of them each address has.
        closed: how many of them were refused.
        settled: how many of them nobody answers for sure.
        opened: endpoints that turned out to be served.
        types: probes by scan type.
        tools: probes by the tool whose fingerprint they carry.
        stacks: probes by the fingerprint of the sender's stack.
        proven_stacks: stacks that acknowledged what we sent, at the endpoints `proofs`.
        checks: served endpoints where it opens and closes connections as a health check does.
        waits_again: its last probe could have no line, or was not judged, so its next packets wait (see `Admission`).
        evicted: the table has dropped the record and emptied it; others may still hold it.
    """

    source: str
    direction: Direction
    first_us: int
    last_us: int
    address: str = ""
    unserved: dict[Endpoint, Attempt] = field(default_factory=dict)
    targets: Mapping[str, int] = _NONE
    closed: int = 0
    settled: int = 0
    # Tuples, because most records never have one: an empty set would cost 216 bytes.
    opened: tuple[Endpoint, ...] = ()
    types: Mapping[ScanType, int] = _NONE
    tools: Mapping[Tool, int] = _NONE
    stacks: Mapping[StackFingerprint, int] = _NONE
    proven_stacks: tuple[StackFingerprint, ...] = ()
    proofs: tuple[Endpoint, ...] = ()
    checks: tuple[Endpoint, ...] = ()
    attempts: int = 0
    probes: int = 0
    score: int = 0
    trap_touches: int = 0
    trap_answered: bool = False
    waits_again: bool = False
    evicted: bool = False

    @property
    def ports(self) -> int:
        """Distinct (proto, port) that nobody serves, over all targets."""
        if len(self.targets) == 1:
            return len(self.unserved)
        return len({(endpoint.proto, endpoint.port) for endpoint in self.unserved})

    @property
    def verified(self) -> bool:
        """Whether the source proved that it receives what we send, with the stack of half its probes.

        A regular visitor proves its address with its own sessions; probes that are forged in its name have
        another stack. No honest source probes and proves itself with one stack after the other: that is a scanner
        which varies its TTL to look like several. Resets of middleboxes in a visitor's name have one TTL after the
        other too, but no probes.
        """
        if self.trap_answered or sum(stack in self.stacks for stack in self.proven_stacks) >= _VARIED_STACKS:
            return True
        return any(self.stacks[stack] * 2 >= self.probes > 0 for stack in self.proven_stacks)

    @property
    def is_mimicked(self) -> bool:
        """Whether at least half of the latest attempts have a spoofed twin: nmap -D, or somebody who copies."""
        latest = list(islice(reversed(self.unserved.values()), MAX_JUDGED))
        return 2 * sum(attempt.has_twin for attempt in latest) >= len(latest) > 0

    @property
    def evidence_us(self) -> int:
        """The time over which new attempts spread, less the oldest few, which may be a visitor's own mistakes.

        Repetitions add nothing: a monitor repeats what it asked, and a forger need not repeat much.
        """
        oldest = sorted(attempt.first_us for attempt in islice(self.unserved.values(), 2 * _STRAYS))
        newest_us = max((one.first_us for one in islice(reversed(self.unserved.values()), MAX_JUDGED)), default=0)
        return max(0, newest_us - oldest[len(oldest) // 2]) if oldest else 0

    @property
    def scan_type(self) -> ScanType:
        """The type of most probes."""
        return prevailing(self.types)

    @property
    def tool(self) -> Tool | None:
        """The tool whose fingerprint at least half of the probes carry, but for pings: few tools mark them."""
        if not self.tools:
            return None
        name, count = max(self.tools.items(), key=itemgetter(1))
        return name if count * 4 >= self.probes and count * 2 >= self.probes - self.types["icmp"] else None

    def recent(self, now_us: int, window_us: int, limit: int) -> list[tuple[Endpoint, Attempt]]:
        """The latest attempts within the window before now, the latest first, at most `limit`.

        Times in a capture can run backwards, so the distance counts and not its sign.
        """
        latest = islice(reversed(self.unserved.items()), limit)
        return [item for item in latest if abs(now_us - item[1].last_us) <= window_us]

    def count_probes(self, probe: Sighting, times: int) -> None:
        """Count that many probes that look like this one."""
        packet = probe.packet
        self.probes += times
        self.address = packet.src
        self.types = _plus(self.types, probe.scan_type, times)
        stack: StackFingerprint = _new(StackFingerprint, (packet.ttl, packet.header_bytes))
        if stack in self.stacks or len(self.stacks) < MAX_STACKS:
            self.stacks = _plus(self.stacks, stack, times)
        tool = tool_of(packet)
        if tool is not None:
            self.tools = _plus(self.tools, tool, times)

    def attempt(self, endpoint: Endpoint, probe: Sighting) -> bool:
        """Note a probe of the endpoint; whether it is the first one."""
        unserved = self.unserved
        attempt = unserved.get(endpoint)
        if attempt is not None:
            attempt.last_us = probe.time_us
            if isinstance(unserved, OrderedDict):
                unserved.move_to_end(endpoint)
            if attempt.scan_type == "unseen" != probe.scan_type:
                self._recognize(attempt, probe)
            return False
        if len(unserved) == 1:
            # A plain dict has an order too, and is half as large, but its oldest entry is slow to find.
            self.unserved = unserved = OrderedDict(unserved)
        unserved[endpoint] = Attempt(probe.time_us, probe.time_us, probe.scan_type)
        self.targets = _plus(self.targets, endpoint.target, 1)
        self.score += _points(endpoint.port)
        return True

    def _recognize(self, attempt: Attempt, probe: Sighting) -> None:
        """A probe that only our refusal showed came after it, and counts by its own type and stack now."""
        attempt.scan_type = probe.scan_type
        if self.types["unseen"] and self.stacks[_UNSEEN_STACK]:
            self.probes -= 1
            self.types = _plus(self.types, "unseen", -1)
            self.stacks = _plus(self.stacks, _UNSEEN_STACK, -1)

    def settle(self, endpoint: Endpoint, *, refused: bool) -> None:
        """Nobody answers the endpoint, or it was refused."""
        attempt = self.unserved.get(endpoint)
        if attempt is None:
            return
        if endpoint.proto == "udp" and isinstance(self.unserved, OrderedDict):
            # Datagrams count when they are settled, and until then a fast scanner sends more than are judged.
            self.unserved.move_to_end(endpoint)
        self.settled += not attempt.settled
        attempt.settled = True
        if refused:
            self.closed += not attempt.refused
            attempt.refused = True

    def drop(self, endpoint: Endpoint) -> None:
        """Forget an attempt."""
        dropped = self.unserved.pop(endpoint)
        self.closed -= dropped.refused
        self.settled -= dropped.settled
        self.score -= _points(endpoint.port)
        self.targets = targets = _own(self.targets)
        targets[endpoint.target] -= 1
        if not targets[endpoint.target]:
            del targets[endpoint.target]

    def add_opened(self, endpoint: Endpoint) -> None:
        """Somebody serves the endpoint."""
        self.opened = _with(self.opened, _shared(endpoint), MAX_OPENED)

    def prove(self, endpoint: Endpoint, proof: Sighting) -> None:
        """The source opened a connection and closed it unused: part of a connect scan, or a health check.

        A health check comes again, or came before everything else; it proves no scan in its name.
        """
        stack = stack_of(proof)
        if endpoint in self.checks:
            return
        if not self.unserved or (endpoint in self.proofs and stack in self.proven_stacks):
            self.checks = _with(self.checks, _shared(endpoint), MAX_STACKS)
            self.proofs = tuple(one for one in self.proofs if one != endpoint)
            if not self.proofs:
                self.proven_stacks = ()
        else:
            self.proven_stacks = _with(self.proven_stacks, stack, MAX_STACKS)
            self.proofs = _with(self.proofs, _shared(endpoint), MAX_STACKS)

    def evict(self) -> None:
        """Give the memory back: an open scan may hold the record for long."""
        self.evicted = True
        self.unserved = {}
        self.targets = self.types = self.tools = self.stacks = _NONE
        self.settled = 0
        self.closed, self.opened, self.proven_stacks, self.proofs, self.checks = 0, (), (), (), ()

    def recompute(self) -> None:
        """Derive what follows from the rest of a restored record, and keep its bounds."""
        self.unserved = OrderedDict(self.unserved) if len(self.unserved) > 1 else dict(self.unserved)
        self.targets = _small(Counter(endpoint.target for endpoint in self.unserved))
        self.types, self.tools = _small(self.types), _small(self.tools)
        self.closed = sum(attempt.refused for attempt in self.unserved.values())
        self.settled = sum(attempt.settled for attempt in self.unserved.values())
        self.score = sum(_points(endpoint.port) for endpoint in self.unserved)
        self.opened = tuple(map(_shared, self.opened[:MAX_OPENED]))
        self.stacks = _small(dict(islice(self.stacks.items(), MAX_STACKS)))
        self.proven_stacks, self.proofs = self.proven_stacks[:MAX_STACKS], self.proofs[:MAX_STACKS]
        self.checks = self.checks[:MAX_STACKS]


def _plus(counts: Mapping[_T, int], thing: _T, times: int) -> Mapping[_T, int]:
    """The counts with that many more of a thing."""
    if type(counts) is not Counts:
        if not counts:
            return _one(thing, times)
        counts = Counts(counts)
    counts[thing] += times
    return counts


@lru_cache(maxsize=4096)
def _one(thing: Hashable, times: int) -> Mapping[Any, int]:
    """One object for all records: most of a flood look alike, and a dict each would take more than the rest of them."""
    return _Shared({thing: times})


def _small(counts: Mapping[_T, int]) -> Mapping[_T, int]:
    """The same counts, shared where that is possible."""
    return Counts(counts) if len(counts) > 1 else next((_one(*item) for item in counts.items()), _NONE)


def _own(counts: Mapping[_T, int]) -> Counts[_T]:
    """The counts, or a copy if other records hold them."""
    return counts if type(counts) is Counts else Counts(counts)


def prevailing(types: Mapping[ScanType, int]) -> ScanType:
    """The type of nine in ten of these, or of the port probes of a scan with host discovery; else `mixed`."""
    if not types:
        return "unknown"
    (name, count), *others = sorted(types.items(), key=itemgetter(1), reverse=True)
    rest = sum(times for _, times in others)
    has_rare_others = all(times <= _RARE for _, times in others) and count >= max(2 * rest, _RARE + 1)
    return name if has_rare_others or count * 10 >= _TYPE_SHARE * (count + rest) else "mixed"


@lru_cache(maxsize=4096)
def _shared(endpoint: Endpoint) -> Endpoint:
    """One object for all records: few endpoints are served, and each source may hold them."""
    return endpoint


def _with(members: tuple[_T, ...], new: _T, limit: int) -> tuple[_T, ...]:
    """The members and the new one, unless it is among them or they are too many."""
    return members if new in members or len(members) >= limit else (*members, new)


def stack_of(sighting: Sighting) -> StackFingerprint:
    """The fingerprint of the sender's stack."""
    return _new(StackFingerprint, (sighting.packet.ttl, sighting.packet.header_bytes))


def _points(port: int) -> int:
    return _PRIVILEGED_PORT_POINTS if port < _FIRST_UNPRIVILEGED_PORT else _OTHER_PORT_POINTS
