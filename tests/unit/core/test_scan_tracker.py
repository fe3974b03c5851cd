"""Which judgements about a scan become lines."""

import dataclasses
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.config.settings import Bans, Limits, Lines, Settings
from portsentry_py.core.finding import Finding
from portsentry_py.core.policy import Judgement
from portsentry_py.core.scan_tracker import Report, ScanTracker
from portsentry_py.core.sighting import Kind, Sighting
from portsentry_py.core.source_record import Attempt, Counts, Endpoint, SourceRecord, StackFingerprint
from portsentry_py.events.model import Reason, ScanType, Technique, Verdict
from tests.support.build import FRIEND, HOST, SCANNER, SECOND_US, START_US, micros, no_deadline
from tests.support.sightings import sighting

LINES = Lines(repeat_seconds=60, quiet_seconds=60, slow_quiet_seconds=3600)
MAX_SCANS = 1000
STACK = StackFingerprint(64, 24)


def judged(
    weight: int = 8,
    *,
    at: float = 0,
    source: str = SCANNER,
    scan_type: ScanType = "syn",
    verdict: Verdict = "ban",
    reason: Reason = "ports_in_window",
    technique: Technique = "port_scan",
    record: SourceRecord | None = None,
) -> Judgement:
    """A judgement of a finding of that weight, about a record of its own if none is given."""
    probe = sighting(Kind.PROBE, 22, source=source, at=at)
    one = Finding(technique, probe, record or source_record(source, weight), scan_type, verdict == "ban", reason)
    return Judgement(one, verdict, reason)


def source_record(source: str = SCANNER, weight: int = 8, *, verified: bool = False) -> SourceRecord:
    one = SourceRecord(source, "inbound", START_US, START_US, source, probes=8, trap_answered=verified)
    one.stacks = Counts({STACK: 8})
    return grow(one, weight)


def grow(record: SourceRecord, weight: int) -> SourceRecord:
    """The record with that many attempts or touches."""
    record.trap_touches = weight
    while len(record.unserved) > weight:
        record.unserved.popitem()
    for port in range(len(record.unserved), weight):
        record.unserved[Endpoint(HOST, "tcp", port)] = Attempt(START_US, START_US, "syn")
    return record


def tracker(lines: Lines = LINES, *, bans: Bans | None = None, max_scans: int = MAX_SCANS) -> ScanTracker:
    return ScanTracker(Settings(lines=lines, bans=bans or Bans(), limits=Limits(max_sources=max_scans)))


def reported(scans: ScanTracker, *judgements: Judgement) -> list[Report]:
    return [report for one in judgements for report in scans.observe(one)]


def suppressed_until(scans: ScanTracker, probe: Sighting) -> int | None:
    scan = scans.open_scan(probe)
    return None if scan is None else scans.suppressed_until(scan, probe)


def told(scans: ScanTracker, probe: Sighting, record: SourceRecord) -> bool:
    scan = scans.open_scan(probe)
    return scan is not None and scans.is_told(scan, probe, record)


def states(scans: ScanTracker, *judgements: Judgement) -> list[str | None]:
    """The state of each judgement's report, None where there is none."""
    return [next((report.state for report in scans.observe(one)), None) for one in judgements]


def verdicts(reports: Iterable[Report]) -> list[tuple[str, str, str]]:
    """The state of each report, its verdict, and the rule that gave it."""
    return [(one.state, one.judgement.verdict, one.judgement.reason) for one in reports]


def ended(scans: ScanTracker, at: float) -> list[Report]:
    return list(scans.advance(micros(at)))


def reports_at(judgements: Iterable[tuple[float, Judgement]]) -> list[tuple[float, str]]:
    """The seconds and states of the reports that the judgements make."""
    scans = tracker()
    return [(at, report.state) for at, one in judgements for report in scans.observe(one)]


def source_of(report: Report) -> str:
    return report.judgement.finding.record.source


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


def test_a_source_counts_as_banned_from_the_first_line_with_that_verdict() -> None:
    scans = tracker()
    states(scans, judged(verdict="watch"))
    assert not scans.is_banned(SCANNER)
    states(scans, judged())
    assert scans.is_banned(SCANNER)
    assert not scans.is_banned(FRIEND)


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


def test_a_trap_and_a_scan_of_one_source_are_reported_apart() -> None:
    assert states(tracker(), judged(technique="trap"), judged()) == ["new", "new"]


def test_sources_are_reported_apart() -> None:
    assert states(tracker(), judged(), judged(source=FRIEND), judged()) == ["new", "new", None]


def outbound(*, at: float = 0) -> Judgement:
    record = dataclasses.replace(source_record(), direction="outbound")
    return judged(record=record, verdict="watch", reason="outbound", at=at)


def test_directions_are_reported_apart() -> None:
    assert states(tracker(), judged(), outbound()) == ["new", "new"]


def test_scans_are_bounded() -> None:
    scans = tracker(max_scans=16)
    for last in range(20):
        states(scans, judged(source=f"203.0.113.{last}"))
    assert len(list(scans.open_scans())) == 16
    assert not scans.is_banned("203.0.113.3")
    assert scans.is_banned("203.0.113.4")


def at(second: float, kind: Kind = Kind.PROBE) -> Sighting:
    return sighting(kind, 22, source=SCANNER, at=second)


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


def strangers(count: int, *, at: float = 0) -> list[Judgement]:
    return [judged(source=f"198.18.{number // 250}.{number % 250}", at=at) for number in range(count)]


def test_beyond_the_rate_limit_a_scan_is_reported_with_a_later_probe() -> None:
    scans = tracker(Lines(scans_per_second=4))
    assert states(scans, *strangers(40)) == ["new"] * 31 + [None] * 9
    assert states(scans, judged(at=0.1), judged(at=0.3), judged(at=0.31)) == [None, "new", None]


def test_beyond_the_rate_limit_a_reported_scan_is_not_forgotten() -> None:
    scans = tracker(Lines(scans_per_second=4, repeat_seconds=60, quiet_seconds=60))
    assert states(scans, judged(verdict="watch"), judged(verdict="watch", at=59)) == ["new", None]
    assert states(scans, *strangers(40, at=60))[30:] == ["new"] + [None] * 9
    assert states(scans, judged(at=60.1), judged(at=60.3)) == [None, "changed"]


def test_beyond_the_rate_limit_the_end_of_a_scan_has_no_line() -> None:
    scans = tracker(Lines(scans_per_second=1, quiet_seconds=60))
    states(scans, judged(), *strangers(20, at=59.9))
    assert ended(scans, 60) == []


def crowded(scans: ScanTracker, *late: Judgement) -> ScanTracker:
    """The tracker after strangers took all lines, and scanners that came too late for one."""
    states(scans, *strangers(20, at=0.5))
    assert states(scans, *late) == [None] * len(late)
    return scans


def test_a_scan_without_a_line_has_one_when_it_has_ended_and_there_is_room() -> None:
    scans = crowded(tracker(Lines(scans_per_second=1)), judged(20, at=0.5))
    assert ended(scans, 60.9) == []
    late = [one for one in ended(scans, 70) if source_of(one) == SCANNER]
    assert verdicts(late) == [("ended", "watch", "ban_budget")]
    assert late[0].time_us == micros(61)
    assert SCANNER not in map(source_of, ended(scans, 4000))


def test_a_scan_without_a_line_that_goes_on_has_one_at_its_next_probe() -> None:
    scans = crowded(tracker(Lines(scans_per_second=1)), judged(20, at=0.5))
    assert states(scans, judged(21, at=60)) == ["new"]
    assert [state for state, _, _ in verdicts(ended(scans, 200)) if state == "ended"].count("ended") >= 1
    assert SCANNER not in map(source_of, ended(scans, 4000))


def test_weak_scans_without_a_line_are_forgotten() -> None:
    scans = crowded(tracker(Lines(scans_per_second=1)), judged(15, at=0.5))
    assert SCANNER not in map(source_of, ended(scans, 4000))


def test_a_scan_without_a_line_is_forgotten_after_an_hour() -> None:
    scans = crowded(tracker(Lines(scans_per_second=1)), judged(20, at=0.5))
    assert SCANNER not in map(source_of, ended(scans, 3700))


def test_our_own_scans_have_no_rate_limit() -> None:
    scans = tracker(Lines(scans_per_second=1))
    states(scans, *strangers(20))
    ours = outbound()
    assert not scans.is_spent(at(0), ours.finding.record)
    assert states(scans, ours) == ["new"]


def test_a_verified_source_does_not_share_the_rate_limit_of_others() -> None:
    scans = tracker(Lines(scans_per_second=1))
    states(scans, *strangers(20))
    assert scans.is_spent(at(0), source_record())
    record = source_record(verified=True)
    assert not scans.is_spent(at(0), record)
    assert states(scans, judged(record=record)) == ["new"]


def verified(count: int, net: int = 113) -> list[Judgement]:
    return [judged(record=source_record(f"203.0.{net}.{nth}", verified=True)) for nth in range(count)]


def test_verified_sources_of_one_network_have_four_lines_for_each_ban_that_they_may_have() -> None:
    scans = tracker(bans=Bans(verified_per_minute=1))
    found = verdicts(reported(scans, *verified(100)))
    assert found == [("new", "ban", "ports_in_window")] * 10 + [("new", "watch", "ban_budget")] * 30
    assert len(reported(scans, *verified(5, net=114))) == 5


def late(second: float) -> Judgement:
    """A further source of the strangers' network."""
    return judged(source="198.18.9.9", at=second)


def test_a_source_over_the_budget_of_bans_is_watched_until_it_is_within() -> None:
    scans = tracker(bans=Bans(network_per_minute=2))
    reported(scans, *strangers(20))
    assert verdicts(reported(scans, late(0))) == [("new", "watch", "ban_budget")]
    assert not scans.is_banned("198.18.9.9")
    assert reported(scans, late(20)) == [], "to be over the budget still is no reason for a line"
    assert verdicts(reported(scans, late(30))) == [("changed", "ban", "ports_in_window")]


def test_a_scan_that_the_budget_lets_be_watched_is_told_until_the_budget_has_a_ban() -> None:
    scans, one = tracker(bans=Bans(network_per_minute=2)), late(0)
    record, probe = one.finding.record, one.finding.sighting
    assert not told(scans, probe, record), "it had no line yet"
    reported(scans, *strangers(20), one)
    assert told(scans, probe, record)
    assert not told(scans, probe._replace(time_us=micros(31)), record), "there is a ban"
    assert not told(scans, probe._replace(time_us=micros(60)), record), "the next line is due"
    record.trap_answered = True
    assert not told(scans, probe, record), "it is verified now"


@pytest.mark.parametrize(("weight", "second", "is_told"), [(128, 1, True), (127, 1, False), (128, 2, False)])
def test_a_large_scan_that_is_watched_for_another_reason_is_judged_again_after_a_while(
    weight: int, second: float, is_told: bool
) -> None:
    scans, one = tracker(), judged(weight, verdict="watch", reason="mapped_source")
    reported(scans, one)
    assert told(scans, one.finding.sighting._replace(time_us=micros(second)), one.finding.record) is is_told


def test_a_banned_scan_is_not_told() -> None:
    scans, one = tracker(), judged(200)
    assert reported(scans, one)[0].judgement.bans
    assert not told(scans, one.finding.sighting, one.finding.record)


def test_a_ban_that_the_budget_refuses_takes_one_line_from_the_rate_limit() -> None:
    scans = tracker(Lines(scans_per_second=8), bans=Bans(network_per_minute=1))
    reported(scans, *strangers(10))
    assert len(reported(scans, *[late(0)] * 100)) == 1
    others = [judged(source=f"10.{nth % 6}.0.{nth}") for nth in range(60)]
    assert len(reported(scans, *others)) == 50, "of 61 lines for sources of few probes, 11 are gone"


def test_beyond_the_rate_limit_nothing_is_taken_from_the_budget_of_bans() -> None:
    scans = tracker(Lines(scans_per_second=1), bans=Bans(unverified_per_minute=2))
    assert len(reported(scans, *strangers(40))) == 8
    assert [one.judgement.verdict for one in reported(scans, *strangers(60, at=10)[40:])] == ["ban"] * 8


def test_a_scan_whose_ban_was_refused_ends_with_that_reason() -> None:
    scans = tracker(Lines(scans_per_second=100), bans=Bans(network_per_minute=2))
    reported(scans, *strangers(20), late(0), late(1))
    (end,) = (one for one in ended(scans, 100) if source_of(one) == "198.18.9.9")
    assert verdicts([end]) == [("ended", "watch", "ban_budget")]


def test_a_source_that_stays_over_the_budget_of_bans_goes_on_like_any_other() -> None:
    scans = tracker(bans=Bans(network_per_minute=2))
    found = []
    for nth, second in enumerate((0, 60, 120, 180)):
        reported(scans, *strangers(20 * (nth + 1), at=second)[20 * nth :])
        found += verdicts(reported(scans, late(second)))
    assert found == [(state, "watch", "ban_budget") for state in ("new", "ongoing", "ongoing")]


def test_a_scan_that_goes_on_takes_nothing_more_from_the_budget_of_bans() -> None:
    scans = tracker(bans=Bans(unverified_per_minute=1, network_per_minute=1))
    record = source_record()
    record.probes = 64
    for second in (0, 60, 180):
        assert reported(scans, judged(record=record, at=second))[0].judgement.bans
    others = [judged(source=f"10.{nth}.0.1", at=0) for nth in range(11)]
    for one in others:
        one.finding.record.probes = 64
    assert [one.judgement.verdict for one in reported(scans, *others)] == ["ban"] * 9 + ["watch"] * 2


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


observed = st.builds(
    judged,
    st.integers(1, 2000),
    at=st.integers(0, 400),
    source=st.sampled_from([SCANNER, FRIEND, "203.0.113.10", "10.0.0.1"]),
    scan_type=st.sampled_from(["syn", "fin"]),
    verdict=st.sampled_from(["ban", "watch", "ignore"]),
    technique=st.sampled_from(["port_scan", "slow", "trap"]),
)


@no_deadline
@given(st.lists(observed, max_size=60), st.booleans())
def test_whatever_is_observed_lines_are_few_and_bans_are_of_the_present(
    judgements: list[Judgement], is_answered: bool
) -> None:
    scans = tracker(max_scans=3)
    lines: dict[tuple[str, bool], list[Report]] = {}
    for one in sorted(judgements, key=lambda one: one.finding.sighting.time_us):
        now_us = one.finding.sighting.time_us
        ends = list(scans.advance(now_us))
        assert all(end.state == "ended" and not end.judgement.bans for end in ends)
        found = list(scans.observe(one))
        assert len(found) <= 1
        for report in found:
            assert report.judgement.finding is one.finding
            assert one.bans or not report.judgement.bans
            lines.setdefault((source_of(report), one.finding.technique == "trap"), []).append(report)
        if is_answered:
            scans.answer(SCANNER, now_us)
        assert len(scans._fast) <= 3
        assert len(scans._slow) <= 3
    for reports in lines.values():
        for before, after in pairwise(reports):
            apart_us = after.time_us - before.time_us
            assert after.state in {"new", "changed"} or apart_us >= (5 if is_answered else 60) * SECOND_US
