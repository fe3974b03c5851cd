"""Lets everybody of one place live through the day.

`python -m tests.lab.ordinary.residents PLACE START MINUTES FOLDER`
"""

import asyncio
import sys
import traceback
from pathlib import Path

from tests.lab.ordinary.day import Day
from tests.lab.ordinary.outgoing import HOST_LIVES, POPULATIONS
from tests.lab.ordinary.population import Population, Scene
from tests.lab.ordinary.populations import EVERYONE


async def _live(place: str, scene: Scene) -> int:
    """Start everybody; 1 if for anybody it ended in an error."""
    lives = {one.name: one.live(scene, one) for one in EVERYONE if one.place == place}
    if place == "host":
        sites: Population = POPULATIONS[0]
        lives |= {life.__name__: life(scene, sites) for life in HOST_LIVES}
    ends = await asyncio.gather(*lives.values(), return_exceptions=True)
    failed = 0
    for name, end in zip(lives, ends, strict=True):
        if end is not None:
            failed = 1
            print(f"-- {name}", *traceback.format_exception(end), file=sys.stderr)
    return failed


if __name__ == "__main__":
    where, start, minutes, folder = sys.argv[1:]
    sys.exit(asyncio.run(_live(where, Scene(Day(float(start), float(minutes)), Path(folder)))))
