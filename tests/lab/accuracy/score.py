"""What was said about a capture, judged against its label."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from ipaddress import ip_address

from portsentry_py.errors import InputError
from portsentry_py.events.model import Event, EvidenceEvent
from tests.lab.support.labelled import Capture

_DATE = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclass
class Score:
    """What came out, and whether it was right. Fields that do not apply to a label stay None."""

    name: str
    label: str
    strength: str
    scan_types: tuple[str, ...]
    detected: bool | None = None
    right_source: bool | None = None
    right_type: bool | None = None
    verdict: str | None = None
    named_type: str | None = None
    technique: str | None = None
    probes: int | None = None
    seconds: float | None = None
    false_positives: list[str] = field(default_factory=list)
    unreadable: str | None = None


def unreadable(capture: Capture, error: InputError) -> Score:
    """The score of a capture that tshark cannot read."""
    reason = str(error).partition(": ")[2]
    return Score(capture.name, capture.label, capture.strength, capture.scan_types, unreadable=reason)


def judged(capture: Capture, events: Iterable[Event]) -> Score:
    """Judge what was said about a capture."""
    result = Score(capture.name, capture.label, capture.strength, capture.scan_types)
    lines = [event for event in events if isinstance(event, EvidenceEvent)]
    if capture.label == "positive":
        _judge_positive(result, capture, lines)
    else:
        result.false_positives = _named(lines, {"ban", "watch"})
    return result


def _judge_positive(result: Score, capture: Capture, lines: list[EvidenceEvent]) -> None:
    # Decoys may be watched; only the scanner may be banned.
    result.false_positives = [source for source in _named(lines, {"ban"}) if not _is_scanner(source, capture.scanners)]
    result.right_source = not result.false_positives
    first = next(
        (line for line in lines if line.event_type == "scan" and _is_scanner(line.src_ip, capture.scanners)), None
    )
    result.detected = first is not None
    if first is None:
        return
    result.verdict = first.verdict
    result.named_type = first.scan_type
    result.technique = first.technique
    result.probes = first.attempts - first.open
    result.seconds = round((_time(first.last_seen) - _time(first.first_seen)).total_seconds(), 3)
    said = {line.scan_type for line in lines if line.event_type == "scan" and line.src_ip == first.src_ip}
    result.right_type = not capture.right_types or bool(said & capture.right_types)


def _is_scanner(source: str, scanners: frozenset[str]) -> bool:
    return any(_same(source, scanner) for scanner in scanners) or not any(map(_is_address, scanners))


def _same(source: str, scanner: str) -> bool:
    return _is_address(scanner) and ip_address(source) == ip_address(scanner)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _named(events: Iterable[Event], verdicts: set[str]) -> list[str]:
    return sorted({event.src_ip for event in events if isinstance(event, EvidenceEvent) and event.verdict in verdicts})


def _time(text: str) -> datetime:
    return datetime.strptime(text, _DATE).replace(tzinfo=timezone.utc)
