"""Judgements in, reports out: decides which findings about a scan become lines.

A scan is reported when it is certain, when it is to be banned, more and more rarely while it goes on (a rotation
may lose a line), and when it ends. A banned scanner is still seen on the wire: whatever it sends, it must not
fill fail2ban's log with "already banned". But if this host still answers it, the ban is not in force, and a line
comes at once. A scan for which the rate limit left no line has one when it has ended, the strongest first.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import merge
from typing import NamedTuple

from portsentry_py.config.settings import Settings
from portsentry_py.core.bans import BUDGET_REASONS, BanBudget, OwnerBuckets
from portsentry_py.core.finding import SCAN, TRAP, Finding
from portsentry_py.core.lru_table import LruTable
from portsentry_py.core.policy import Judgement
from portsentry_py.core.rate_limit import ScanRateLimit
from portsentry_py.core.sighting import Sighting
from portsentry_py.core.source_record import MAX_JUDGED, SourceRecord
from portsentry_py.core.unreported_scans import ScanKey, UnreportedScan, UnreportedScans
from portsentry_py.events.model import ScanType, State, Verdict

# The interval doubles up to this many times the first: still well within usual ban times.
_LONGEST_INTERVAL = 4
# A ban takes fail2ban a second or two; what is answered after that makes a line, five seconds after the last. If lines
# change nothing, what still answers may be the ban itself: a firewall can reject with a RST.
_BAN_TAKES_US = 2_000_000
_ANSWERED_US = 5_000_000
# A large scan that is watched is judged again after this time.
_WATCHED_US = 2_000_000
# With these verdicts, and about ourselves, further probes change nothing until the next line is due.
_FINAL: frozenset[Verdict | None] = frozenset({"ban", "ignore"})
# Lines about one ban: new, again while it goes on, ended.
_LINES_PER_BAN = 4


class Report(NamedTuple):
    """A judgement that becomes a line, and why now."""

    state: State
    time_us: int
    first_us: int
    judgement: Judgement


@dataclass(slots=True)
class RepeatInterval:
    """The time between two lines about one source.

    Attributes:
        reported_us: the time of the last line.
        wait_us: the time until the next line.
        longest_us: the longest wait.
        answered_us: when this host last answered the source.
        answered_wait_us: the time until the next line if the source is still answered.
    """

    reported_us: int
    wait_us: int
    longest_us: int
    answered_us: int = 0
    answered_wait_us: int = _ANSWERED_US

    def is_over(self, now_us: int) -> bool:
        """Whether the next line is due."""
        return now_us - self.reported_us >= self.wait_us

    def is_answered(self, now_us: int) -> bool:
        """Whether a line is due because this host still answers the source."""
        return self._is_answered_late and now_us - self.reported_us >= self.answered_wait_us

    @property
    def _is_answered_late(self) -> bool:
        """Whether this host answered the source when the ban should have been in force."""
        return self.answered_us - self.reported_us > _BAN_TAKES_US

    def restart(self, now_us: int) -> None:
        """A line is written; if it was due, the next wait is longer."""
        if self.is_answered(now_us):
            self.answered_wait_us = min(2 * self.answered_wait_us, self.longest_us)
        elif not self._is_answered_late:
            self.answered_wait_us = _ANSWERED_US
        if self.is_over(now_us):
            self.wait_us = min(2 * self.wait_us, self.longest_us)
        self.reported_us = now_us


@dataclass(slots=True)
class Scan:
    """What was reported about one scan.

    Attributes:
        last: the last judgement, with the last probe that a detector judged.
        last_probe: the last probe, judged or only counted.
        first_weight: the weight at the first report.
        next_weight: the weight at which the next report has the state `grown`.
    """

    first_us: int
    last: Judgement
    last_probe: Sighting
    first_weight: int
    interval: RepeatInterval
    reported_types: set[ScanType]
    reported_verdict: Verdict | None
    next_weight: int


class ScanTracker:
    """Follows each scan from its first report to its end; bounded in scans."""

    def __init__(self, settings: Settings) -> None:
        lines, max_scans = settings.lines, settings.limits.max_sources
        self._repeat_us = lines.repeat_seconds * 1_000_000
        self._quiet_us = lines.quiet_seconds * 1_000_000
        self._slow_quiet_us = lines.slow_quiet_seconds * 1_000_000
        # A slow scan is quiet between two probes, so it ends later and has a table of its own.
        self._fast: LruTable[ScanKey, Scan] = LruTable(max_scans)
        self._slow: LruTable[ScanKey, Scan] = LruTable(max_scans)
        self._unreported = UnreportedScans(self._quiet_us)
        self._limit = ScanRateLimit(lines)
        self._budget = BanBudget(settings.bans)
        self._verified_lines = OwnerBuckets(_LINES_PER_BAN * settings.bans.verified_per_minute)
        self._banned: LruTable[str, bool] = LruTable(max_scans)  # a set with an order
        self.is_banned = self._banned.holds
        """Whether the last line about a scan of the source has the verdict `ban`."""
        self.earliest_us = 0
        """For the limits, no time is earlier than this: for packets that waited, it is the end of the wait."""

    def present_us(self, time_us: int) -> int:
        """The time of something for the limits: a packet that waited counts at the end of its wait."""
        return max(time_us, self.earliest_us)

    def ban_budget(self, now_us: int) -> float:
        """How many unverified sources may be banned now."""
        return self._budget.level(now_us)

    def observe(self, judgement: Judgement) -> Iterator[Report]:
        """The report of a judgement, if any."""
        finding = judgement.finding
        key = _key(finding)
        scan = self._fast.pop(key) or self._slow.pop(key)
        state = _state(scan, judgement)
        if state is not None and judgement.bans and not (scan and scan.reported_verdict == "ban"):
            judgement = self._within_budget(judgement)
            state = _state(scan, judgement)  # to be over the budget is no reason for a line
        if state is not None and not self._takes_token(judgement):
            state = None
        if scan is not None:
            scan.last, scan.last_probe = judgement, finding.sighting
        elif state is None:
            self._unreported.note(key, judgement, self._began_us(finding))
            return
        else:
            self._unreported.drop(key)
            scan = self._new_scan(key, judgement)
        self._put(key, scan)
        if state is not None:
            self._note_report(scan, state)
            yield Report(state, finding.sighting.time_us, scan.first_us, judgement)

    def _note_report(self, scan: Scan, state: State) -> None:
        """The last judgement becomes a line."""
        finding = scan.last.finding
        scan.interval.restart(finding.sighting.time_us)
        scan.reported_types.add(finding.scan_type)
        scan.reported_verdict = scan.last.verdict
        self._note_verdict(finding.record.source, scan.last.bans)
        if state in {"new", "grown"}:
            scan.next_weight = _next_power_of_ten(10 * finding.weight)

    def _note_verdict(self, source: str, bans: bool) -> None:
        if bans:
            self._banned.put(source, True)
        else:
            self._banned.pop(source)

    def _within_budget(self, judgement: Judgement) -> Judgement:
        """The judgement, or `watch` if too many new sources were banned just now.

        Where the rate limit leaves no line, nothing is taken from the budget.
        """
        finding = judgement.finding
        now_us = self.present_us(finding.sighting.time_us)
        if self._is_limited(finding.record) and self._limit.is_spent(now_us, finding.record.probes, bans=True):
            return judgement
        refusal = self._budget.refusal(finding.record, now_us)
        return judgement if refusal is None else judgement._replace(verdict="watch", reason=refusal)

    def _new_scan(self, key: ScanKey, judgement: Judgement) -> Scan:
        finding = judgement.finding
        return Scan(
            first_us=self._began_us(finding),
            last=judgement,
            last_probe=finding.sighting,
            first_weight=finding.weight,
            interval=self._interval(key, finding.sighting.time_us),
            reported_types=set(),
            reported_verdict=None,
            next_weight=0,
        )

    def _put(self, key: ScanKey, scan: Scan) -> None:
        (self._slow if scan.last.finding.technique == "slow" else self._fast).put(key, scan)

    def open_scans(self) -> Iterator[Scan]:
        """The scans that have not ended."""
        for scans in (self._fast, self._slow):
            yield from (scan for _, scan in scans.items())

    def restore(self, scans: Iterable[Scan]) -> None:
        """Take the open scans of an earlier run, before the first finding."""
        for scan in sorted(scans, key=lambda one: one.last_probe.time_us):
            key = _key(scan.last.finding)
            wait_us, scan.interval = scan.interval.wait_us, self._interval(key, scan.interval.reported_us)
            # The settings may have changed.
            scan.interval.wait_us = max(self._repeat_us, min(wait_us, scan.interval.longest_us))
            self._put(key, scan)
            self._note_verdict(key[0], scan.reported_verdict == "ban")

    def _takes_token(self, judgement: Judgement, now_us: int | None = None) -> bool:
        """Whether the rate limits allow a line, at the time of the sighting if no other is given."""
        record = judgement.finding.record
        now_us = self.present_us(judgement.finding.sighting.time_us if now_us is None else now_us)
        if record.direction == "outbound":
            return True
        if record.verified:
            return self._verified_lines.take(record.address, now_us)
        return self._limit.allows(now_us, record.probes, bans=judgement.bans)

    def open_scan(self, sighting: Sighting) -> Scan | None:
        """The scan of the sighting's source, if it had a line and has not ended."""
        key = (sighting.source, sighting.direction, SCAN)
        return self._fast.peek(key) or self._slow.peek(key)

    def is_spent(self, sighting: Sighting, record: SourceRecord) -> bool:
        """Whether the rate limit leaves no line for this source now, whatever it does."""
        now_us = self.present_us(sighting.time_us)
        # The rate limit first: mostly it leaves lines, and to know that costs least.
        if not self._limit.is_spent(now_us, record.probes, bans=False) or not self._is_limited(record):
            return False
        if self.has_no_line(sighting, record):
            return True
        # Only a ban has a line now, and to look for one costs more than all else.
        return not self.is_banned(record.source) and self._budget.is_spent(record, now_us)

    def has_no_line(self, sighting: Sighting, record: SourceRecord) -> bool:
        """Whether the rate limit leaves no line now even for a ban of a source that sent so many probes."""
        return self._limit.is_spent(self.present_us(sighting.time_us), record.probes, bans=True)

    def is_told(self, scan: Scan, sighting: Sighting, record: SourceRecord) -> bool:
        """Whether an open scan had a line not long ago, and only a ban, which cannot come now, would make another.

        It cannot while the budget has none. Other reasons to watch a source (it may be a friend, its address may stand
        for another one) are looked at again after a while, once it has more attempts than are judged. To judge a scan
        costs as much as twenty packets, and who sends those chooses how many follow.
        """
        now_us = sighting.time_us
        if scan.interval.is_over(now_us) or scan.reported_verdict == "ban":
            return False
        if not self._is_limited(record):
            return False
        if scan.last.reason in BUDGET_REASONS:
            return self._budget.is_spent(record, self.present_us(now_us))
        is_judged = len(record.unserved) >= MAX_JUDGED
        return is_judged and abs(now_us - scan.last.finding.sighting.time_us) < _WATCHED_US

    @staticmethod
    def _is_limited(record: SourceRecord) -> bool:
        return record.direction == "inbound" and not record.verified

    def suppressed_until(self, scan: Scan, sighting: Sighting) -> int | None:
        """The time until which the source of an open scan can make no line: it was just reported, with a final verdict.

        None if it is not suppressed. Until then its probes need not be judged, if `touch` gets the last one.
        The time, in microseconds since 1970, is so near that the scan cannot end before it, and that it is soon
        known whether this host still answers the source.
        """
        if scan.reported_verdict not in _FINAL and sighting.direction != "outbound":
            return None
        interval, now_us = scan.interval, sighting.time_us
        if interval.is_over(now_us) or interval.is_answered(now_us):
            return None
        return min(interval.reported_us + interval.wait_us, now_us + _BAN_TAKES_US, now_us + self._quiet_us // 2)

    def answer(self, source: str, now_us: int) -> None:
        """This host answers a source that was reported with `ban`: the ban is not in force."""
        for series in (SCAN, TRAP):
            scan = self._fast.peek((source, "inbound", series)) or self._slow.peek((source, "inbound", series))
            if scan is not None:
                scan.interval.answered_us = now_us

    def still_answered(self, source: str, now_us: int) -> Iterator[Finding]:
        """The last finding about a source, if it is to be reported again because this host answers it.

        Not about slow scans: an address whose ban the operator lifted would be banned at its next visit for hours.
        """
        for series in (SCAN, TRAP):
            scan = self._fast.peek((source, "inbound", series))
            if scan is not None and scan.interval.is_answered(now_us):
                yield scan.last.finding._replace(sighting=scan.last_probe._replace(time_us=now_us))

    def touch(self, sighting: Sighting) -> None:
        """A probe of a suppressed source: its scan has not ended."""
        key = (sighting.source, sighting.direction, SCAN)
        scan = self._fast.touch(key) or self._slow.touch(key)
        if scan is not None:
            scan.last_probe = sighting
        else:
            self._unreported.touch(key, sighting)

    def is_due(self, now_us: int) -> bool:
        """Whether `advance` has anything to do."""
        if self._unreported.next_us <= now_us:
            return True
        # The first one of each, without a call: each packet and each outcome asks.
        for scan in self._fast.values:
            if scan.last_probe.time_us + self._quiet_us <= now_us:
                return True
            break
        for scan in self._slow.values:
            return scan.last_probe.time_us + self._slow_quiet_us <= now_us
        return False

    def advance(self, now_us: int) -> Iterator[Report]:
        """The time is `now_us`: scans without a probe for long enough have ended."""
        return merge(
            self._ended(self._fast, self._quiet_us, now_us),
            self._ended(self._slow, self._slow_quiet_us, now_us),
            self._ended_unreported(now_us),
            key=lambda report: report.time_us,
        )

    def _ended(self, scans: LruTable[ScanKey, Scan], quiet_us: int, now_us: int) -> Iterator[Report]:
        while (due := _due(scans, quiet_us, now_us)) is not None:
            key, scan = due
            scans.pop(key)
            last, ended_us = _past(scan), scan.last_probe.time_us + quiet_us
            # If the record was evicted, nothing is known of the source any more.
            if last.finding.series.has_end and not last.finding.record.evicted and self._takes_token(last, ended_us):
                yield Report("ended", ended_us, scan.first_us, last)

    def _ended_unreported(self, now_us: int) -> Iterator[Report]:
        """The scans that had no line and have ended, as far as there is room for lines by now."""
        for at_us in self._unreported.times(now_us):
            # First what is quick: while the flood goes on, there is no room.
            if self._limit.is_spent(self.present_us(at_us), 0, bans=False):
                continue
            for key, scan in self._unreported.ended(at_us):
                last = _past(scan)
                if not self._takes_token(last, at_us):
                    break
                self._unreported.report(key, scan)
                yield Report("ended", at_us, scan.first_us, last)

    def _began_us(self, finding: Finding) -> int:
        """The time of the first probe after a pause that ends a scan."""
        quiet_us = self._slow_quiet_us if finding.technique == "slow" else self._quiet_us
        began_us = finding.sighting.time_us
        for attempt in reversed(finding.record.unserved.values()):
            if abs(began_us - attempt.last_us) > quiet_us:
                return began_us
            began_us = attempt.last_us
        return finding.record.first_us

    def _interval(self, key: ScanKey, now_us: int) -> RepeatInterval:
        """The interval of the source: its series share one."""
        source, direction, series = key
        other = (source, direction, SCAN if series is TRAP else TRAP)
        scan = self._fast.peek(other) or self._slow.peek(other)
        if scan is not None:
            return scan.interval
        return RepeatInterval(now_us, self._repeat_us, _LONGEST_INTERVAL * self._repeat_us)


def _state(scan: Scan | None, judgement: Judgement) -> State | None:
    """Why the judgement deserves a line; None if it does not."""
    if scan is None:
        return "new"
    finding = judgement.finding
    now_us = finding.sighting.time_us
    if judgement.bans and scan.reported_verdict != "ban":
        return "changed"
    if not scan.interval.is_over(now_us):
        return "answered" if judgement.bans and scan.interval.is_answered(now_us) else None
    if finding.scan_type not in scan.reported_types:
        return "changed"
    return "grown" if finding.weight >= scan.next_weight else "ongoing"


def _past(scan: Scan | UnreportedScan) -> Judgement:
    """The last judgement as one about the past, which never bans."""
    finding = scan.last.finding._replace(sighting=scan.last_probe)
    if scan.last.verdict != "ignore" and finding.weight < scan.first_weight:
        return Judgement(finding._replace(bannable=False), "watch", "withdrawn")
    if scan.last.bans:
        return Judgement(finding, "watch", "ended" if scan.reported_verdict == "ban" else "ban_budget")
    return scan.last._replace(finding=finding)


def _due(scans: LruTable[ScanKey, Scan], quiet_us: int, now_us: int) -> tuple[ScanKey, Scan] | None:
    """The scan without a probe for the longest time, if that is long enough."""
    oldest = scans.oldest()
    if oldest is None or oldest[1].last_probe.time_us + quiet_us > now_us:
        return None
    return oldest


def _key(finding: Finding) -> ScanKey:
    return (finding.record.source, finding.record.direction, finding.series)


def _next_power_of_ten(weight: int) -> int:
    power = 10
    while power < weight:
        power *= 10
    return power
