"""A source of which further probes change nothing is not judged for a while."""

import pytest

from portsentry_py.config.settings import Lines
from portsentry_py.core.scan_tracker import ScanTracker
from portsentry_py.core.sighting import Kind, Sighting
from portsentry_py.events.model import Verdict
from tests.support.build import FRIEND, SCANNER, micros
from tests.support.judgements import at, ended, judged, states, tracker
from tests.support.sightings import sighting


def suppressed_until(scans: ScanTracker, probe: Sighting) -> int | None:
    scan = scans.open_scan(probe)
    return None if scan is None else scans.suppressed_until(scan, probe)


def test_a_banned_source_is_suppressed_until_it_may_show_that_it_is_still_answered() -> None:
    scans = tracker()
    assert suppressed_until(scans, at(0)) is None
    states(scans, judged())
    assert suppressed_until(scans, at(10)) == micros(12)
    assert suppressed_until(scans, at(59)) == micros(60)
    assert suppressed_until(scans, at(60)) is None
    assert suppressed_until(scans, sighting(Kind.PROBE, 22, source=FRIEND, at=1)) is None


def test_a_banned_source_that_is_still_answered_is_not_suppressed() -> None:
    scans = tracker()
    states(scans, judged())
    scans.answer(SCANNER, micros(3))
    assert suppressed_until(scans, at(4)) == micros(6)
    assert suppressed_until(scans, at(5)) is None
    states(scans, judged(at=5))
    assert suppressed_until(scans, at(6)) == micros(8)


def test_no_source_is_suppressed_until_its_scan_may_have_ended() -> None:
    scans = tracker(Lines(quiet_seconds=2))
    states(scans, judged())
    assert suppressed_until(scans, at(1)) == micros(2)


@pytest.mark.parametrize("verdict", ["ban", "ignore"])
def test_a_source_is_suppressed_if_more_probes_change_nothing(verdict: Verdict) -> None:
    scans = tracker()
    states(scans, judged(verdict=verdict, technique="slow"))
    assert suppressed_until(scans, at(1)) == micros(3)


def test_a_source_that_may_still_be_banned_is_not_suppressed() -> None:
    scans = tracker()
    states(scans, judged(verdict="watch"), judged(technique="trap"))
    assert suppressed_until(scans, at(1)) is None


def test_a_suppressed_scan_goes_on() -> None:
    scans = tracker()
    scans.touch(at(0))
    states(scans, judged())
    assert suppressed_until(scans, at(50))
    scans.touch(at(50))
    assert suppressed_until(scans, at(55, Kind.REFUSED))
    assert ended(scans, 109) == []
    (report,) = ended(scans, 110)
    assert (report.time_us, report.judgement.finding.sighting) == (micros(110), at(50))
