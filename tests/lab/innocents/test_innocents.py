"""Ordinary host-days ban nobody, and hide no scanner."""

from collections import Counter

import pytest

from tests.lab.innocents import report
from tests.lab.innocents.host_day import HABITS, SCANNER, Accusation, Outcome, lived, mutated
from tests.lab.innocents.scene import Habit, Scene
from tests.lab.ordinary.day import seeded
from tests.support.build import FRIEND, HOST, syn

_DAYS = range(100, 116)
_LINE = '{"verdict":"ban","src_ip":"198.51.100.7","ports":8}'


@pytest.mark.parametrize("day", _DAYS)
def test_nobody_is_banned_on_an_ordinary_day(day: int) -> None:
    chosen = tuple(seeded(f"quick {day}").sample(HABITS, 8))

    assert lived(day, habits=chosen).bans == ()


@pytest.mark.parametrize("day", range(3))
def test_a_scanner_is_banned_on_an_ordinary_day(day: int) -> None:
    chosen = tuple(seeded(f"scanned {day}").sample(HABITS, 6))

    outcome = lived(day, scanned=True, habits=chosen)

    assert outcome.scanner_banned
    assert all(SCANNER not in ban.line for ban in outcome.bans)


def test_the_same_number_gives_the_same_day() -> None:
    assert lived(7) == lived(7)


@pytest.mark.parametrize("habit", HABITS, ids=[habit.__name__ for habit in HABITS])
def test_each_habit_sends_something_and_says_who_does(habit: Habit) -> None:
    scene = Scene(seeded(habit.__name__))
    scene.habit = "somebody"
    habit(scene)

    ours = {scene.host, scene.host6}
    strangers = {end for packet in scene.packets for end in (packet.src, packet.dst)} - ours
    assert any(scene.whose(stranger) == ("somebody",) for stranger in strangers)


def test_some_days_lose_delay_and_repeat_packets() -> None:
    sent = syn(FRIEND, *range(200), dst=HOST)
    found = [mutated(sent, seeded(str(number))) for number in range(30)]

    sizes = Counter("fewer" if len(one) < 200 else "twice" if len(one) > 300 else "whole" for one in found)
    assert set(sizes) == {"fewer", "twice", "whole"}
    assert any(place != packet.time_us for one in found for place, packet in one)


def test_the_page_shows_each_ban_with_its_evidence() -> None:
    ban = Accusation(3, ("web",), _LINE)
    page = report.markdown([Outcome(3, 100, ("web",), (ban,), (), None), Outcome(4, 100, (), (), (), True)])

    assert "2 host-days with 200 packets: 1 bans of innocents, on 1 days." in page
    assert "added to 1 of them: 1 (2.5 to 100.0 %) banned" in page
    assert '| 3 | web | `{"verdict": "ban", "src_ip": "198.51.100.7", "ports": 8}` |' in page
