"""Judgements about scans, and a tracker that makes lines of them."""

import dataclasses
from collections.abc import Iterable

from portsentry_py.config.settings import Bans, Limits, Lines, Settings
from portsentry_py.core.finding import Finding
from portsentry_py.core.policy import Judgement
from portsentry_py.core.scan_tracker import Report, ScanTracker
from portsentry_py.core.sighting import Kind, Sighting
from portsentry_py.core.source_record import Attempt, Counts, Endpoint, SourceRecord, StackFingerprint
from portsentry_py.events.model import Reason, ScanType, Technique, Verdict
from tests.support.build import HOST, SCANNER, START_US, micros
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
    """All reports that the judgements make."""
    return [report for one in judgements for report in scans.observe(one)]


def states(scans: ScanTracker, *judgements: Judgement) -> list[str | None]:
    """The state of each judgement's report, None where there is none."""
    return [next((report.state for report in scans.observe(one)), None) for one in judgements]


def verdicts(reports: Iterable[Report]) -> list[tuple[str, str, str]]:
    """The state of each report, its verdict, and the rule that gave it."""
    return [(one.state, one.judgement.verdict, one.judgement.reason) for one in reports]


def ended(scans: ScanTracker, at: float) -> list[Report]:
    """What ends until that second."""
    return list(scans.advance(micros(at)))


def source_of(report: Report) -> str:
    """The address that a report is about."""
    return report.judgement.finding.record.source


def outbound(*, at: float = 0) -> Judgement:
    """A judgement of a scan by this host."""
    record = dataclasses.replace(source_record(), direction="outbound")
    return judged(record=record, verdict="watch", reason="outbound", at=at)


def at(second: float, kind: Kind = Kind.PROBE) -> Sighting:
    """A sighting of the scanner at that second."""
    return sighting(kind, 22, source=SCANNER, at=second)


def strangers(count: int, *, at: float = 0) -> list[Judgement]:
    """A judgement of each of so many scanners, 250 in a network."""
    return [judged(source=f"198.18.{number // 250}.{number % 250}", at=at) for number in range(count)]
