"""Which judgements about a scan become lines: what is new, has changed or goes on."""

from collections.abc import Iterable

import pytest

from portsentry_py.config.settings import Lines
from portsentry_py.core.policy import Judgement
from portsentry_py.events.model import ScanType, Technique, Verdict
from tests.support.build import FRIEND, SCANNER, SECOND_US
from tests.support.judgements import grow, judged, outbound, source_record, states, tracker


def reports_at(judgements: Iterable[tuple[float, Judgement]]) -> list[tuple[float, str]]:
    """The seconds and states of the reports that the judgements make."""
    scans = tracker()
    return [(at, report.state) for at, one in judgements for report in scans.observe(one)]


def test_a_scan_is_reported_when_it_is_certain_and_not_again() -> None:
    assert states(tracker(), judged(8), judged(9), judged(8)) == ["new", None, None]


def test_growth_and_another_type_wait_for_the_next_line() -> None:
    scans = tracker()
    assert states(scans, judged(8), judged(5000, at=1, scan_type="fin"), judged(5000, at=59)) == ["new", None, None]
    assert states(scans, judged(5000, at=60)) == ["grown"]


def test_growth_is_reported_once_for_each_power_of_ten() -> None:
    found = states(tracker(), judged(8), judged(100, at=60), judged(999, at=180), judged(1000, at=420))
    assert found == ["new", "grown", "ongoing", "grown"]


def test_another_type_is_reported_once() -> None:
    found = states(tracker(), judged(), judged(scan_type="fin", at=60), judged(scan_type="fin", at=180))
    assert found == ["new", "changed", "ongoing"]


def test_a_scan_that_is_to_be_banned_now_is_reported_at_once() -> None:
    assert states(tracker(), judged(verdict="watch"), judged(), judged(verdict="watch")) == ["new", "changed", None]


def test_a_scan_that_was_watched_again_is_reported_when_it_is_to_be_banned_again() -> None:
    found = states(tracker(), judged(), judged(verdict="watch", at=60), judged(at=61))
    assert found == ["new", "ongoing", "changed"]


def test_a_scan_that_goes_on_is_reported_more_and_more_rarely() -> None:
    found = reports_at((second, judged(at=second)) for second in range(1200))
    assert found == [(0, "new"), *((at, "ongoing") for at in (60, 180, 420, 660, 900, 1140))]


def test_a_banned_source_cannot_be_reported_more_often() -> None:
    types: tuple[ScanType, ...] = ("syn", "fin", "null", "xmas", "udp")
    techniques: tuple[Technique, ...] = ("port_scan", "trap")
    scans, record = tracker(), source_record()
    found = []
    for second in range(600):
        grow(record, 8 + 5 * second)
        for technique in techniques:
            one = judged(at=second, scan_type=types[second % 5], technique=technique, record=record)
            found += [(second, technique) for _ in scans.observe(one)]
    assert len(found) == 5
    assert found[:2] == [(0, "port_scan"), (0, "trap")]


def test_a_scan_and_touches_of_one_source_share_an_interval() -> None:
    trap = [(second, judged(at=second, technique="trap")) for second in range(1, 200, 2)]
    scan = [(second, judged(at=second)) for second in range(0, 200, 2)]
    both = sorted(trap + scan, key=lambda one: one[0])
    assert reports_at(both) == [(0, "new"), (1, "new"), (61, "ongoing"), (181, "ongoing")]


def test_a_source_counts_as_banned_from_the_first_line_with_that_verdict() -> None:
    scans = tracker()
    states(scans, judged(verdict="watch"))
    assert not scans.is_banned(SCANNER)
    states(scans, judged())
    assert scans.is_banned(SCANNER)
    assert not scans.is_banned(FRIEND)


def test_a_trap_and_a_scan_of_one_source_are_reported_apart() -> None:
    assert states(tracker(), judged(technique="trap"), judged()) == ["new", "new"]


def test_sources_are_reported_apart() -> None:
    assert states(tracker(), judged(), judged(source=FRIEND), judged()) == ["new", "new", None]


def test_directions_are_reported_apart() -> None:
    assert states(tracker(), judged(), outbound()) == ["new", "new"]


def test_scans_are_bounded() -> None:
    scans = tracker(max_scans=16)
    for last in range(20):
        states(scans, judged(source=f"203.0.113.{last}"))
    assert len(list(scans.open_scans())) == 16
    assert not scans.is_banned("203.0.113.3")
    assert scans.is_banned("203.0.113.4")


def test_scans_of_an_earlier_run_go_on() -> None:
    before = tracker()
    states(before, judged(), judged(technique="trap"), judged(source=FRIEND, technique="slow"))
    states(before, judged(at=60), judged(at=180))
    scans = tracker(Lines(repeat_seconds=30, quiet_seconds=60))
    scans.restore(reversed(list(before.open_scans())))
    assert len({id(scan.interval) for scan in scans.open_scans()}) == 2, "the trap and the scan share one"
    assert {scan.interval.wait_us for scan in scans.open_scans()} == {60 * SECOND_US, 120 * SECOND_US}
    assert states(scans, judged(at=299), judged(at=300)) == [None, "ongoing"]


@pytest.mark.parametrize("verdict", ["ban", "watch"])
def test_a_source_counts_as_banned_after_a_restart_until_a_line_says_otherwise(verdict: Verdict) -> None:
    before, scans = tracker(), tracker()
    states(before, judged(verdict=verdict))
    scans.restore(before.open_scans())
    assert scans.is_banned(SCANNER) == (verdict == "ban")
    assert states(scans, judged(verdict="watch", at=60)) == ["ongoing"]
    assert not scans.is_banned(SCANNER)
