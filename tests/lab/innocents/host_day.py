"""One host-day: habits by chance, mutated as captures are, judged by the core."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from operator import itemgetter
from random import Random

from portsentry_py.config.settings import Settings
from portsentry_py.core.host_state import HostState
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.events.model import Event, EvidenceEvent
from portsentry_py.output.json_log import json_line
from tests.lab.innocents.habits import leftovers, mail, media, monitors, names, web
from tests.lab.innocents.scene import Habit, Scene
from tests.lab.ordinary.day import seeded
from tests.scenarios.conversations import syn_scan_of
from tests.support.build import SECOND_US, START_US, Sent, micros

HABITS: tuple[Habit, ...] = (
    *web.HABITS,
    *mail.HABITS,
    *names.HABITS,
    *media.HABITS,
    *monitors.HABITS,
    *leftovers.HABITS,
)
SCANNER = "45.33.32.9"
_FEWEST, _MOST = 5, 12
_VLAN, _TWICE_US = 30, 4
_MOST_LOSS, _MOST_DELAY_US = 0.1, 20_000


@dataclass(frozen=True)
class Accusation:
    """A line that bans an innocent: the habits that it has, and the line."""

    day: int
    habits: tuple[str, ...]
    line: str


@dataclass(frozen=True)
class Outcome:
    """What came of a day.

    Attributes:
        day: its number, which is its seed.
        packets: that the core saw.
        habits: that were in it.
        bans: the first line that bans each innocent.
        watched: the habit of each innocent with a line that watches it, and no ban.
        scanner_banned: whether the scanner that was added is banned; None where none was.
    """

    day: int
    packets: int
    habits: tuple[str, ...]
    bans: tuple[Accusation, ...]
    watched: tuple[str, ...]
    scanner_banned: bool | None


def name_of(habit: Habit) -> str:
    """The habit in words."""
    return habit.__name__.replace("_", " ")


def lived(day: int, *, scanned: bool = False, habits: tuple[Habit, ...] = ()) -> Outcome:
    """Make the day of that number and judge it.

    Args:
        day: the seed.
        scanned: add one SYN scan of forty ports, to see that the day hides no scanner.
        habits: these, and not some by chance.
    """
    chances = seeded(f"host-day {day}")
    scene = Scene(chances)
    chosen = habits or tuple(chances.sample(HABITS, chances.randint(_FEWEST, _MOST)))
    for habit in chosen:
        scene.habit = name_of(habit)
        habit(scene)
    placed = mutated(scene.packets, chances)
    if scanned:
        placed += _scan(scene)
    placed.sort(key=itemgetter(0))
    lines = list(_evidence(scene, placed))
    bans, watched = _accused(day, scene, lines)
    caught = any(line.src_ip == SCANNER and line.verdict == "ban" for line in lines)
    names = tuple(sorted(map(name_of, chosen)))
    return Outcome(day, len(placed), names, bans, watched, caught if scanned else None)


def mutated(packets: list[Sent], chances: Random) -> list[tuple[int, Sent]]:
    """The packets with the place that each has in the stream: some lost, some late, or all twice as of a VLAN."""
    loss = chances.choice((0, 0, chances.uniform(0, _MOST_LOSS)))
    delay_us = chances.choice((0, 0, chances.randint(1, _MOST_DELAY_US)))
    kept = [one for one in packets if chances.random() >= loss]
    if chances.random() < 1 / 3:
        kept = [copy for one in kept for copy in (one, replace(one, time_us=one.time_us + _TWICE_US, vlan=_VLAN))]
    return [(one.time_us + chances.randint(0, delay_us), one) for one in kept]


def _scan(scene: Scene) -> list[tuple[int, Sent]]:
    """A SYN scan of forty ports, with the answers that the host gives."""
    ports = [port for port in range(600, 660) if port not in scene.tcp][:40]
    packets = (
        replace(one, dst=scene.host) if one.src == SCANNER else replace(one, src=scene.host)
        for one in syn_scan_of(SCANNER, ports, at=scene.moment(), serves=())
    )
    return [(one.time_us, one) for one in packets if one.src == SCANNER or not scene.drops]


def _evidence(scene: Scene, placed: list[tuple[int, Sent]]) -> Iterator[EvidenceEvent]:
    """The lines about sources, while the sensor looks at the host's sockets now and then."""

    def state() -> HostState:
        return scene.state((pipeline.last_us - START_US) / SECOND_US)

    pipeline = Pipeline(Settings(), scene.state(0), read_host=state)
    looks = [micros(moment) for moment in scene.refreshes()]
    cuts = [0, *(bisect_left(placed, look, key=itemgetter(0)) for look in looks), len(placed)]
    for nth, (start, end) in enumerate(pairwise(cuts)):
        if nth:
            pipeline.set_host(scene.state((looks[nth - 1] - START_US) / SECOND_US))
        yield from _about_sources(pipeline.feed(one.line for _, one in placed[start:end]))
    yield from _about_sources(pipeline.finish())


def _about_sources(events: Iterable[Event]) -> Iterator[EvidenceEvent]:
    return (one for one in events if isinstance(one, EvidenceEvent) and one.direction == "inbound")


def _accused(day: int, scene: Scene, lines: list[EvidenceEvent]) -> tuple[tuple[Accusation, ...], tuple[str, ...]]:
    """The first ban of each innocent, and whose habit the watched ones have."""
    bans: dict[str, EvidenceEvent] = {}
    for line in lines:
        if line.verdict == "ban" and line.src_ip != SCANNER:
            bans.setdefault(line.src_ip, line)
    watched = {line.src_ip for line in lines if line.verdict == "watch"} - {SCANNER, *bans}
    accusations = (
        Accusation(day, scene.whose(source), json_line(line).decode().rstrip()) for source, line in bans.items()
    )
    return tuple(accusations), tuple(sorted(habit for source in watched for habit in scene.whose(source)))
