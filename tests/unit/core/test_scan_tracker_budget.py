"""Which judgements about a scan become lines, within the rate limit and the budget of bans."""

import pytest

from portsentry_py.config.settings import Bans, Lines
from portsentry_py.core.policy import Judgement
from portsentry_py.core.scan_tracker import ScanTracker
from portsentry_py.core.sighting import Sighting
from portsentry_py.core.source_record import SourceRecord
from tests.support.build import SCANNER, micros
from tests.support.judgements import (
    at,
    ended,
    judged,
    outbound,
    reported,
    source_of,
    source_record,
    states,
    strangers,
    tracker,
    verdicts,
)


def told(scans: ScanTracker, probe: Sighting, record: SourceRecord) -> bool:
    scan = scans.open_scan(probe)
    return scan is not None and scans.is_told(scan, probe, record)


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
    assert SCANNER not in map(source_of, ended(scans, 60.9))
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
