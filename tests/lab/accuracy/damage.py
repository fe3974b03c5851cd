"""A capture through the core, whole and as a poor capture would have seen it: packets lost, out of order, twice.

The damage is done to the lines of tshark, so that one tshark serves all runs of a capture.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from random import Random

from portsentry_py.capture.file import DamagedCapture, replay_lines
from portsentry_py.capture.toolchain import find_tools
from portsentry_py.config.settings import Settings
from portsentry_py.core.columns import time_of
from portsentry_py.errors import InputError
from portsentry_py.sensor.replay import Replay
from tests.lab.accuracy.score import Score, judged, unreadable
from tests.lab.ordinary.day import seeded
from tests.lab.support.labelled import Capture


@dataclass(frozen=True)
class Damage:
    """What happens to a capture.

    Attributes:
        name: in the words of the page.
        loss: the share of packets that is missing.
        shuffle_seconds: a packet comes this much later at most; its time stays.
        twice: every packet comes twice.
    """

    name: str
    loss: float = 0.0
    shuffle_seconds: float = 0.0
    twice: bool = False

    def of(self, lines: Iterable[str], chances: Random) -> list[str]:
        """The lines that are left, in their new order."""
        kept = [line for line in lines if chances.random() >= self.loss]
        if self.twice:
            kept = [line for line in kept for _ in range(2)]
        if not self.shuffle_seconds:
            return kept
        places = [time_of(line) + chances.uniform(0, self.shuffle_seconds) for line in kept]
        return [kept[nth] for nth in sorted(range(len(kept)), key=places.__getitem__)]


_tools = cache(find_tools)  # it starts tshark
WHOLE = Damage("whole")
DAMAGES = (
    Damage("35 % of the packets lost", loss=0.35),
    Damage("shuffled within 200 ms", shuffle_seconds=0.2),
    Damage("each packet twice", twice=True),
    Damage("all three", loss=0.35, shuffle_seconds=0.2, twice=True),
)


def scores(capture: Capture) -> list[Score]:
    """Judge what is said about the whole capture, and after each damage.

    What tshark cannot read is reported, not scored.
    """
    try:
        lines = _lines(capture)
    except InputError as error:
        return [unreadable(capture, error)] * (1 + len(DAMAGES))
    return [_score(capture, damage, lines) for damage in (WHOLE, *DAMAGES)]


def _lines(capture: Capture) -> list[str]:
    lines: list[str] = []
    try:
        for some in replay_lines(_tools(), capture.path, link=_player(capture)._provenance is not None):
            lines += some
    except DamagedCapture:
        pass  # what came before the damage counts, as in a replay
    return lines


def _score(capture: Capture, damage: Damage, lines: list[str]) -> Score:
    player = _player(capture)
    left = damage.of(lines, seeded(f"{damage.name} {capture.name}"))
    believed = player._provenance.believed(left) if player._provenance else left
    return judged(capture, [*player._pipeline.feed(believed), *player._pipeline.finish()])


def _player(capture: Capture) -> Replay:
    return Replay(Settings(), capture.home, _tools(), lambda _path, _packets: None)
