"""The end of a scan: when it has come, and which verdict its line has."""

import pytest

from portsentry_py.core.source_record import Attempt, Endpoint
from portsentry_py.events.model import Reason, Verdict
from tests.support.build import FRIEND, HOST, SCANNER, START_US, micros
from tests.support.judgements import ended, grow, judged, reported, source_of, source_record, states, tracker, verdicts


def test_a_scan_has_ended_after_a_quiet_minute() -> None:
    scans = tracker()
    states(scans, judged(), judged(at=10))
    assert ended(scans, 69.9) == []
    (report,) = ended(scans, 500)
    assert (report.state, report.first_us, report.time_us) == ("ended", START_US, micros(70))
    assert ended(scans, 1000) == []


def test_what_comes_after_the_end_is_a_new_scan() -> None:
    scans = tracker()
    states(scans, judged())
    ended(scans, 60)
    assert states(scans, judged(at=61)) == ["new"]


def test_a_scan_began_with_the_first_probe_after_a_pause_that_ends_a_scan() -> None:
    record = source_record(weight=0)
    for port, second in enumerate((0, 100, 150, 200)):
        record.unserved[Endpoint(HOST, "tcp", port)] = Attempt(micros(second), micros(second), "syn")
    (report,) = reported(tracker(), judged(record=record, at=201))
    assert report.first_us == micros(100)
    (report,) = reported(tracker(), judged(record=record, at=201, technique="slow"))
    assert report.first_us == START_US


def test_a_slow_scan_is_given_more_time() -> None:
    scans = tracker()
    states(scans, judged(technique="slow"), judged(source=FRIEND))
    assert list(map(source_of, ended(scans, 3599))) == [FRIEND]
    (report,) = ended(scans, 3600)
    assert (report.state, source_of(report)) == ("ended", SCANNER)


def test_a_scan_that_slows_down_is_the_same_scan() -> None:
    scans = tracker()
    assert states(scans, judged(), judged(technique="slow", at=30), judged(at=50)) == ["new", None, None]
    assert [report.time_us for report in ended(scans, 5000)] == [micros(110)]


def test_ends_are_reported_in_the_order_of_time() -> None:
    scans = tracker()
    states(scans, judged(technique="slow"), *(judged(source=f"198.51.100.{n}", at=3570) for n in (1, 2)))
    times = [report.time_us for report in ended(scans, 5000)]
    assert times == sorted(times)
    assert len(times) == 3


def test_the_end_of_a_scan_never_bans() -> None:
    scans = tracker()
    states(scans, judged(8))
    assert verdicts(ended(scans, 60)) == [("ended", "watch", "ended")]


@pytest.mark.parametrize(("verdict", "reason"), [("watch", "friend"), ("ignore", "gateway")])
def test_a_scan_that_was_not_banned_ends_with_its_own_reason(verdict: Verdict, reason: Reason) -> None:
    scans = tracker()
    states(scans, judged(verdict=verdict, reason=reason))
    assert verdicts(ended(scans, 60)) == [("ended", verdict, reason)]


@pytest.mark.parametrize("verdict", ["ban", "watch"])
def test_retracted_evidence_ends_as_withdrawn(verdict: Verdict) -> None:
    scans = tracker()
    one = judged(8, verdict=verdict)
    states(scans, one)
    grow(one.finding.record, 7)
    (report,) = ended(scans, 60)
    assert verdicts([report]) == [("ended", "watch", "withdrawn")]
    assert not report.judgement.finding.bannable


def test_a_source_that_must_never_be_banned_stays_so_to_the_end() -> None:
    scans = tracker()
    one = judged(8, verdict="ignore", reason="gateway")
    states(scans, one)
    grow(one.finding.record, 7)
    assert verdicts(ended(scans, 60)) == [("ended", "ignore", "gateway")]


def test_an_evicted_source_ends_without_a_line() -> None:
    scans = tracker()
    one = judged(8)
    states(scans, one)
    one.finding.record.evicted = True
    assert ended(scans, 500) == []


def test_a_touched_trap_has_no_end() -> None:
    scans = tracker()
    assert states(scans, judged(technique="trap", weight=1)) == ["new"]
    assert ended(scans, 500) == []
