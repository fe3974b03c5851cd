"""The hot path: what a flood is made of, and what is known already, is stopped here before it costs much.

A forged flood has a new source in every packet, and no detector has anything to say of one packet. So when
many come, the first packet of an unknown source waits for its second, as the line that it is, in a table with
a bound. Whoever sends another is let in with all that was kept, in its order: a scanner in the flood loses
nothing.

A scanner that was just told of can make no line for a while, whatever it sends. Its probes are counted by the
port that they ask for, and written into its record together.

What counts here is packets a second: lookups before conversions, and nothing is called that need not be.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

from portsentry_py.config.settings import Limits
from portsentry_py.core.columns import NOT_SET, head_of, seconds_of, shared_cells
from portsentry_py.core.decode import canonical_address
from portsentry_py.core.packet import ACK, RST, Packet

# The probe, our answer, and once more each: what is kept of one source.
_MOST_BYTES = 600
# tshark prints at most 2047 bytes of a column; a line longer than this is not one for a table.
_MOST_WAITING = 2600
# Position of the TCP flags in the hex of layer 4.
_FLAGS = slice(26, 28)
_PROTOS = {"6": "tcp", "17": "udp", "TCP": "tcp", "UDP": "udp"}  # words in tshark 3.6
_SRC_PORT, _DEST_PORT = slice(0, 4), slice(4, 8)
_PORT = struct.Struct("!H")
_EPHEMERAL, _SERVICE_FREE = "8000", "0400"  # datagrams to the former or from below the latter may be answers
_REFUSALS = frozenset({"04", "14"})  # RST; RST and ACK
# A scanner's probes are written into its record when they ask for so many ports, or when its time is up.
_MOST_COUNTED = 4096
_MOST_TOLD = 1024
# Time may run backwards, by a wrong clock or in a capture: what is further back is looked at.
_LONGEST_US = 3_600_000_000
# Times are compared as text, which holds from 2001 to 2286; another time is looked at.
_SECONDS_DIGITS = 10
NEVER_US = 1 << 63
_OPENING = frozenset(f"{flags:02x}" for flags in range(256) if not flags & (ACK | RST))
_NOTHING: tuple[str, ...] = ()
_NUMBERS_OF_WHOLE = NOT_SET | {""}


@dataclass(slots=True)
class Alike:
    """Probes with the same flags: the last of them, and how often each (port in hex, host) was asked for."""

    line: str = ""
    asked: dict[tuple[str, str], int] = field(default_factory=dict)


@dataclass(slots=True)
class Counted:
    """The probes of a source that was just told of, by their flags in hex or `udp`, and what was refused."""

    until_us: int
    since: str
    until: str
    ports: int = 0
    probes: dict[str, Alike] = field(default_factory=dict)
    refused: set[tuple[str, str]] = field(default_factory=set)

    def takes_refusal(self, flags: str, key: tuple[str, str]) -> bool:
        """Whether a segment of ours refuses a TCP probe that was counted; it is noted then."""
        if flags not in _REFUSALS or not any(
            key in alike.asked for kind, alike in self.probes.items() if kind != "udp"
        ):
            return False
        self.refused.add(key)
        return True


class Gate:
    """Says which lines of tshark's are to be looked at now.

    Args:
        limits: `new_sources_per_second` are let in at once, `max_held` lines of others are kept.
        knows: whether a source has a record.
        awaits: whether we asked an address for something, so that a datagram from there may be the answer.
        is_home: whether an address is ours.
        is_special: whether each probe of a port of ours must be looked at: it is served, or a decoy.
        take: is given what was counted of a source when that is over.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        knows: Callable[[str], bool],
        awaits: Callable[[str], bool],
        is_home: Callable[[str], bool],
        is_special: Callable[[str, str, int], bool],
        take: Callable[[Counted], None],
    ) -> None:
        self._per_second = limits.new_sources_per_second
        self._tokens = self._burst = 2.0 * limits.new_sources_per_second
        self._filled = 0.0
        self._closed_until = ""
        self._most = limits.max_held // 2
        self._knows = knows
        self._awaits = awaits
        # Asked for each packet, about very few addresses.
        self._is_home = lru_cache(maxsize=4096)(lambda cell: _is_address(cell) and is_home(cell))
        self._is_special = is_special
        self._take = take
        self._told: dict[str, Counted] = {}
        self._counted = 0
        self.next_us = NEVER_US
        """When what was counted of a source has to be handed over next."""
        # Two generations: when the younger is full, the elder goes as a whole, at no cost for each.
        self._younger: dict[str, str] = {}
        self._elder: dict[str, str] = {}
        self.held = 0
        """Packets that were kept back and not let in since, forgotten ones included."""

    def admit(self, line: str) -> tuple[str, ...]:
        """The lines to look at now: this one, with those kept before if its source had to wait, or none."""
        if len(line) > _MOST_WAITING:
            return (line,)
        try:
            time, src, data, dst, shared = head_of(line)
        except ValueError:
            return (line,)
        proto = _plain(shared)
        if self._told and proto and self._count(line, proto, (time, src, data, dst)):
            return _NOTHING
        younger, elder = self._younger, self._elder
        if src in younger or src in elder:
            return self._release(src, line)
        if dst in younger or dst in elder:
            return self._keep_answer(younger if dst in younger else elder, dst, line)
        if (
            not proto
            or (data[_FLAGS] not in _OPENING if proto == "tcp" else self._awaits(src))
            or self._knows(src)
            or not self._is_home(dst)
            # As text, while there is nothing to give: most packets of a flood come to a closed gate.
            or (
                not (time < self._closed_until and len(time) == len(self._closed_until))
                and self._let_in(time)
            )
        ):
            return (line,)
        younger[src] = line
        self.held += 1
        if len(younger) >= self._most:
            self._elder, self._younger = younger, {}
        return _NOTHING

    def _release(self, source: str, line: str) -> tuple[str, ...]:
        kept = self._younger.pop(source, None) or self._elder.pop(source)
        lines = (*kept.split("\n"), line)
        self.held -= len(lines) - 1
        return lines

    def forget_homes(self) -> None:
        """The host has changed: what is ours has to be asked again."""
        self._is_home.cache_clear()

    def count(self, source: str, until_us: int) -> None:
        """From now on, until that time, the probes of a source are only counted."""
        if source not in self._told and len(self._told) < _MOST_TOLD:
            since, until = (f"{us / 1e6:017.6f}" for us in (until_us - _LONGEST_US, until_us))
            self._told[source] = Counted(until_us, since, until)
            self.next_us = min(self.next_us, until_us)

    def hand_over_of(self, packet: Packet) -> None:
        """A packet is looked at, and its source may be spoken of: with all that was counted before."""
        for source in (packet.src, packet.dst):
            counted = self._told.get(source)
            if counted is not None and counted.ports:
                self._end(source)
                self.count(source, counted.until_us)

    def hand_over(self) -> None:
        """The time is `next_us`: what was counted until then goes into the records."""
        for source in [one for one, counted in self._told.items() if counted.until_us <= self.next_us]:
            self._end(source)
        self.next_us = min((counted.until_us for counted in self._told.values()), default=NEVER_US)

    def _end(self, source: str) -> None:
        counted = self._told.pop(source)
        self._counted -= counted.ports
        if counted.ports:
            self._take(counted)

    def _count(self, line: str, proto: str, cells: tuple[str, str, str, str]) -> bool:
        """Whether this is a probe of a source that was just told of, or our refusal of one: now counted."""
        time, src, data, dst = cells
        told = src if src in self._told else dst
        counted = self._told.get(told)
        if counted is None:
            return False
        if not (counted.since < time < counted.until and time[_SECONDS_DIGITS:][:1] == "."):
            return False
        if told is not src:
            return proto == "tcp" and counted.takes_refusal(data[_FLAGS], (data[_SRC_PORT], src))
        kind = data[_FLAGS] if proto == "tcp" else proto
        alike = counted.probes.get(kind)
        if alike is None:
            if kind not in _OPENING and kind != "udp":
                return False
            alike = counted.probes[kind] = Alike()
        key = (data[_DEST_PORT], dst)
        if kind == "udp" and (key[0] >= _EPHEMERAL or data[_SRC_PORT] < _SERVICE_FREE or self._awaits(src)):
            return False  # an answer, perhaps
        if key in alike.asked:
            alike.asked[key] += 1
        elif self._is_ordinary(proto, key):
            alike.asked[key] = 1
            counted.ports += 1
            self._counted += 1
        else:
            return False
        alike.line = line
        if counted.ports >= _MOST_COUNTED or self._counted >= self._most:
            self._end(src)
        return True

    def _is_ordinary(self, proto: str, key: tuple[str, str]) -> bool:
        """Whether a probe of that need not be looked at by itself."""
        port, target = key
        try:
            number = _PORT.unpack(bytes.fromhex(port))[0]
        except (ValueError, struct.error):  # fewer bytes than a header has
            return False
        return self._is_home(target) and not self._is_special(target, proto, number)

    def _keep_answer(self, table: dict[str, str], source: str, line: str) -> tuple[str, ...]:
        """A packet to a source that waits, our answer mostly: it belongs behind its probe."""
        kept = table[source]
        if len(kept) < _MOST_BYTES:
            table[source] = f"{kept}\n{line}"
        self.held += 1
        return _NOTHING

    def _let_in(self, time: str) -> bool:
        """Whether one more unknown source may come in at once. Time that runs backwards brings nothing."""
        now = seconds_of(time)
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._filled) * self._per_second)
        self._filled = now
        if self._tokens < 1:
            # Rounded down: the time at which there is one more is not missed.
            wait = (1 - self._tokens) / self._per_second
            self._closed_until = f"{now + wait - 1e-6:.6f}".ljust(len(time), "0")
            return False
        self._tokens -= 1
        return True


def _is_address(cell: str) -> bool:
    """Of a packet that breaks off within its IP header, tshark shows the addresses of the link."""
    try:
        canonical_address(cell)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=4096)
def _plain(text: str) -> str:
    """The protocol of lines with such shared cells: TCP or UDP, whole and outside of tunnels; else empty."""
    try:
        cells = shared_cells(text)
    except ValueError:
        return ""
    if cells.whole or not {cells.offset, cells.more} <= _NUMBERS_OF_WHOLE:
        return ""
    return _PROTOS.get(cells.proto, "")
