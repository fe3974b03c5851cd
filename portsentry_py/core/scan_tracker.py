"""Findings in, reports out: which of the findings about a scan deserve a line.

A scan is reported when it is certain, when its evidence becomes enough for a ban, more and more rarely while
it goes on (a line may have been lost in a rotation, a ban may have expired), and when it has ended. A banned
scanner is still seen on the wire: whatever it does, it must not fill fail2ban's log with "already banned".
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import merge
from typing import NamedTuple

from portsentry_py.config.settings import Lines
from portsentry_py.core.finding import SCAN, TRAP, Finding, Series
from portsentry_py.core.lru_table import LruTable
from portsentry_py.core.rate_limit import ScanRateLimit
from portsentry_py.core.sighting import Sighting
from portsentry_py.core.source_record import SourceRecord
from portsentry_py.events.model import Direction, ScanType, State

_ScanKey = tuple[str, Direction, Series]

# The wait between two lines doubles up to this many times the first: still well within usual ban times.
_LONGEST_WAIT = 4


class Report(NamedTuple):
    """A finding that becomes a line, and why now."""

    state: State
    time_us: int
    first_us: int
    finding: Finding


@dataclass(slots=True)
class RepeatInterval:
    """How often one source is spoken of while it goes on."""

    said_us: int
    wait_us: int
    longest_us: int

    def due(self, now_us: int) -> bool:
        """Whether it is time for a line."""
        return now_us - self.said_us >= self.wait_us

    def speak(self, now_us: int) -> None:
        """A line is written, and if it was time for it, the next wait is longer."""
        if self.due(now_us):
            self.wait_us = min(2 * self.wait_us, self.longest_us)
        self.said_us = now_us


@dataclass(slots=True)
class Scan:
    """What was said about one scan so far."""

    first_us: int
    last: Finding
    last_probe: Sighting
    first_weight: int
    pace: RepeatInterval
    said_types: set[ScanType]
    said_bannable: bool
    next_weight: int


class ScanTracker:
    """Decides when a finding is worth a line; bounded in scans."""

    def __init__(self, settings: Lines, max_scans: int) -> None:
        self._repeat_us = settings.repeat_seconds * 1_000_000
        self._quiet_us = settings.quiet_seconds * 1_000_000
        # A slow scan is quiet between two probes: it ends later, so it has a table of its own.
        self._fast: LruTable[_ScanKey, Scan] = LruTable(max_scans)
        self._slow: LruTable[_ScanKey, Scan] = LruTable(max_scans)
        self._slow_quiet_us = settings.slow_quiet_seconds * 1_000_000
        self._limit = ScanRateLimit(settings)

    @property
    def evicted(self) -> int:
        """Scans whose end will not be told because there were too many."""
        return self._fast.evicted + self._slow.evicted

    def observe(self, finding: Finding) -> Iterator[Report]:
        """The report that a finding makes, if any."""
        now_us = finding.sighting.time_us
        key = _key(finding)
        scan = self._fast.pop(key) or self._slow.pop(key)
        if scan is not None:
            scan.last, scan.last_probe = finding, finding.sighting
        state: State | None = "new" if scan is None else self._state(scan, finding)
        if state is not None and not self._may_speak(finding):
            state = None
        if scan is None:
            if state is None:
                return
            first_us, pace = self._began_us(finding), self._pace(key, now_us)
            scan = Scan(first_us, finding, finding.sighting, finding.weight, pace, set(), finding.bannable, 0)
        (self._slow if finding.technique == "slow" else self._fast).put(key, scan)
        if state is not None:
            scan.pace.speak(now_us)
            scan.said_types.add(finding.scan_type)
            scan.said_bannable = scan.said_bannable or finding.bannable
            if state in {"new", "grown"}:
                scan.next_weight = _next_power_of_ten(10 * finding.weight)
            yield Report(state, now_us, scan.first_us, finding)

    def open_scans(self) -> Iterator[Scan]:
        """The scans that have not ended."""
        for scans in (self._fast, self._slow):
            yield from (scan for _, scan in scans.items())

    def restore(self, scans: Iterable[Scan]) -> None:
        """Take open scans of an earlier run, before any other."""
        for scan in sorted(scans, key=lambda one: one.last_probe.time_us):
            key = _key(scan.last)
            wait_us, scan.pace = scan.pace.wait_us, self._pace(key, scan.pace.said_us)
            # The settings may have been others.
            scan.pace.wait_us = max(self._repeat_us, min(wait_us, scan.pace.longest_us))
            (self._slow if scan.last.technique == "slow" else self._fast).put(key, scan)

    def _may_speak(self, finding: Finding) -> bool:
        if _is_proven(finding.record):
            return True
        return self._limit.allows(finding.sighting.time_us, finding.record.probes, bans=finding.bannable)

    def is_spent(self, sighting: Sighting, record: SourceRecord) -> bool:
        """Whether so many lines were written that there is none for this source now, whatever it did."""
        return not _is_proven(record) and self._limit.is_spent(sighting.time_us, record.probes)

    def suppressed_until(self, sighting: Sighting) -> int | None:
        """Until when its source can make no line: it scans, may be banned, and was just spoken of. Else None.

        It need not be looked at until then, if `touch` is told of its probes. The time is in microseconds
        since 1970, and so near that the end of the scan cannot come before it.
        """
        key = (sighting.source, sighting.direction, SCAN)
        scan = self._fast.peek(key) or self._slow.peek(key)
        if scan is None or not scan.said_bannable or scan.pace.due(sighting.time_us):
            return None
        return min(scan.pace.said_us + scan.pace.wait_us, sighting.time_us + self._quiet_us // 2)

    def touch(self, sighting: Sighting) -> None:
        """A probe of a source that is suppressed: its scan has not ended."""
        key = (sighting.source, sighting.direction, SCAN)
        scan = self._fast.touch(key) or self._slow.touch(key)
        if scan is not None:
            scan.last_probe = sighting

    def advance(self, now_us: int) -> Iterator[Report]:
        """Time has come to `now_us`: scans that have been quiet for long enough have ended."""
        # Asked for every packet, and mostly there is nothing to say.
        if not (_due(self._fast, self._quiet_us, now_us) or _due(self._slow, self._slow_quiet_us, now_us)):
            return
        yield from merge(
            self._ended(self._fast, self._quiet_us, now_us),
            self._ended(self._slow, self._slow_quiet_us, now_us),
            key=lambda report: report.time_us,
        )

    @staticmethod
    def _ended(scans: LruTable[_ScanKey, Scan], quiet_us: int, now_us: int) -> Iterator[Report]:
        while (due := _due(scans, quiet_us, now_us)) is not None:
            key, scan = due
            ended_us = scan.last_probe.time_us + quiet_us
            scans.pop(key)
            # Nothing is known of a source any more whose record was evicted.
            if scan.last.series.has_end and not scan.last.record.evicted:
                withdrawn = scan.last.weight < scan.first_weight
                finding = scan.last._replace(sighting=scan.last_probe)
                if withdrawn:
                    finding = finding._replace(bannable=False, reason="withdrawn")
                yield Report("ended", ended_us, scan.first_us, finding)

    def _began_us(self, finding: Finding) -> int:
        """When the scan began: before it, the source had been quiet for as long as ends a scan."""
        quiet_us = self._slow_quiet_us if finding.technique == "slow" else self._quiet_us
        began_us = finding.sighting.time_us
        for attempt in reversed(finding.record.unserved.values()):
            if abs(began_us - attempt.last_us) > quiet_us:
                return began_us
            began_us = attempt.last_us
        return finding.record.first_us

    def _pace(self, key: _ScanKey, now_us: int) -> RepeatInterval:
        """The series of one source share one interval."""
        source, direction, series = key
        other = (source, direction, SCAN if series is TRAP else TRAP)
        told = self._fast.peek(other) or self._slow.peek(other)
        return told.pace if told else RepeatInterval(now_us, self._repeat_us, _LONGEST_WAIT * self._repeat_us)

    @staticmethod
    def _state(scan: Scan, finding: Finding) -> State | None:
        if finding.bannable and not scan.said_bannable:
            return "changed"
        if not scan.pace.due(finding.sighting.time_us):
            return None
        if finding.scan_type not in scan.said_types:
            return "changed"
        return "grown" if finding.weight >= scan.next_weight else "ongoing"


def _due(scans: LruTable[_ScanKey, Scan], quiet_us: int, now_us: int) -> tuple[_ScanKey, Scan] | None:
    """The scan that was quiet for longest, if that is long enough."""
    oldest = scans.oldest()
    if oldest is None or oldest[1].last_probe.time_us + quiet_us > now_us:
        return None
    return oldest


def _is_proven(record: SourceRecord) -> bool:
    """Whether nobody else can have sent this: its lines cost whoever sends it an address."""
    return record.verified or record.direction == "outbound"


def _key(finding: Finding) -> _ScanKey:
    return (finding.record.source, finding.record.direction, finding.series)


def _next_power_of_ten(weight: int) -> int:
    power = 10
    while power < weight:
        power *= 10
    return power
