"""Admission: in a flood, the packets of a source that can have no log line yet wait, as the lines that they are.

A forged flood has new sources all the time, and no detector has anything to say about a few plain packets. When a
source has asked for enough, all its lines are released in order: a scanner in the flood loses nothing. A flood of
forged scanners has asked for enough, and goes on: sources that were examined wait again, and leave the places to those
that were not. If it spends the limit of log lines, few packets of any source are released. What may answer this host,
or proves an address, does not wait. Our SYN-ACK or RST stands for a segment that was not seen: a first one or a
plain ACK that stayed in the kernel, or one in fragments.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from zlib import crc32

from portsentry_py.config.settings import Limits
from portsentry_py.core.columns import (
    ACK_NUMBER,
    ANSWERING_FLAGS,
    CHUNK_TYPE,
    DEST_PORT,
    FLAGS,
    ICMP_TYPE,
    OPENING_FLAGS,
    SEQ_NUMBER,
    Head,
    head_of,
    micros_of,
)
from portsentry_py.core.lru_table import LruTable
from portsentry_py.core.packet import ACK, CWR, ECE, SYN
from portsentry_py.core.rate_limit import Rate, TokenBucket
from portsentry_py.core.waiting import (
    ENOUGH,
    MANY,
    STRONG,
    StrongSources,
    Waiting,
    answered_for,
    asked_for,
    network_of_text,
)

# A source that was examined, and goes on, comes last.
_EXAMINED = 0
# A source that is not quick is tried each time it has asked for twice as much: a scanner that has begun just now is not
# lost among thousands of forged ones that go on for long.
_TRIED_AT = frozenset(1 << power for power in range(2, 8))  # less than a full slot of the sketch
# Our answers to one source that are kept, behind a single packet as text.
_MAX_ANSWERS = 2 * MANY
_MAX_KEPT = 600
# What a line of a first packet has at most, but for few.
_CHARACTERS = 160
# SYN alone, as any client sends it, or with ECN (RFC 3168). Other first segments are evidence in small numbers.
_PLAIN_FLAGS = frozenset({f"{SYN:02x}", f"{SYN | ECE | CWR:02x}"})
_SYN_ACK = frozenset({f"{SYN | ACK:02x}", f"{SYN | ACK | ECE:02x}"})
# An acknowledgement of so many bytes at most is proof; see `flows`.
_USED_BYTES = 1 << 20
_SCTP_INIT = "01"
_ICMP_REQUESTS = frozenset({"08", "0d", "0f", "11"})
_ICMPV6_REQUEST = "80"
_DATAGRAMS = frozenset({"udp", "33", "136"})
_BURST_SECONDS = 2
# For each new source that is admitted at once, so many are that waited and ask for much within a second, as fast scans
# do; of all others, and while no log line can be written about most sources, so many packets.
_SHARE = 2
# One /16 or /32 has one in so many of them: an owner of an IPv6 /48 has 65,536 sources and forges none.
_NETWORK_SHARE = 2
_MAX_NETWORKS = 4_096
_SPENT_US = 1_000_000  # since a probe was examined for no line
_SLOTS = 1 << 20
_MOST = 255
_NOTHING: tuple[str, ...] = ()


class _Sketch:
    """How often each source asked lately, or more: two sources may share a slot.

    It remembers sources whose lines were dropped, in a megabyte for each of two generations. The hash is the same in
    every run, so that the same packets give the same lines; a sender who makes sources collide only raises counts.
    """

    def __init__(self) -> None:
        self._newer, self._older = bytearray(_SLOTS), bytes(_SLOTS)
        self._added = 0

    def add(self, source: str) -> int:
        """Count one more question of the source; returns how many it asked, this one included."""
        slot = crc32(source.encode()) % _SLOTS
        count = self._newer[slot]
        if count < _MOST:
            self._newer[slot] = count + 1
        self._added += 1
        if self._added >= _SLOTS:
            self._newer, self._older, self._added = bytearray(_SLOTS), bytes(self._newer), 0
        return count + 1 + self._older[slot]


class _Tokens:
    """A bucket of tokens by the time of lines. While it has too few, times are compared as text."""

    def __init__(self, per_second: int) -> None:
        self.size = _BURST_SECONDS * per_second
        self._bucket = TokenBucket(Rate(per_second / 1e6, self.size), self.size)
        self._closed_until: dict[float, str] = {}

    def take(self, time: str, asked: int = MANY, price: int = 1) -> bool:
        """Take as many tokens as the price if there is room for a source that asked for so much."""
        if not self.has(time, asked):
            return False
        self.pay(price)
        return True

    def has(self, time: str, asked: int = MANY) -> bool:
        """Whether there is room for a source that asked for so much."""
        # Who asked for many things comes first: a forger pays for each probe.
        fourths = 1 if asked >= STRONG else 2 if asked >= ENOUGH else 3
        least = 1 if asked >= MANY else self.size * fourths / 4
        closed_until = self._closed_until.get(least, "")
        if time < closed_until and len(time) == len(closed_until):
            return False
        now_us = micros_of(time)
        if self._bucket.refill(now_us) >= least:
            return True
        until_us = now_us + self._bucket.wait_us(least)
        self._closed_until[least] = f"{until_us / 1e6:.6f}".ljust(len(time), "0")
        return False

    def pay(self, price: int) -> None:
        """Take tokens; what is missing is owed."""
        self._bucket.tokens -= price


class Admission:
    """Decides which lines are inspected now; bounded in the lines that wait.

    Args:
        limits: `new_sources_per_second` are admitted at once, twice as many of those that waited and are quick, and
            twice as many packets of the others; `max_held` lines of usual size wait.
        source_of: the source that an address belongs to.
        waits_again: whether the packets of a source that was examined wait again; None if there is no record of it.
        is_queried: whether we sent the address something, so that a datagram from there may be the answer.
        is_home: whether an address is ours.
        answers_unseen: whether a SYN-ACK or RST of ours answers a segment that was not seen.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        source_of: Callable[[str], str],
        waits_again: Callable[[str], bool | None],
        is_queried: Callable[[str], bool],
        is_home: Callable[[str], bool],
        answers_unseen: Callable[[Head], bool],
    ) -> None:
        self._new = _Tokens(limits.new_sources_per_second)
        self._quick = _Tokens(_SHARE * limits.new_sources_per_second)
        self._slow = _Tokens(_SHARE * limits.new_sources_per_second)
        self._per_network = max(1, _SHARE * limits.new_sources_per_second // _NETWORK_SHARE)
        # Who comes from more networks than these has new tokens for a network, but not more of them in all.
        self._networks: LruTable[str, _Tokens] = LruTable(_MAX_NETWORKS)
        self._spent_us, self._spent_from, self._spent_until = 0, "", ""
        self._source_of = source_of
        self._waits_again = waits_again
        self._is_queried = is_queried
        self._is_home = is_home
        self._answers_unseen = answers_unseen
        # The first packets, in two generations: when the newer is full, the older goes as a whole, at no cost for each
        # line. Sources that sent more have a room of their own, which single packets do not fill.
        self._newer: dict[str, str] = {}
        self._older: dict[str, str] = {}
        self._size = 0
        self._again: OrderedDict[str, Waiting] = OrderedDict()
        self._again_size = 0
        self._max_size = limits.max_held * _CHARACTERS // 4  # for each of the four
        self.strong = StrongSources(self._max_size)
        """Those that asked for many things, which `let_in` takes when they are due."""
        self._is_strong, self._strong_one = self.strong.holds, self.strong.peek
        self._sketch = _Sketch()
        self._traps = frozenset[str]()
        self.held = 0
        """Packets that were kept back and not released since, dropped ones included."""

    def set_traps(self, ports: Iterable[int]) -> None:
        """Take the ports whose second touch is evidence."""
        self._traps = frozenset(f"{port:04x}" for port in ports)

    def note_spent(self, now_us: int) -> None:
        """A probe was examined about which no line can be written: for a while, few of those that wait are released."""
        if not 0 <= now_us - self._spent_us < _SPENT_US // 2:
            self._spent_us = now_us
            self._spent_from, self._spent_until = (f"{us / 1e6:.6f}" for us in (now_us, now_us + _SPENT_US))

    def _is_spent(self, time: str) -> bool:
        """Whether such a probe was examined just before this time."""
        return self._spent_from <= time < self._spent_until

    def release(self, source: str) -> list[str]:
        """The lines of a source that wait, which have to be inspected now."""
        lines = self._taken(source).lines if self._waits(source) else []
        self.held -= len(lines)
        return lines

    def let_in(self) -> list[str]:
        """The lines of strong sources to inspect now that they are due, as far as there is room."""
        strong, lines = self.strong, list[str]()
        turns = strong.next_turns()
        while self._slow.has(strong.due):
            waiting = next(turns, None)
            if waiting is None:
                break
            self._slow.pay(len(waiting.lines))
            lines += strong.not_late(waiting)
        strong.pass_on()
        self.held -= len(lines)
        return lines

    def admit(self, line: str, head: Head) -> Sequence[str] | None:
        """The lines to inspect now, with those kept before if its source had to wait; None for this line alone."""
        time, src, digits, dst, proto = head
        newer, older, again = self._newer, self._older, self._again
        source, receiver = (src, dst) if ":" not in src else (self._source_of(src), self._source_of(dst))
        if again or newer or older or self.strong.size:
            is_strong = self._is_strong
            if source in again or source in newer or source in older or is_strong(source):
                return self._wait_on(source, line, head)
            if receiver in again or receiver in newer or receiver in older or is_strong(receiver):
                return self._keep_answer(receiver, line, head)
        # A look-up less for most packets of most floods.
        if proto == "tcp" and digits[FLAGS] not in OPENING_FLAGS:
            may_stand = digits[FLAGS] in ANSWERING_FLAGS and self._waits_again(receiver) is not False
            if not may_stand or not self._answers_unseen(head):
                return None
            source = receiver  # our answer stands for its first packet
        elif not proto or (proto != "tcp" and self._may_be_answer(head)) or not self._is_home(dst):
            return None
        waits_again = self._waits_again(source)
        if waits_again is False or (self._new.take(time) if waits_again is None else self._has_spare(time)):
            return None
        asked = self._sketch.add(source)
        if asked in _TRIED_AT and self._has_place(time, source, asked, 1):
            return None
        newer[source] = line
        self.held += 1
        self._size += len(line)
        if self._size >= self._max_size:
            self._older, self._newer, self._size = newer, {}, 0
        return _NOTHING

    def _may_be_answer(self, head: Head) -> bool:
        """Whether a packet other than TCP may be about what we sent. What asks for something is not."""
        _, src, digits, _, proto = head
        if proto == "sctp":
            return digits[CHUNK_TYPE] != _SCTP_INIT
        if proto == "icmp":
            return digits[ICMP_TYPE] not in _ICMP_REQUESTS
        if proto == "icmpv6":
            return digits[ICMP_TYPE] != _ICMPV6_REQUEST
        return self._is_queried(src)

    def _wait_on(self, source: str, line: str, head: Head) -> Sequence[str] | None:
        """One more packet of a source that waits."""
        strong = self._strong_one(source)  # stays where it is while it waits
        waiting = strong or self._taken(source)
        is_proof = self._proves(head, waiting)
        if not is_proof and self._is_reply(head):
            if not strong:
                self._put_back(source, waiting, head[0])
            return None
        return self._ask(source, line, head, waiting, asked_for(head), is_proof=is_proof)

    def _ask(
        self,
        source: str,
        line: str,
        head: Head,
        waiting: Waiting,
        asked: tuple[str, str, str],
        *,
        is_proof: bool = False,
    ) -> Sequence[str]:
        """A line by which a source that waits asks for something."""
        is_new, is_strong = asked not in waiting.asked, self._is_strong(source)
        if is_new:
            waiting.count += 1
            if len(waiting.asked) < MANY:
                waiting.asked.add(asked)
            waiting.questions = max(len(waiting.asked), self._sketch.add(source))
        is_enough = waiting.questions >= ENOUGH or not self._is_plain(head)
        if is_proof or (is_enough and self._has_token(head, source, waiting, is_new=is_new)):
            self.held -= len(waiting.lines)
            if is_strong:
                self.strong.pop(source)
            return [*waiting.lines, line]
        self.held += 1
        is_kept = not waiting.is_cut and len(waiting.lines) < 2 * MANY + waiting.answers
        if is_strong:
            self.strong.go_on(source, head[0], line if is_kept else "")
            return _NOTHING
        if is_kept:
            waiting.add(line)
        self._put_back(source, waiting, head[0])
        return _NOTHING

    def _proves(self, head: Head, waiting: Waiting) -> bool:
        """Whether the segment acknowledges a SYN-ACK of ours among the lines that wait: no forger knows its number."""
        _, src, digits, _, proto = head
        if proto != "tcp" or not waiting.answers or digits[FLAGS] in OPENING_FLAGS:
            return False
        heads = map(head_of, waiting.lines)
        answers = [sent for _, ours, sent, dst, _ in heads if dst == src and self._is_answer(ours, sent)]
        try:
            received = [int(digits[ACK_NUMBER], 16) - int(answer[SEQ_NUMBER], 16) for answer in answers]
        except ValueError:
            return False
        return any(0 < one % (1 << 32) <= _USED_BYTES for one in received)

    def _is_answer(self, src: str, digits: str) -> bool:
        """Whether a segment is a SYN-ACK of ours: a source knows the number of its own, also of one to a neighbour."""
        return digits[FLAGS] in _SYN_ACK and self._is_home(src)

    def _taken(self, source: str) -> Waiting:
        """A source that waits, which does not wait any more."""
        waiting = self._again.pop(source, None)
        if waiting is not None:
            self._again_size -= waiting.size
            return waiting
        if source in self._newer:
            waiting = Waiting(self._newer.pop(source))
            self._size -= waiting.size
            return waiting
        return self.strong.pop(source) or Waiting(self._older.pop(source))

    def _put_back(self, source: str, waiting: Waiting, time: str) -> None:
        """Let a source wait on, among the latest: one that goes on is not dropped before those that do not."""
        if waiting.count >= STRONG:
            self.strong.put(source, waiting, time)
            return
        again = self._again
        again[source] = waiting
        self._again_size += waiting.size
        while self._again_size > self._max_size:
            self._again_size -= again.popitem(last=False)[1].size

    def _waiting(self, source: str) -> Waiting | None:
        """What is kept of a source, if it sent more than one packet."""
        return self._again.get(source) or self.strong.peek(source)

    def _waits(self, source: str) -> bool:
        return source in self._again or source in self._newer or source in self._older or self._is_strong(source)

    def _is_plain(self, head: Head) -> bool:
        """Whether a packet says little by itself: it asks for something, for no trap, as a client does."""
        _, _, digits, _, proto = head
        if proto == "tcp":
            is_plain = digits[FLAGS] in _PLAIN_FLAGS and digits[DEST_PORT] not in self._traps
            return is_plain or digits[FLAGS] in ANSWERING_FLAGS
        is_trap = proto == "udp" and digits[DEST_PORT] in self._traps
        return bool(proto) and not is_trap and not self._may_be_answer(head)

    def _is_reply(self, head: Head) -> bool:
        """Whether a packet of a source that waits may be about what we sent it: that must not wait.

        Else a forger who lets a server of ours wait would make this host look as if nobody answered it.
        """
        _, src, digits, _, proto = head
        return self._is_queried(src) and (
            digits[FLAGS] not in OPENING_FLAGS if proto == "tcp" else self._may_be_answer(head)
        )

    def _keep_answer(self, source: str, line: str, head: Head) -> Sequence[str]:
        """A packet to a source that waits: our answer, which belongs behind its probe, or a call of ours."""
        if self._is_call(source, head):
            return [*self.release(source), line]
        waiting = self._waiting(source)
        if head[4] == "tcp" and head[2][FLAGS] in ANSWERING_FLAGS:
            asked = answered_for(head)
            if asked not in (waiting.asked if waiting else self._first_asked(source)):
                return self._ask_unseen(source, line, head, asked)
        self.held += 1
        if waiting is None:
            table = self._newer if source in self._newer else self._older
            if len(table[source]) < _MAX_KEPT:
                table[source] += f"\n{line}"
                self._size += len(line) if table is self._newer else 0
        elif not waiting.is_cut and waiting.answers < _MAX_ANSWERS:
            waiting.answers += 1
            if self._is_strong(source):
                self.strong.add(source, line)
            else:
                waiting.add(line)
                self._again_size += len(line)
        return _NOTHING

    def _first_asked(self, source: str) -> set[tuple[str, str, str]]:
        """What a source asks for that sent a single packet."""
        return Waiting((self._newer.get(source) or self._older[source]).partition("\n")[0]).asked

    def _ask_unseen(self, source: str, line: str, head: Head, asked: tuple[str, str, str]) -> Sequence[str]:
        """An answer of ours to a source that waits, to something else than what it is known to have asked for."""
        waiting = self._strong_one(source) or self._taken(source)
        if waiting.answers < _MAX_ANSWERS:
            waiting.answers += 1
        return self._ask(source, line, head, waiting, asked)

    def _is_call(self, source: str, head: Head) -> bool:
        """Whether a packet of ours is no answer to what waits, but a question of our own: then nothing waits."""
        _, _, digits, _, proto = head
        if proto == "tcp":
            return digits[FLAGS] in OPENING_FLAGS
        if proto in _DATAGRAMS:
            waiting = self._waiting(source)
            return answered_for(head) not in (waiting.asked if waiting else self._first_asked(source))
        return bool(proto) and not self._may_be_answer(head)

    def _has_token(self, head: Head, source: str, waiting: Waiting, *, is_new: bool) -> bool:
        """Whether a line, and those that wait, may be inspected now."""
        time, asked, lines = head[0], waiting.questions, len(waiting.lines) + 1
        if not self._waits_again(source):
            # With the fourth thing only: sources that go on would take the places of those that begin, with all their
            # lines. Those that need a place for less leave some.
            is_fourth = waiting.count == ENOUGH
            is_first = is_new and waiting.count <= ENOUGH and not self._is_spent(time)
            if is_first and (waiting.is_quick(time) if is_fourth else not self._is_plain(head)):
                return self._quick.take(time, MANY if is_fourth else waiting.count)
        elif self._has_spare(time, lines):
            return True
        if asked >= ENOUGH and not (is_new and asked in _TRIED_AT):
            return False
        return self._has_place(time, source, asked, lines)

    def _has_place(self, time: str, source: str, asked: int, lines: int) -> bool:
        """Whether there is a place for lines of a source that is not quick, among all and those of its network."""
        # The network only if there is room at all: a flood from everywhere makes no look-up for each packet.
        # The rest is for those that asked for most: see `let_in`.
        if not self._slow.has(time, min(asked, STRONG)) or not self._places_of(source).take(time, asked, lines):
            return False
        self._slow.pay(lines)
        return True

    def _has_spare(self, time: str, lines: int = 1) -> bool:
        """Whether new sources leave places to one that was examined: what begins comes before what goes on."""
        return not self._is_spent(time) and self._new.take(time, _EXAMINED, lines)

    def _places_of(self, source: str) -> _Tokens:
        """What the network of a source may have inspected of what waited."""
        network = network_of_text(source)
        places = self._networks.touch(network)
        if places is None:
            places = _Tokens(self._per_network)
            self._networks.put(network, places)
        return places
