"""Lines about a banned source that is still answered: its ban is not in force."""

from itertools import pairwise

import pytest

from portsentry_py.events.model import Technique
from tests.support.build import SCANNER, micros
from tests.support.judgements import judged, states, tracker


def test_a_banned_source_that_is_still_answered_is_reported_after_5_seconds_then_after_twice_the_time() -> None:
    """A line about a scan that goes on, when that is due before, does not set the pace back."""
    scans = tracker()
    found = []
    for second in range(600):
        found += [(second, report.state) for report in scans.observe(judged(at=second))]
        scans.answer(SCANNER, micros(second + 0.5))
    assert [second for second, _ in found] == [0, 5, 15, 35, 75, 135, 215, 335, 495]
    assert [second for second, state in found if state == "ongoing"] == [135, 335]


def test_lines_about_a_banned_source_that_is_still_answered_are_4_minutes_apart_at_most() -> None:
    scans = tracker()
    found: list[int] = []
    for second in range(3600):
        found += [second for _ in scans.observe(judged(at=second))]
        scans.answer(SCANNER, micros(second + 0.5))
    apart = [after - before for before, after in pairwise(found)]
    assert max(apart) == apart[-1] == 240


@pytest.mark.parametrize("technique", ["port_scan", "slow", "trap"])
def test_an_answer_more_than_two_seconds_after_the_line_shows_that_the_ban_is_not_in_force(
    technique: Technique,
) -> None:
    scans = tracker()
    states(scans, judged(technique=technique))
    scans.answer(SCANNER, micros(2))
    assert states(scans, judged(technique=technique, at=9)) == [None], "a ban takes that time"
    scans.answer(SCANNER, micros(9))
    assert states(scans, judged(technique=technique, at=10)) == ["answered"]
    assert states(scans, judged(technique=technique, at=50)) == [None], "it was not answered since"


def test_after_a_line_without_an_answer_before_it_the_wait_is_5_seconds_again() -> None:
    scans = tracker()
    states(scans, judged())
    scans.answer(SCANNER, micros(3))
    assert states(scans, judged(at=5), judged(at=65)) == ["answered", "ongoing"]
    scans.answer(SCANNER, micros(68))
    assert states(scans, judged(at=69), judged(at=70)) == [None, "answered"]


def test_an_answer_to_a_source_without_a_ban_makes_no_line() -> None:
    scans = tracker()
    scans.answer(SCANNER, micros(0))
    states(scans, judged(verdict="watch"))
    scans.answer(SCANNER, micros(9))
    assert states(scans, judged(verdict="watch", at=10)) == [None]
