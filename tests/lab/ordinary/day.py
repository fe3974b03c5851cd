"""A day of 24 hours that passes in a few minutes."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

HOURS = 24
_FEWEST = 2


def seeded(name: str) -> random.Random:
    """A random generator that gives the same numbers in every run."""
    return random.Random(name)


@dataclass(frozen=True)
class Day:
    """When it began, by the wall clock, and how long it takes."""

    start: float
    minutes: float

    def seconds(self, hours: float) -> float:
        """The real seconds that these hours of the day take."""
        return hours * self.minutes * 60 / HOURS

    def hour(self, moment: float) -> float:
        """The hour of the day at a moment of the wall clock."""
        return (moment - self.start) / self.seconds(1)

    def left(self, hour: float) -> float:
        """The real seconds until that hour; none if it is past."""
        return max(0.0, self.start + self.seconds(hour) - time.time())

    def times(self, in_an_hour: int, fewest: int = _FEWEST) -> int:
        """How often to do what a day of one real hour does `in_an_hour` times."""
        return max(fewest, round(in_an_hour * self.minutes / 60))

    async def until(self, hour: float) -> None:
        await asyncio.sleep(self.left(hour))

    async def spread(self, first: float, last: float, count: int) -> AsyncIterator[int]:
        """Count up to `count`, each number at its time between the two hours."""
        for number in range(count):
            await self.until(first + (last - first) * number / count)
            yield number
