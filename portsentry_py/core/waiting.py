"""Sources that wait for admission: what is kept of each, and a room for those that asked for many things.

In a flood, forged sources take all places that any source gets that asks. Sources that asked for many things are
therefore let in at whole seconds too, though they ask no more: in turn the one that asked for most, which no number of
forged sources that ask for less can prevent, and the strongest of the network that had the fewest turns.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import chain
from operator import attrgetter

from portsentry_py.core.columns import (
    ANSWERING_FLAGS,
    DEST_PORT,
    FLAGS,
    SRC_PORT,
    Head,
    head_of,
    micros_of,
    seconds_of,
    time_of,
)
from portsentry_py.core.lru_table import LruTable
from portsentry_py.core.rate_limit import MOST_LATE_US

ENOUGH = 4
"""No detector reports fewer plain probes than this."""
STRONG = 16
"""Who asked for so many things has a place here. Of a smaller scan nothing is remembered either."""
MANY = 64
_WITH_PORTS = frozenset({"tcp", "udp", "sctp", "33", "136"})
# Enough of a scan to name it, with our answers. Who asked for less than others is cut to these lines before it goes.
_FIRST = 2 * STRONG
# Whole seconds, so that a tick between two packets changes no line.
_STEP_US = 1_000_000
_QUICK_SECONDS = 1
_MAX_NETWORKS = 1_024
_NEVER, _NEVER_US = "~", 1 << 63  # the text comes after all digits


class Waiting:
    """A source that sent more than one packet, but did not ask for enough: its lines, and our answers among them.

    Attributes:
        count: how many things it asked for since it waits.
        questions: the same with what was dropped, or more: two sources may share a place in the sketch.
        is_cut: only its first lines are kept, and no more of them: what is let in has no gap.
    """

    __slots__ = ("answers", "asked", "count", "is_cut", "lines", "questions", "size")

    def __init__(self, kept: str) -> None:
        self.lines = kept.split("\n")
        self.size = len(kept)
        first = head_of(self.lines[0])
        # The first line is the source's own, or an answer of ours that stands for it.
        is_answer = first[4] == "tcp" and first[2][FLAGS] in ANSWERING_FLAGS
        self.asked = {answered_for(first) if is_answer else asked_for(first)}
        self.answers = len(self.lines) - (not is_answer)
        self.questions = self.count = 1
        self.is_cut = False

    def add(self, line: str) -> None:
        """Keep one more line."""
        self.lines.append(line)
        self.size += len(line)

    def is_quick(self, time: str) -> bool:
        """Whether it asked for what waits within a second, as a fast scan does."""
        return seconds_of(time) - time_of(self.lines[0]) < _QUICK_SECONDS

    def cut(self) -> bool:
        """Keep the first lines only; returns whether there were more."""
        if len(self.lines) <= _FIRST:
            return False
        self.is_cut = True
        self.lines = self.lines[:_FIRST]
        self.size = sum(map(len, self.lines))
        return True


class StrongSources:
    """The sources that asked for many things, bounded in characters: those that asked for least go first."""

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._sources: LruTable[str, Waiting] = LruTable(max_size, self._drop, attrgetter("count"))
        self._turns: Counter[str] = Counter()  # that each network had
        self.size = 0
        self._renew = self._sources.renew
        self.holds = self._sources.holds
        """Whether there is such a source."""
        self.peek = self._sources.peek
        """What is kept of a source, if it is here."""
        self.due, self.due_us = _NEVER, _NEVER_US
        """When some are let in next, as a time cell and in microseconds."""
        self._due_from = _NEVER

    def put(self, source: str, waiting: Waiting, time: str) -> None:
        """Let a source wait here, at the time of its last packet."""
        if not self._due_from <= time < self.due:
            self._set_due(micros_of(time))
        self._sources.put(source, waiting)
        self.size += waiting.size
        self._make_room()

    def go_on(self, source: str, time: str, line: str) -> None:
        """A source that is here sent one more packet; no line is kept if it is empty."""
        if not self._due_from <= time < self.due:
            self._set_due(micros_of(time))
        self._renew(source)
        if line:
            self.add(source, line)

    def pop(self, source: str) -> Waiting | None:
        """Take a source out."""
        waiting = self._sources.pop(source)
        self.size -= waiting.size if waiting else 0
        return waiting

    def add(self, source: str, line: str) -> None:
        """Keep one more line of a source that is here."""
        waiting = self._sources.peek(source)
        if waiting is not None:
            waiting.add(line)
            self.size += len(line)
            if self.size > self._max_size:
                self._make_room()

    def next_turns(self) -> Iterator[Waiting]:
        """Take the sources out, in the order in which they are let in now."""
        by_count = sorted(self._sources.items(), key=lambda one: -one[1].count)
        turns, ranked = Counter(self._turns), list[tuple[int, int, str]]()
        for nth, (source, _) in enumerate(by_count):
            network = network_of_text(source)
            ranked.append((turns[network], nth, source))
            turns[network] += 1
        by_turn = (source for _, _, source in sorted(ranked))
        for source in chain.from_iterable(zip((source for source, _ in by_count), by_turn, strict=True)):
            waiting = self.pop(source)
            if waiting is not None:
                self._turns[network_of_text(source)] += 1
                yield waiting

    def pass_on(self) -> None:
        """The sources that were due are let in; the others are due later."""
        if self._sources.size():
            self._set_due(self.due_us)
        else:
            self.due, self.due_us, self._due_from = _NEVER, _NEVER_US, _NEVER
        if not self._sources.size() or len(self._turns) > _MAX_NETWORKS:
            self._turns.clear()

    def not_late(self, waiting: Waiting) -> list[str]:
        """The lines of a source that may be let in now."""
        # A ban would come long after its scan.
        since = f"{(self.due_us - MOST_LATE_US) / 1e6:.6f}"
        return [line for line in waiting.lines if line >= since]

    def _set_due(self, now_us: int) -> None:
        self.due_us = (now_us // _STEP_US + 1) * _STEP_US
        self._due_from, self.due = (f"{us / 1e6:.6f}" for us in (self.due_us - _STEP_US, self.due_us))

    def _make_room(self) -> None:
        while self.size > self._max_size:
            self._sources.evict_oldest()

    def _drop(self, source: str, waiting: Waiting) -> None:
        self.size -= waiting.size
        if waiting.cut():
            self.size += waiting.size
            self._sources.put(source, waiting)


def asked_for(head: Head) -> tuple[str, str, str]:
    """What a packet asks for: a port, an IP protocol, or whether a host is there."""
    _, _, digits, dst, proto = head
    return proto, dst, digits[DEST_PORT] if proto in _WITH_PORTS else ""


def answered_for(head: Head) -> tuple[str, str, str]:
    """What the packet asked for that a SYN-ACK or RST of ours answers."""
    _, src, digits, _, proto = head
    return proto, src, digits[SRC_PORT]


def network_of_text(source: str) -> str:
    """The /16 or /32 of a source, or the beginning of what is no address.

    From its text: sources of a flood would push all others out of the caches of networks.
    """
    if ":" in source:
        first, second = source.split(":", 2)[:2]
        return f"{first}:{second or 0}"
    return source[: source.find(".", source.find(".") + 1)]
