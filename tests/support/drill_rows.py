"""Rows of the drill, and lines about their sources."""

from typing import Any

from portsentry_py.checks.drill.row import Row
from portsentry_py.checks.drill.techniques import Technique
from portsentry_py.events.model import EvidenceEvent
from portsentry_py.report.log_reader import read_event
from tests.support.log_lines import line

SOURCE, SOURCE6, TARGET = "198.51.100.7", "2001:db8:7:7::77", "203.0.113.1"


def event(source: str = SOURCE, **keys: object) -> EvidenceEvent:
    """A line about a source, as the log reader gives it."""
    found = read_event(line(src_ip=source, **keys))
    assert isinstance(found, EvidenceEvent)
    return found


def tried(source: str = SOURCE, technique: Technique | None = None, **fields: Any) -> Row:
    """A row of a technique that was tried."""
    version = 6 if ":" in source else 4
    return Row(technique or Technique("syn", version), source, TARGET, **fields)


def banned(source: str = SOURCE, **fields: Any) -> Row:
    """A row whose source was banned, refused, and let back in."""
    good = {"tcp": True, "udp": True, "unbanned": True, "let_in": True}
    seen = {"line": event(source), "line_seconds": 0.5, "jail": "portsentry", "ban_seconds": 1.0}
    return tried(source, **{**seen, **good, **fields})
