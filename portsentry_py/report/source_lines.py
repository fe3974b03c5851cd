"""What the end of the log says about one source."""

import re
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import NamedTuple

from portsentry_py.config.settings import Network
from portsentry_py.errors import InputError, UsageError
from portsentry_py.events.model import ConnectionEvent, EvidenceEvent, SourceEvent
from portsentry_py.report.log_reader import LIMIT_BYTES, LogPart, read_end, read_event
from portsentry_py.report.period import moment_us

_EVENT_ID = re.compile(r"[0-9a-f]{16}", re.ASCII)
_MOST_LINES = 1_000
_SEVERITY = {"ignore": 1, "watch": 2, "ban": 3}


@dataclass(slots=True)
class SourceLines(LogPart):
    """The lines about one source.

    Attributes:
        wanted: whether a line is about it.
        lines: the latest scan and trap lines, the newest first.
        outcomes: its connection lines by what became of the attempt.
    """

    wanted: Callable[[SourceEvent], bool] = bool
    lines: list[EvidenceEvent] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)

    def take(self, line: bytes) -> None:
        """Add a line that is older than all lines before it."""
        event = read_event(line)
        self.last_line = self.last_line or event.timestamp
        self.first_line = event.timestamp
        if not isinstance(event, SourceEvent) or not self.wanted(event):
            return
        if isinstance(event, ConnectionEvent):
            self.outcomes[event.outcome] += 1
        elif isinstance(event, EvidenceEvent) and len(self.lines) < _MOST_LINES:
            self.lines.append(event)

    @property
    def deciding(self) -> EvidenceEvent | None:
        """The most severe of the last lines of each technique; a line about an end decides only if it is alone."""
        last: dict[str, EvidenceEvent] = {}
        for line in self.lines:
            if line.state != "ended":
                last.setdefault(line.technique, line)
        found = list(last.values()) or self.lines[:1]
        return max(found, key=lambda line: _SEVERITY.get(line.verdict, 0), default=None)


def read_source(path: Path, network: Network, limit: int = LIMIT_BYTES) -> SourceLines:
    """The lines about an address or network.

    Raises:
        InputError, PermissionDenied: the log cannot be read.
    """
    return read_end(SourceLines(path, wanted=lambda event: _is_about(event, network)), limit)


class Subject(NamedTuple):
    """What a query is about.

    Attributes:
        network: the source.
        span_us: the first and the last moment of the scan, in microseconds since 1970; None if no scan was named.
    """

    network: Network
    span_us: tuple[int, int] | None = None


def subject_of_query(path: Path, query: str, limit: int = LIMIT_BYTES) -> Subject:
    """The source that an address, a network or an `event_id` means.

    Raises:
        UsageError: it is none of them.
        InputError: the log has no line with this `event_id`, or cannot be read.
        PermissionDenied: the user may not read the log.
    """
    if _EVENT_ID.fullmatch(query):
        return _subject_of_event(path, query, limit)
    with suppress(ValueError):
        if "%" not in query:  # a zone can be any text
            return Subject(ip_network(query))
    raise UsageError(f"{query}: neither an address nor an event_id; give one of the log.")


def _subject_of_event(path: Path, event_id: str, limit: int) -> Subject:
    found = read_end(SourceLines(path, wanted=lambda event: getattr(event, "event_id", "") == event_id), limit).lines
    if not found:
        raise InputError(f"{path}: the end of the log has no line with event_id {event_id}; give the address.")
    first, last = min(line.first_seen for line in found), max(line.last_seen for line in found)
    return Subject(ip_network(source_of(found[0])), (moment_us(first, 0, "--log"), moment_us(last, 0, "--log")))


def source_of(line: EvidenceEvent) -> str:
    """The source of a line as fail2ban bans it: an IPv4 address, or an IPv6 /64 or address."""
    return line.src_net if line.src_net.endswith("/64") else line.src_ip


def _is_about(event: SourceEvent, network: Network) -> bool:
    if ip_address(event.src_ip) in network:
        return True
    if not isinstance(event, EvidenceEvent):
        return False
    if event.group_net == str(network):
        return True
    return ":" in event.src_ip and network.network_address in ip_network(event.src_net)
