"""Admission: in a flood, the first packet of an unknown source waits for its second, as the line that it is.

A forged flood has a new source in every packet, and no detector has anything to say about one packet. A
second packet from the same source releases both, in order: a scanner in the flood loses nothing.
"""

from collections.abc import Callable

from portsentry_py.config.settings import Limits
from portsentry_py.core.columns import FLAGS, OPENING_FLAGS, Head, micros_of
from portsentry_py.core.rate_limit import Rate, TokenBucket

# The probe, our answer, and once more each: what is kept of one source.
_MAX_KEPT = 600
_BURST_SECONDS = 2
_NOTHING: tuple[str, ...] = ()


class Admission:
    """Decides which lines are inspected now; bounded in the lines that wait.

    Args:
        limits: `new_sources_per_second` are admitted at once, `max_held` lines of others are kept.
        source_of: the source that an address belongs to.
        is_known: whether a source has a record.
        is_queried: whether we sent the address something, so that a datagram from there may be the answer.
        is_home: whether an address is ours.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        source_of: Callable[[str], str],
        is_known: Callable[[str], bool],
        is_queried: Callable[[str], bool],
        is_home: Callable[[str], bool],
    ) -> None:
        size = _BURST_SECONDS * limits.new_sources_per_second
        self._bucket = TokenBucket(Rate(limits.new_sources_per_second / 1e6, size), size)
        self._closed_until = ""
        self._source_of = source_of
        self._is_known = is_known
        self._is_queried = is_queried
        self._is_home = is_home
        # Two generations: when the newer is full, the older goes as a whole, at no cost for each line.
        self._newer: dict[str, str] = {}
        self._older: dict[str, str] = {}
        self._max_newer = limits.max_held // 2
        self.held = 0
        """Packets that were kept back and not released since, dropped ones included."""

    def admit(self, line: str, head: Head) -> tuple[str, ...]:
        """The lines to inspect now: this one, with those kept before if its source had to wait; or none."""
        time, src, digits, dst, proto = head
        newer, older = self._newer, self._older
        source, receiver = (src, dst) if ":" not in src else (self._source_of(src), self._source_of(dst))
        if source in newer or source in older:
            return self._release(source, line)
        if receiver in newer or receiver in older:
            return self._keep_answer(receiver, line)
        if (
            not proto
            or (digits[FLAGS] not in OPENING_FLAGS if proto == "tcp" else self._is_queried(src))
            or self._is_known(source)
            or not self._is_home(dst)
            # As text while there is no token: most packets of a flood find none.
            or (not (time < self._closed_until and len(time) == len(self._closed_until)) and self._has_token(time))
        ):
            return (line,)
        newer[source] = line
        self.held += 1
        if len(newer) >= self._max_newer:
            self._older, self._newer = newer, {}
        return _NOTHING

    def _release(self, source: str, line: str) -> tuple[str, ...]:
        kept = self._newer.pop(source, None) or self._older.pop(source)
        lines = (*kept.split("\n"), line)
        self.held -= len(lines) - 1
        return lines

    def _keep_answer(self, source: str, line: str) -> tuple[str, ...]:
        """A packet to a source that waits, mostly our answer: it belongs behind its probe."""
        table = self._newer if source in self._newer else self._older
        if len(table[source]) < _MAX_KEPT:
            table[source] += f"\n{line}"
        self.held += 1
        return _NOTHING

    def _has_token(self, time: str) -> bool:
        """Whether one more unknown source may be admitted at once."""
        now_us = micros_of(time)
        if self._bucket.take(now_us):
            return True
        until_us = now_us + self._bucket.wait_us
        self._closed_until = f"{until_us / 1e6:.6f}".ljust(len(time), "0")
        return False
