"""The sources that the log and the state file know, one row each."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from ipaddress import ip_network

from portsentry_py.config.settings import Networks
from portsentry_py.report.log_reader import LogTail
from portsentry_py.state.sources import KnownSource

# A spreadsheet takes a cell that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRow:
    """One source; its numbers are those of the log or the state file, whichever is later.

    Attributes:
        source: an IPv4 address, or an IPv6 /64.
        verdict, reason: of the log; `none` and empty without a line.
        sample: some of its ports.
        first_seen, last_seen: UTC, as in the log.
        known_from: `log`, `state` or `both`.
    """

    source: str
    verdict: str
    reason: str
    technique: str
    scan_type: str
    ports: int
    sample: tuple[int, ...]
    hosts: int
    attempts: int
    score: int
    tool: str
    src_known: str
    first_seen: str
    last_seen: str
    known_from: str


@dataclass(frozen=True, slots=True)
class SourceFilter:
    """A source has to meet every condition. Times are as in the log; an empty one is no condition."""

    networks: Networks = ()
    verdicts: frozenset[str] = frozenset()
    ports: frozenset[int] = frozenset()
    min_ports: int = 0
    min_attempts: int = 0
    min_score: int = 0
    seen_since: str = ""

    def takes(self, row: SourceRow) -> bool:
        """Whether the reader wants this source."""
        return (
            row.ports >= self.min_ports
            and row.attempts >= self.min_attempts
            and row.score >= self.min_score
            and row.last_seen >= self.seen_since
            and (not self.verdicts or row.verdict in self.verdicts)
            and (not self.ports or not self.ports.isdisjoint(row.sample))
            and (not self.networks or self._holds(row.source))
        )

    def _holds(self, source: str) -> bool:
        own = ip_network(source)
        return any(own.version == network.version and own.overlaps(network) for network in self.networks)


def list_sources(log: LogTail, remembered: Iterable[KnownSource], wanted: SourceFilter) -> list[SourceRow]:
    """The sources that the reader wants, the latest first."""
    known = {one.source: one for one in remembered if one.direction == "inbound"}
    rows = [_of_log(source, log, known.pop(source, None)) for source in log.sources]
    rows += map(_of_state, known.values())
    return sorted(filter(wanted.takes, rows), key=lambda row: row.last_seen, reverse=True)


def as_json(rows: Iterable[SourceRow]) -> Iterator[str]:
    """One JSON object for each source."""
    return (json.dumps(asdict(row), separators=(",", ":")) for row in rows)


def as_csv(rows: Iterable[SourceRow]) -> Iterator[str]:
    """A line of names, then one for each source. No cell is a formula to a spreadsheet."""
    names = [item.name for item in fields(SourceRow)]
    yield ",".join(names)
    for row in rows:
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(map(_cell, (getattr(row, name) for name in names)))
        yield line.getvalue()


def _cell(content: object) -> str:
    text = " ".join(map(str, content)) if isinstance(content, tuple) else str(content)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _of_log(source: str, log: LogTail, known: KnownSource | None) -> SourceRow:
    line = log.sources[source]
    deciding = log.bans.get(source, line) if line.reason == "ended" else line
    row = SourceRow(
        source=source,
        verdict=deciding.verdict,
        reason=deciding.reason,
        technique=line.technique,
        scan_type=line.scan_type,
        ports=line.ports,
        sample=line.ports_sample,
        hosts=line.hosts,
        attempts=line.attempts,
        score=line.score,
        tool=line.tool or "",
        src_known=line.src_known or "",
        first_seen=line.first_seen,
        last_seen=line.last_seen,
        known_from="both" if known else "log",
    )
    return row if known is None or known.last_seen <= line.last_seen else _newer(row, known)


def _of_state(known: KnownSource) -> SourceRow:
    return SourceRow(
        source=known.source,
        verdict="none",
        reason="",
        technique="",
        scan_type=known.scan_type,
        ports=known.ports,
        sample=known.sample,
        hosts=known.hosts,
        attempts=known.attempts,
        score=known.score,
        tool=known.tool or "",
        src_known="",
        first_seen=known.first_seen,
        last_seen=known.last_seen,
        known_from="state",
    )


def _newer(row: SourceRow, known: KnownSource) -> SourceRow:
    return replace(
        row,
        ports=known.ports,
        sample=known.sample,
        hosts=known.hosts,
        attempts=known.attempts,
        score=known.score,
        tool=known.tool or "",
        last_seen=known.last_seen,
    )
