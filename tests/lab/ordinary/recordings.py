"""Innocent captures as recordings that are played to the host, as if it had been the one that was recorded.

The host is given the addresses that were most in the capture. What others sent comes from the wire; what it sent goes
out from itself, because its sensor believes nothing else. The host's kernel lets the frames be, because they are for
another MAC address.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path

from tests.lab.ordinary import frames, renumber
from tests.lab.ordinary.day import Day
from tests.lab.ordinary.frames import Framed, UnusableCaptureError
from tests.lab.support.labelled import Capture
from tests.support import pcap

_MACS = bytes.fromhex("02000000feed02000000beef")
_LONGEST_FRAME = 1514
_FIRST_HOUR, _LAST_HOUR = 0.7, 23.3
_PAUSES = (10.0, 5.0, 2.0, 1.0, 0.5, 0.1, 0.01, 0.001)
_SHARE_OF_A_DAY = 8  # no recording plays for longer than this part of the day
_VIEWS = ("the busiest host", "its busiest peer")


@dataclass(frozen=True)
class Recording:
    """One capture from the view of one of the hosts in it."""

    capture: Capture
    view: str

    @property
    def scored(self) -> bool:
        """Whether the index is sure that everybody in it is innocent."""
        return self.capture.strength != "ambiguous"


@dataclass
class Playlist:
    """All recordings: what is played, whom the host must be, and what could not be used."""

    recordings: list[Recording] = field(default_factory=list)
    numbers: renumber.Numbers = field(default_factory=renumber.Numbers)
    homes: set[str] = field(default_factory=set)
    unusable: dict[str, str] = field(default_factory=dict)
    packets: int = 0


def record(captures: Iterable[Capture], day: Day, path: Path) -> Playlist:
    """Write what is played on that day into two files, with times from the day's beginning on.

    What the host itself sends is in the file beside `path`, see `of_host`.
    """
    playlist = Playlist()
    everything: list[tuple[float, bytes, bool]] = []
    innocent = [one for one in captures if one.label == "negative"]
    room = day.seconds(_LAST_HOUR - _FIRST_HOUR)
    for number, capture in enumerate(innocent):
        try:
            framed = frames.read(capture.path)
            views = list(_views(framed))
        except UnusableCaptureError as error:
            playlist.unusable[capture.name] = str(error)
            continue
        times = _paced([one.time for one in framed], room / _SHARE_OF_A_DAY)
        for view, homes in zip(_VIEWS, views, strict=False):
            new = playlist.numbers.of(len(playlist.recordings))
            playlist.recordings.append(Recording(capture, view))
            playlist.homes |= {str(ip_address(new(home))) for home in homes}
            late = (number + _VIEWS.index(view) / 2) / len(innocent)
            start = day.seconds(_FIRST_HOUR) + late * (room - times[-1])
            everything += [
                (
                    start + moment,
                    (_MACS + one.head + renumber.renumbered(one.packet, new))[:_LONGEST_FRAME],
                    (renumber.ends(one.packet) or (b"",))[0] in homes,
                )
                for moment, one in zip(times, framed, strict=True)
            ]
    everything.sort(key=lambda played: played[0])
    playlist.packets = len(everything)
    for file, is_ours in ((path, False), (of_host(path), True)):
        pcap.write(file, ((round(moment * 1e6), frame) for moment, frame, ours in everything if ours == is_ours))
    return playlist


def of_host(path: Path) -> Path:
    """The file of what the host itself sends."""
    return path.with_name(f"host-{path.name}")


def _paced(moments: list[float], longest: float) -> list[float]:
    """Times from 0 on: the pace is kept, and pauses are cut until everything fits."""
    gaps = [max(0.0, later - earlier) for earlier, later in pairwise(moments)]
    most = next((pause for pause in _PAUSES if sum(min(gap, pause) for gap in gaps) <= longest), 0.0)
    times = [0.0]
    for gap in gaps:
        times.append(times[-1] + min(gap, most))
    return times


def _views(framed: list[Framed]) -> Iterator[set[bytes]]:
    """The addresses, one of each family, of the busiest host and then of its busiest peer."""
    pairs = [pair for one in framed if (pair := renumber.ends(one.packet)) is not None]
    somebody = {packed for pair in pairs for packed in pair if renumber.is_somebody(ip_address(packed))}
    busy = Counter(packed for pair in pairs for packed in pair if packed in somebody)
    peers: Counter[bytes] = Counter()
    first: set[bytes] = set()
    for size in (4, 16):
        most = next((packed for packed, _ in busy.most_common() if len(packed) == size), None)
        if most is not None:
            first.add(most)
    if not first:
        raise UnusableCaptureError("it was recorded on the loopback, where nobody has an address of his own")
    yield first
    for pair in pairs:
        peers.update(other for one, other in (pair, pair[::-1]) if one in first and other in somebody - first)
    second = {
        packed
        for size in (4, 16)
        if (packed := next((one for one, _ in peers.most_common() if len(one) == size), None)) is not None
    }
    if second:
        yield second
