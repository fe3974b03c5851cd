"""The fast path: probes of a source that was just reported are counted, and written into its record together.

What matters here is packets a second: look-ups before conversions, and no call that can be avoided.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from portsentry_py.config.settings import Limits
from portsentry_py.core.columns import DEST_PORT, FLAGS, OPENING_FLAGS, SRC_PORT, Head
from portsentry_py.core.packet import Packet
from portsentry_py.events.model import Proto

# Counted probes go into the record of their source when there are this many, or when its time is up.
_MAX_PORTS = 4096
MAX_SOURCES = 1024
# A packet that is earlier by more than this, by a wrong clock or in a capture, is not counted.
_EARLIEST_US = 3_600_000_000
# Times are compared as text, which holds for ten digits of seconds: from 2001 to 2286.
_DECIMAL_POINT = slice(10, 11)
_PORT_DIGITS = 4
_EPHEMERAL, _SERVICE_FREE = "8000", "0400"  # datagrams to the former or from below the latter may be answers
_REFUSALS = frozenset({"04", "14"})  # RST; RST and ACK
_COUNTED: dict[str, Proto] = {"tcp": "tcp", "udp": "udp"}
NEVER_US = 1 << 63

Probe = tuple[str, str, str]
"""The TCP flags in hex or `udp`, the port in hex, the target."""


@dataclass(slots=True)
class ProbeCounts:
    """What a suppressed source did.

    Attributes:
        until_us: the end of the suppression.
        earliest: the earliest time that is counted, as a line prints it.
        until: `until_us`, as a line prints it.
        times: how often each probe was sent.
        last: the last line with the same flags; the other probes are taken to look like it.
        refused: the probes that this host refused.
    """

    source: str
    until_us: int
    earliest: str
    until: str
    times: dict[Probe, int] = field(default_factory=dict)
    last: dict[str, str] = field(default_factory=dict)
    refused: set[Probe] = field(default_factory=set)

    def groups(self) -> Iterator[tuple[str, dict[Probe, int]]]:
        """The probes with the same flags, and the last line that has them."""
        groups: dict[str, dict[Probe, int]] = {kind: {} for kind in self.last}
        for probe, times in self.times.items():
            groups[probe[0]][probe] = times
        yield from ((self.last[kind], probes) for kind, probes in groups.items())

    def refuse(self, flags: str, port: str, target: str) -> bool:
        """Note a segment of ours that refuses a counted TCP probe; whether it is one."""
        if flags not in _REFUSALS:
            return False
        probes = [probe for kind in self.last if (probe := (kind, port, target)) in self.times]
        refused = [probe for probe in probes if probe[0] != "udp"]
        self.refused.update(refused)
        return bool(refused)


class SuppressedSources:
    """Sources that can make no line for a while, whatever they send; bounded in sources and in counts.

    Args:
        limits: half of `max_held` is the number of ports counted over all sources.
        source_of: the source that an address belongs to.
        is_queried: whether we sent the address something, so that a datagram from there may be the answer.
        is_unserved: whether a port of a target is ours, nobody serves it, and it is no trap.
        record: takes the counts of a source when its suppression ends, or before a packet of it is inspected.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        source_of: Callable[[str], str],
        is_queried: Callable[[str], bool],
        is_unserved: Callable[[str, Proto, int], bool],
        record: Callable[[ProbeCounts], None],
    ) -> None:
        self._source_of = source_of
        self._is_queried = is_queried
        self._is_unserved = is_unserved
        self._record = record
        self._max_ports = limits.max_held // 2
        self.sources: dict[str, ProbeCounts] = {}
        self.ports = 0
        """Ports counted over all sources."""
        self.next_due_us = NEVER_US
        """When the next suppression ends."""

    def suppress(self, source: str, until_us: int) -> None:
        """From now on until that time, count the probes of the source."""
        if source not in self.sources and len(self.sources) < MAX_SOURCES:
            earliest, until = (f"{time_us / 1e6:017.6f}" for time_us in (until_us - _EARLIEST_US, until_us))
            self.sources[source] = ProbeCounts(source, until_us, earliest, until)
            self.next_due_us = min(self.next_due_us, until_us)

    def count(self, line: str, head: Head) -> bool:
        """Whether the line is a probe of a suppressed source, or our refusal of one; it is counted then."""
        time, src, digits, dst, transport = head
        source, receiver = (src, dst) if ":" not in src else (self._source_of(src), self._source_of(dst))
        counts = self.sources.get(source) or self.sources.get(receiver)
        if counts is None or not counts.earliest < time < counts.until or time[_DECIMAL_POINT] != ".":
            return False
        proto = _COUNTED.get(transport)
        if proto is None:
            return False
        if counts.source != source:
            return proto == "tcp" and counts.refuse(digits[FLAGS], digits[SRC_PORT], src)
        if proto == "udp" and self._may_be_answer(src, digits):
            return False
        kind = digits[FLAGS] if proto == "tcp" else proto
        probe = (kind, digits[DEST_PORT], dst)
        times = counts.times.get(probe, 0)
        if not times and not self._is_countable(probe, proto):
            return False
        counts.times[probe] = times + 1
        counts.last[kind] = line
        if not times:
            self.ports += 1
            if len(counts.times) >= _MAX_PORTS or self.ports >= self._max_ports:
                self._end(counts)
        return True

    def _may_be_answer(self, src: str, digits: str) -> bool:
        """Whether a datagram may answer something that we sent."""
        return digits[DEST_PORT] >= _EPHEMERAL or digits[SRC_PORT] < _SERVICE_FREE or self._is_queried(src)

    def _is_countable(self, probe: Probe, proto: Proto) -> bool:
        """Whether a new probe need not be inspected by itself."""
        kind, port, target = probe
        # A port with fewer digits is of a packet that breaks off.
        if (proto == "tcp" and kind not in OPENING_FLAGS) or len(port) != _PORT_DIGITS:
            return False
        try:
            return self._is_unserved(target, proto, int(port, 16))
        except ValueError:
            return False

    def flush(self, packet: Packet) -> None:
        """A packet is inspected: what its source did before must be in the record."""
        for address in (packet.src, packet.dst):
            source = address if ":" not in address else self._source_of(address)
            counts = self.sources.get(source)
            if counts is not None and counts.times:
                self._end(counts)
                self.suppress(source, counts.until_us)

    def flush_due(self) -> None:
        """The time is `next_due_us`: record what was counted until then."""
        for counts in [one for one in self.sources.values() if one.until_us <= self.next_due_us]:
            self._end(counts)
        self.next_due_us = min((counts.until_us for counts in self.sources.values()), default=NEVER_US)

    def _end(self, counts: ProbeCounts) -> None:
        del self.sources[counts.source]
        self.ports -= len(counts.times)
        if counts.times:
            self._record(counts)
