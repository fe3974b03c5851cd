"""A capture as a poor capture would have written it: packets lost, out of order, twice."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from tests.lab.accuracy.score import Score, score
from tests.lab.ordinary.day import seeded
from tests.lab.support.labelled import Capture
from tests.support import pcap
from tests.support.running import ran

_TWICE_US = 5  # between the two times of a packet that is captured on a VLAN and on its parent

Packets = list[tuple[int, bytes]]
"""Times in microseconds, and frames, in the order of the file."""


@dataclass(frozen=True)
class Damage:
    """What happens to a capture.

    Attributes:
        name: in the words of the page.
        loss: the share of packets that is missing.
        shuffle_seconds: a packet stands in the file this much later at most; its time stays.
        twice: every packet stands there twice.
    """

    name: str
    loss: float = 0.0
    shuffle_seconds: float = 0.0
    twice: bool = False

    def of(self, packets: Packets, chances: Random) -> Packets:
        """The packets that are left, in their new order."""
        kept = [one for one in packets if chances.random() >= self.loss]
        if self.twice:
            kept = [copy for time_us, frame in kept for copy in ((time_us, frame), (time_us + _TWICE_US, frame))]
        delays = [chances.uniform(0, self.shuffle_seconds * 1e6) for _ in kept]
        order = sorted(range(len(kept)), key=lambda nth: kept[nth][0] + delays[nth])
        return [kept[nth] for nth in order] if self.shuffle_seconds else kept


DAMAGES = (
    Damage("35 % of the packets lost", loss=0.35),
    Damage("shuffled within 200 ms", shuffle_seconds=0.2),
    Damage("each packet twice", twice=True),
    Damage("all three", loss=0.35, shuffle_seconds=0.2, twice=True),
)


def score_damaged(capture: Capture, damage: Damage) -> Score:
    """Judge what is said about the damaged capture; one that editcap cannot convert is reported, not scored."""
    with tempfile.TemporaryDirectory() as folder:
        plain, damaged = Path(folder) / "plain.pcap", Path(folder) / "damaged.pcap"
        done = ran("editcap", "-F", "pcap", capture.path, plain)
        if not plain.exists() or not plain.stat().st_size:
            reason = done.stderr.strip() or "editcap gave no reason"
            return Score(capture.name, capture.label, capture.strength, capture.scan_types, unreadable=reason)
        link, packets = pcap.read(plain.read_bytes())
        pcap.write(damaged, _damaged(packets, damage, seeded(f"{damage.name} {capture.name}")), link)
        return score(replace(capture, path=damaged))


def _damaged(packets: list[tuple[float, bytes]], damage: Damage, chances: Random) -> Iterator[tuple[int, bytes]]:
    yield from damage.of([(round(time * 1e6), frame) for time, frame in packets], chances)
