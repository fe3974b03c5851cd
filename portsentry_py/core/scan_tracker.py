"""Findings in, reports out: decides which findings about a scan become lines.

A scan is reported when it is certain, when its evidence becomes enough for a ban, more and more rarely while
it goes on (a rotation may lose a line, a ban may expire), and when it ends. A banned scanner is still seen on
the wire: whatever it sends, it must not fill fail2ban's log with "already banned".
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

# The interval doubles up to this many times the first: still well within usual ban times.
_LONGEST_INTERVAL = 4


class Report(NamedTuple):
    """A finding that becomes a line, and why now."""

    state: State
    time_us: int
    first_us: int
    finding: Finding


@dataclass(slots=True)
class RepeatInterval:
    """The time between two lines about one source."""

    reported_us: int
    wait_us: int
    longest_us: int

    def is_over(self, now_us: int) -> bool:
        """Whether the next line is due."""
        return now_us - self.reported_us >= self.wait_us

    def restart(self, now_us: int) -> None:
        """A line is written; if it was due, the next wait is longer."""
        if self.is_over(now_us):
            self.wait_us = min(2 * self.wait_us, self.longest_us)
        self.reported_us = now_us


@dataclass(slots=True)
class Scan:
    """What was reported about one scan.

    Attributes:
        last: the last finding, with the last probe that a detector judged.
        last_probe: the last probe, judged or only counted.
        first_weight: the weight at the first report.
        next_weight: the weight at which the next report has the state `grown`.
    """

    first_us: int
    last: Finding
    last_probe: Sighting
    first_weight: int
    interval: RepeatInterval
    reported_types: set[ScanType]
    reported_bannable: bool
    next_weight: int


class ScanTracker:
    """Follows each scan from its first report to its end; bounded in scans."""

    def __init__(self, settings: Lines, max_scans: int) -> None:
        self._repeat_us = settings.repeat_seconds * 1_000_000
        self._quiet_us = settings.quiet_seconds * 1_000_000
        self._slow_quiet_us = settings.slow_quiet_seconds * 1_000_000
        # A slow scan is quiet between two probes, so it ends later and has a table of its own.
        self._fast: LruTable[_ScanKey, Scan] = LruTable(max_scans)
        self._slow: LruTable[_ScanKey, Scan] = LruTable(max_scans)
        self._limit = ScanRateLimit(settings)

    def observe(self, finding: Finding) -> Iterator[Report]:
        """The report of a finding, if any."""
        now_us = finding.sighting.time_us
        key = _key(finding)
        scan = self._fast.pop(key) or self._slow.pop(key)
        if scan is not None:
            scan.last, scan.last_probe = finding, finding.sighting
        state: State | None = "new" if scan is None else _state(scan, finding)
        if state is not None and not self._takes_token(finding):
            state = None
        if scan is None:
            if state is None:
                return
            scan = self._new_scan(key, finding)
        self._put(key, scan)
        if state is not None:
            scan.interval.restart(now_us)
            scan.reported_types.add(finding.scan_type)
            scan.reported_bannable = scan.reported_bannable or finding.bannable
            if state in {"new", "grown"}:
                scan.next_weight = _next_power_of_ten(10 * finding.weight)
            yield Report(state, now_us, scan.first_us, finding)

    def _new_scan(self, key: _ScanKey, finding: Finding) -> Scan:
        return Scan(
            first_us=self._began_us(finding),
            last=finding,
            last_probe=finding.sighting,
            first_weight=finding.weight,
            interval=self._interval(key, finding.sighting.time_us),
            reported_types=set(),
            reported_bannable=finding.bannable,
            next_weight=0,
        )

    def _put(self, key: _ScanKey, scan: Scan) -> None:
        (self._slow if scan.last.technique == "slow" else self._fast).put(key, scan)

    def open_scans(self) -> Iterator[Scan]:
        """The scans that have not ended."""
        for scans in (self._fast, self._slow):
            yield from (scan for _, scan in scans.items())

    def restore(self, scans: Iterable[Scan]) -> None:
        """Take the open scans of an earlier run, before the first finding."""
        for scan in sorted(scans, key=lambda one: one.last_probe.time_us):
            key = _key(scan.last)
            wait_us, scan.interval = scan.interval.wait_us, self._interval(key, scan.interval.reported_us)
            # The settings may have changed.
            scan.interval.wait_us = max(self._repeat_us, min(wait_us, scan.interval.longest_us))
            self._put(key, scan)

    def _takes_token(self, finding: Finding) -> bool:
        """Whether the rate limit allows a line."""
        if _is_proven(finding.record):
            return True
        return self._limit.allows(finding.sighting.time_us, finding.record.probes, bans=finding.bannable)

    def is_spent(self, sighting: Sighting, record: SourceRecord) -> bool:
        """Whether the rate limit leaves no line for this source now, whatever it does."""
        return not _is_proven(record) and self._limit.is_spent(sighting.time_us, record.probes)

    def suppressed_until(self, sighting: Sighting) -> int | None:
        """The time until which the source can make no line: its scan was just reported and may be banned.

        None if it is not suppressed. Until then its probes need not be judged, if `touch` gets the last one.
        The time, in microseconds since 1970, is so near that the scan cannot end before it.
        """
        key = (sighting.source, sighting.direction, SCAN)
        scan = self._fast.peek(key) or self._slow.peek(key)
        if scan is None or not scan.reported_bannable or scan.interval.is_over(sighting.time_us):
            return None
        next_us = scan.interval.reported_us + scan.interval.wait_us
        return min(next_us, sighting.time_us + self._quiet_us // 2)

    def touch(self, sighting: Sighting) -> None:
        """A probe of a suppressed source: its scan has not ended."""
        key = (sighting.source, sighting.direction, SCAN)
        scan = self._fast.touch(key) or self._slow.touch(key)
        if scan is not None:
            scan.last_probe = sighting

    def advance(self, now_us: int) -> Iterator[Report]:
        """The time is `now_us`: scans without a probe for long enough have ended."""
        # Called for each packet, mostly in vain.
        if not (_due(self._fast, self._quiet_us, now_us) or _due(self._slow, self._slow_quiet_us, now_us)):
            return
        yield from merge(
            _ended(self._fast, self._quiet_us, now_us),
            _ended(self._slow, self._slow_quiet_us, now_us),
            key=lambda report: report.time_us,
        )

    def _began_us(self, finding: Finding) -> int:
        """The time of the first probe after a pause that ends a scan."""
        quiet_us = self._slow_quiet_us if finding.technique == "slow" else self._quiet_us
        began_us = finding.sighting.time_us
        for attempt in reversed(finding.record.unserved.values()):
            if abs(began_us - attempt.last_us) > quiet_us:
                return began_us
            began_us = attempt.last_us
        return finding.record.first_us

    def _interval(self, key: _ScanKey, now_us: int) -> RepeatInterval:
        """The interval of the source: its series share one."""
        source, direction, series = key
        other = (source, direction, SCAN if series is TRAP else TRAP)
        scan = self._fast.peek(other) or self._slow.peek(other)
        if scan is not None:
            return scan.interval
        return RepeatInterval(now_us, self._repeat_us, _LONGEST_INTERVAL * self._repeat_us)


def _state(scan: Scan, finding: Finding) -> State | None:
    """Why the finding deserves a line; None if it does not."""
    if finding.bannable and not scan.reported_bannable:
        return "changed"
    if not scan.interval.is_over(finding.sighting.time_us):
        return None
    if finding.scan_type not in scan.reported_types:
        return "changed"
    return "grown" if finding.weight >= scan.next_weight else "ongoing"


def _ended(scans: LruTable[_ScanKey, Scan], quiet_us: int, now_us: int) -> Iterator[Report]:
    while (due := _due(scans, quiet_us, now_us)) is not None:
        key, scan = due
        ended_us = scan.last_probe.time_us + quiet_us
        scans.pop(key)
        # If the record was evicted, nothing is known of the source any more.
        if scan.last.series.has_end and not scan.last.record.evicted:
            is_withdrawn = scan.last.weight < scan.first_weight
            finding = scan.last._replace(sighting=scan.last_probe)
            if is_withdrawn:
                finding = finding._replace(bannable=False, reason="withdrawn")
            yield Report("ended", ended_us, scan.first_us, finding)


def _due(scans: LruTable[_ScanKey, Scan], quiet_us: int, now_us: int) -> tuple[_ScanKey, Scan] | None:
    """The scan without a probe for the longest time, if that is long enough."""
    oldest = scans.oldest()
    if oldest is None or oldest[1].last_probe.time_us + quiet_us > now_us:
        return None
    return oldest


def _is_proven(record: SourceRecord) -> bool:
    """Whether the source address is proven: each line about it costs the sender an address."""
    return record.verified or record.direction == "outbound"


def _key(finding: Finding) -> _ScanKey:
    return (finding.record.source, finding.record.direction, finding.series)


def _next_power_of_ten(weight: int) -> int:
    power = 10
    while power < weight:
        power *= 10
    return power
