"""Findings in, reports out: which of the findings about a scan deserve a line.

A scan is reported when it is certain, when it has grown tenfold, when its type or its verdict changes,
once in a while as long as it goes on (a line may have been lost in a rotation, a ban may have expired),
and when it has ended. A banned scanner is still seen on the wire and must not flood fail2ban.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from portsentry_py.finding import Finding
from portsentry_py.settings import Lines
from portsentry_py.tables import BoundedTable


class Report(NamedTuple):
    """A finding that becomes a line, and why now."""

    state: str  # new, changed, grown, ongoing, ended
    time_us: int
    first_us: int
    finding: Finding


@dataclass(slots=True)
class _Scan:
    """What was said about one scan so far."""

    first_us: int
    last: Finding
    said_us: int
    said_types: set[str]
    said_bannable: bool
    next_weight: int


class ScanReports:
    """Decides when a finding is worth a line; bounded in scans."""

    def __init__(self, settings: Lines, max_scans: int) -> None:
        self._repeat_us = settings.repeat_seconds * 1_000_000
        self._quiet_us = settings.quiet_seconds * 1_000_000
        self._scans: BoundedTable[tuple[str, str, bool], _Scan] = BoundedTable(max_scans)

    @property
    def evicted(self) -> int:
        """Scans whose end will not be told because there were too many."""
        return self._scans.evicted

    def observe(self, finding: Finding) -> Iterator[Report]:
        """The report that a finding makes, if any."""
        now_us = finding.sighting.time_us
        key = _key(finding)
        scan = self._scans.touch(key)
        if scan is None:
            scan = _Scan(finding.record.first_us, finding, now_us, set(), finding.bannable, 0)
            self._scans.put(key, scan)
            state: str | None = "new"
        else:
            scan.last = finding
            state = self._state(scan, finding)
        if state is not None:
            scan.said_us = now_us
            scan.said_types.add(finding.scan_type)
            scan.said_bannable = scan.said_bannable or finding.bannable
            scan.next_weight = _next_power_of_ten(10 * finding.weight)
            yield Report(state, now_us, scan.first_us, finding)

    def advance(self, now_us: int) -> Iterator[Report]:
        """Time has come to `now_us`: scans that have been quiet for long enough have ended."""
        while (oldest := self._scans.oldest()) is not None:
            key, scan = oldest
            ended_us = scan.last.sighting.time_us + self._quiet_us
            if ended_us > now_us:
                return
            self._scans.pop(key)
            if scan.last.technique != "trap":  # a touch has no end
                yield Report("ended", ended_us, scan.first_us, scan.last)

    def _state(self, scan: _Scan, finding: Finding) -> str | None:
        if finding.scan_type not in scan.said_types or (finding.bannable and not scan.said_bannable):
            return "changed"
        if finding.weight >= scan.next_weight:
            return "grown"
        if finding.sighting.time_us - scan.said_us >= self._repeat_us:
            return "ongoing"
        return None


def _key(finding: Finding) -> tuple[str, str, bool]:
    return (finding.record.source, finding.record.direction, finding.technique == "trap")


def _next_power_of_ten(weight: int) -> int:
    power = 10
    while power < weight:
        power *= 10
    return power
