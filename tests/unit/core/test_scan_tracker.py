"""Which findings about a scan become lines."""

import dataclasses
from collections.abc import Iterable

from portsentry_py.config.settings import Lines
from portsentry_py.core.finding import Finding
from portsentry_py.core.scan_tracker import Report, ScanTracker
from portsentry_py.core.sighting import Kind, Sighting
from portsentry_py.core.source_record import Attempt, Endpoint, SourceRecord
from portsentry_py.events.model import ScanType, Technique
from tests.support.build import FRIEND, HOST, SCANNER, SECOND_US, START_US
from tests.support.sightings import sighting

LINES = Lines(repeat_seconds=60, quiet_seconds=60, slow_quiet_seconds=3600)


def finding(
    weight: int = 8,
    *,
    at: float = 0,
    source: str = SCANNER,
    scan_type: ScanType = "syn",
    bannable: bool = True,
    technique: Technique = "port_scan",
    record: SourceRecord | None = None,
) -> Finding:
    """A finding of that weight, about a record of its own if none is given."""
    probe = sighting(Kind.PROBE, 22, source=source, at=at)
    if record is None:
        record = SourceRecord(source, "inbound", START_US, probe.time_us)
        grow(record, weight)
    return Finding(technique, probe, record, scan_type, bannable, "ports_in_window")


def grow(record: SourceRecord, weight: int) -> SourceRecord:
    """The record with that many attempts or touches."""
    record.trap_touches = weight
    while len(record.unserved) > weight:
        record.unserved.popitem()
    for port in range(len(record.unserved), weight):
        record.unserved[Endpoint(HOST, "tcp", port)] = Attempt(START_US, START_US, "syn")
    return record


def states(scans: ScanTracker, *findings: Finding) -> list[str | None]:
    """The state of each finding's report, None where there is none."""
    return [next((report.state for report in scans.observe(one)), None) for one in findings]


def reports(max_scans: int = 100) -> ScanTracker:
    return ScanTracker(LINES, max_scans)


def ended(scans: ScanTracker, at: float) -> list[Report]:
    return list(scans.advance(START_US + round(at * SECOND_US)))


def reports_at(findings: Iterable[tuple[float, Finding]]) -> list[tuple[float, str]]:
    """The seconds and states of the reports that the findings make."""
    scans = reports()
    return [(at, report.state) for at, one in findings for report in scans.observe(one)]


def test_a_scan_is_reported_when_it_is_certain_and_not_again() -> None:
    assert states(reports(), finding(8), finding(9), finding(8)) == ["new", None, None]


def test_growth_and_another_type_wait_for_the_next_line() -> None:
    scans = reports()
    assert states(scans, finding(8), finding(5000, at=1, scan_type="fin"), finding(5000, at=59)) == ["new", None, None]
    assert states(scans, finding(5000, at=60)) == ["grown"]


def test_growth_is_reported_once_for_each_power_of_ten() -> None:
    scans = reports()
    reported = states(scans, finding(8), finding(100, at=60), finding(999, at=180), finding(1000, at=420))
    assert reported == ["new", "grown", "ongoing", "grown"]


def test_another_type_is_reported_once() -> None:
    scans = reports()
    reported = states(scans, finding(), finding(scan_type="fin", at=60), finding(scan_type="fin", at=180))
    assert reported == ["new", "changed", "ongoing"]


def test_evidence_that_became_enough_is_reported() -> None:
    scans = reports()
    assert states(scans, finding(bannable=False), finding(), finding(bannable=False)) == ["new", "changed", None]


def test_a_scan_that_goes_on_is_reported_more_and_more_rarely() -> None:
    reported = reports_at((second, finding(at=second)) for second in range(1200))
    assert reported == [(0, "new"), *((at, "ongoing") for at in (60, 180, 420, 660, 900, 1140))]


def test_a_banned_source_cannot_be_reported_more_often() -> None:
    types: tuple[ScanType, ...] = ("syn", "fin", "null", "xmas", "udp")
    techniques: tuple[Technique, ...] = ("port_scan", "trap")
    scans, record = reports(), finding().record
    reported = []
    for second in range(600):
        grow(record, 8 + 5 * second)
        for technique in techniques:
            scan_type = types[second % 5]
            one = finding(at=second, scan_type=scan_type, technique=technique, record=record)
            reported += [(second, technique) for _ in scans.observe(one)]
    assert len(reported) == 5
    assert reported[:2] == [(0, "port_scan"), (0, "trap")]


def test_a_scan_and_touches_of_one_source_share_an_interval() -> None:
    trap = [(second, finding(at=second, technique="trap")) for second in range(1, 200, 2)]
    scan = [(second, finding(at=second)) for second in range(0, 200, 2)]
    both = sorted(trap + scan, key=lambda one: one[0])
    assert reports_at(both) == [(0, "new"), (1, "new"), (61, "ongoing"), (181, "ongoing")]


def test_a_scan_has_ended_after_a_quiet_minute() -> None:
    scans = reports()
    states(scans, finding(), finding(at=10))
    assert ended(scans, 69.9) == []
    (report,) = ended(scans, 500)
    assert (report.state, report.first_us, report.time_us) == ("ended", START_US, START_US + 70 * SECOND_US)
    assert ended(scans, 1000) == []


def test_what_comes_after_the_end_is_a_new_scan() -> None:
    scans = reports()
    states(scans, finding())
    ended(scans, 60)
    assert states(scans, finding(at=61)) == ["new"]


def test_a_slow_scan_is_given_more_time() -> None:
    scans = reports()
    states(scans, finding(technique="slow"), finding(source=FRIEND))
    assert [report.finding.record.source for report in ended(scans, 3599)] == [FRIEND]
    (report,) = ended(scans, 3600)
    assert (report.state, report.finding.record.source) == ("ended", SCANNER)


def test_a_scan_that_slows_down_is_the_same_scan() -> None:
    scans = reports()
    assert states(scans, finding(), finding(technique="slow", at=30), finding(at=50)) == ["new", None, None]
    assert [report.time_us for report in ended(scans, 5000)] == [START_US + 110 * SECOND_US]


def test_ends_are_reported_in_the_order_of_time() -> None:
    scans = reports()
    states(scans, finding(technique="slow"), *(finding(source=f"198.51.100.{n}", at=3570) for n in (1, 2)))
    times = [report.time_us for report in ended(scans, 5000)]
    assert times == sorted(times)
    assert len(times) == 3


def test_retracted_evidence_ends_without_a_ban() -> None:
    scans = reports()
    one = finding(8)
    states(scans, one)
    grow(one.record, 7)
    (report,) = ended(scans, 60)
    assert (report.finding.bannable, report.finding.reason) == (False, "withdrawn")


def test_evidence_that_still_stands_ends_as_it_began() -> None:
    scans = reports()
    one = finding(8)
    states(scans, one)
    (report,) = ended(scans, 60)
    assert (report.finding.bannable, report.finding.reason) == (True, "ports_in_window")


def test_an_evicted_source_ends_without_a_line() -> None:
    scans = reports()
    one = finding(8)
    states(scans, one)
    one.record.evicted = True
    assert ended(scans, 500) == []


def test_a_touched_trap_has_no_end() -> None:
    scans = reports()
    assert states(scans, finding(technique="trap", weight=1)) == ["new"]
    assert ended(scans, 500) == []


def test_a_trap_and_a_scan_of_one_source_are_reported_apart() -> None:
    scans = reports()
    assert states(scans, finding(technique="trap"), finding()) == ["new", "new"]


def test_sources_are_reported_apart() -> None:
    scans = reports()
    assert states(scans, finding(), finding(source=FRIEND), finding()) == ["new", "new", None]


def test_directions_are_reported_apart() -> None:
    scans = reports()
    outbound = finding()
    record = dataclasses.replace(outbound.record, direction="outbound")
    assert states(scans, finding(), outbound._replace(record=record)) == ["new", "new"]


def test_scans_are_bounded() -> None:
    scans = reports(max_scans=16)
    for last in range(20):
        states(scans, finding(source=f"203.0.113.{last}"))
    assert len(list(scans.open_scans())) == len(ended(scans, 500)) == 16


def at(second: float, kind: Kind = Kind.PROBE) -> Sighting:
    return sighting(kind, 22, source=SCANNER, at=second)


def test_a_source_that_was_just_reported_is_suppressed() -> None:
    scans = reports()
    assert scans.suppressed_until(at(0)) is None
    states(scans, finding())
    assert scans.suppressed_until(at(10)) == START_US + 40 * SECOND_US
    assert scans.suppressed_until(at(59)) == START_US + 60 * SECOND_US
    assert scans.suppressed_until(at(60)) is None
    assert scans.suppressed_until(sighting(Kind.PROBE, 22, source=FRIEND, at=1)) is None


def test_a_source_that_was_not_banned_is_not_suppressed() -> None:
    scans = reports()
    states(scans, finding(bannable=False), finding(technique="trap"))
    assert scans.suppressed_until(at(1)) is None


def test_a_suppressed_scan_goes_on() -> None:
    scans = reports()
    states(scans, finding())
    assert scans.suppressed_until(at(50))
    scans.touch(at(50))
    assert scans.suppressed_until(at(55, Kind.REFUSED))
    assert ended(scans, 109) == []
    (report,) = ended(scans, 110)
    assert (report.time_us, report.finding.sighting) == (START_US + 110 * SECOND_US, at(50))


def strangers(count: int, *, at: float = 0) -> list[Finding]:
    return [finding(source=f"198.18.{number // 250}.{number % 250}", at=at) for number in range(count)]


def test_beyond_the_rate_limit_a_scan_is_reported_with_a_later_probe() -> None:
    scans = ScanTracker(Lines(scans_per_second=4), 100)
    assert states(scans, *strangers(40)) == ["new"] * 31 + [None] * 9
    assert states(scans, finding(at=0.1), finding(at=0.3), finding(at=0.31)) == [None, "new", None]


def test_beyond_the_rate_limit_a_reported_scan_is_not_forgotten() -> None:
    scans = ScanTracker(Lines(scans_per_second=4, repeat_seconds=60, quiet_seconds=60), 100)
    assert states(scans, finding(bannable=False), finding(bannable=False, at=59)) == ["new", None]
    assert states(scans, *strangers(40, at=60))[30:] == ["new"] + [None] * 9
    assert states(scans, finding(at=60.1), finding(at=60.3)) == [None, "changed"]


def test_a_verified_source_has_no_rate_limit() -> None:
    scans = ScanTracker(Lines(scans_per_second=1), 100)
    states(scans, *strangers(20))
    assert scans.is_spent(at(0), SourceRecord(SCANNER, "inbound", START_US, START_US))
    record = grow(SourceRecord(SCANNER, "inbound", START_US, START_US, trap_answered=True), 8)
    assert not scans.is_spent(at(0), record)
    assert states(scans, finding(record=record)) == ["new"]
