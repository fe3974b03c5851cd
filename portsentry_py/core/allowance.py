"""The benefit of the doubt that an outsider can get: a few things of each source, for a while."""

from collections.abc import Hashable
from typing import NamedTuple

from portsentry_py.core.lru_table import LruTable


class Excused(NamedTuple):
    """What is excused of one source, and since when."""

    first_us: int
    things: frozenset[Hashable] = frozenset()


class Allowance:
    """What is excused of each source, bounded in things, time and sources.

    Args:
        most: things that are excused of one source within `age_us` of the first one.
        age_us: after this time, in microseconds, a source begins again.
        max_sources: sources that are remembered.
    """

    def __init__(self, most: int, age_us: int, max_sources: int) -> None:
        self._most = most
        self._age_us = age_us
        self._excused: LruTable[str, Excused] = LruTable(max_sources)
        self.knows = self._excused.holds
        """Whether anything is or was excused of a source."""

    def takes(self, source: str, thing: Hashable, now_us: int) -> bool:
        """Whether the thing is or can still be excused; it is then."""
        first_us, things = self._of(source, now_us)
        if thing in things:
            return True
        if len(things) >= self._most:
            return False
        self._excused.put(source, Excused(first_us, things | {thing}))
        return True

    def holds(self, source: str, thing: Hashable, now_us: int) -> bool:
        """Whether the thing is excused."""
        excused = self._excused.peek(source)
        return excused is not None and thing in excused.things and abs(now_us - excused.first_us) <= self._age_us

    def _of(self, source: str, now_us: int) -> Excused:
        excused = self._excused.peek(source)
        return excused if excused and abs(now_us - excused.first_us) <= self._age_us else Excused(now_us)
