"""A capture through the core, whole and as another one would have seen it: packets lost, out of order, twice.

The damage is done to the lines of tshark, so that one tshark serves all runs of a capture.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address
from random import Random

from portsentry_py.capture.file import DamagedCapture, replay_lines
from portsentry_py.capture.toolchain import find_tools
from portsentry_py.config.settings import Network, Settings
from portsentry_py.core.columns import (
    ACCEPTING_FLAGS,
    DEST_PORT,
    FLAGS,
    HEADER_WORDS,
    OPENING_FLAGS,
    SRC_PORT,
    Head,
    head_of,
    time_of,
)
from portsentry_py.errors import InputError
from portsentry_py.sensor.replay import Replay
from tests.lab.accuracy.score import Score, judged, unreadable
from tests.lab.ordinary.day import seeded
from tests.lab.support.labelled import Capture

_FORTY_BYTES = "a"  # words, as a digit


@dataclass(frozen=True)
class Damage:
    """What happens to a capture.

    Attributes:
        name: in the words of the page.
        loss: the share of packets that is missing.
        shuffle_seconds: a packet comes this much later at most; its time stays.
        twice: every packet comes twice.
        served: first segments with a header of 40 bytes are missing where our host serves their port; the kernel keeps
            them.
    """

    name: str
    loss: float = 0.0
    shuffle_seconds: float = 0.0
    twice: bool = False
    served: bool = False

    def of(self, lines: Iterable[str], chances: Random, home: Sequence[Network] = ()) -> list[str]:
        """The lines that are left, in their new order."""
        kept = [line for line in lines if chances.random() >= self.loss]
        if self.served:
            kept = _without_first(kept, home)
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
    Damage("first segments to served ports missing", served=True),
)


def _without_first(lines: Sequence[str], home: Sequence[Network]) -> list[str]:
    """The lines less the first segments to ports that our hosts serve."""

    def is_ours(address: str) -> bool:
        return any(ip_address(address) in network for network in home)

    heads = [head_of(line) for line in lines]
    tcp = [(head[1], head[2], head[3]) for head in heads if head[4] == "tcp"]
    served = {(src, digits[SRC_PORT]) for src, digits, _ in tcp if digits[FLAGS] in ACCEPTING_FLAGS and is_ours(src)}

    def is_kept(head: Head) -> bool:
        _, _, digits, dst, proto = head
        is_first = proto == "tcp" and digits[FLAGS] in OPENING_FLAGS and digits[HEADER_WORDS] == _FORTY_BYTES
        return is_first and (dst, digits[DEST_PORT]) in served

    return [line for line, head in zip(lines, heads, strict=True) if not is_kept(head)]


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
    left = damage.of(lines, seeded(f"{damage.name} {capture.name}"), capture.home)
    believed = player._provenance.believed(left) if player._provenance else left
    return judged(capture, [*player._pipeline.feed(believed), *player._pipeline.finish()])


def _player(capture: Capture) -> Replay:
    return Replay(Settings(), capture.home, _tools(), lambda _path, _packets: None)
