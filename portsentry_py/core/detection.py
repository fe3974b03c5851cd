"""Sightings in, events out: records of sources, detectors, policy and scan tracker."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from portsentry_py.config.settings import Settings
from portsentry_py.core.detectors.base import PROBES, Detector
from portsentry_py.core.detectors.profiles import Tables, detectors_of
from portsentry_py.core.event_builder import connection_event, evidence_event
from portsentry_py.core.fast_path import SuppressedSources
from portsentry_py.core.finding import Finding, Series
from portsentry_py.core.flows import FlowTable
from portsentry_py.core.group_table import GroupTable
from portsentry_py.core.host_state import HostState
from portsentry_py.core.judging import Judging
from portsentry_py.core.known_scanners import KnownScanners
from portsentry_py.core.outbound_table import OutboundTable
from portsentry_py.core.policy import Judgement, Policy
from portsentry_py.core.question import Questions
from portsentry_py.core.rate_limit import ConnectionRateLimit
from portsentry_py.core.scan_tracker import Report, ScanTracker
from portsentry_py.core.sighting import Kind, Sighting
from portsentry_py.core.source_record import SourceRecord
from portsentry_py.core.source_table import SourceTable
from portsentry_py.core.standing import StandingTable
from portsentry_py.events.model import Direction, Event, EvidenceEvent

_COUNTED_PROTOS = frozenset({"tcp", "udp"})
# A flood of forged scanners must not make us read the socket tables for each of them.
_HOST_READ_US = 2_000_000
# For so long it is known that no scan ends.
_IDLE_US = 100_000
# A packet that waited for admission comes late by so much: what is not due now was not due then.
_LATE_US = 5_000_000
_MANY_UNSERVED = 16
_PROOFS = frozenset({Kind.PROVEN, Kind.SESSION})
_GROUPED = PROBES | {Kind.ANSWERED}
_DIRECTIONS: tuple[Direction, ...] = ("inbound", "outbound")
_CONNECTION_KINDS = {
    "off": frozenset[Kind](),
    "unserved": frozenset({Kind.REFUSED, Kind.SILENT, Kind.TRAPPED}),
    "all": frozenset({Kind.REFUSED, Kind.SILENT, Kind.TRAPPED, Kind.ANSWERED, Kind.SERVED}),
}


class Detection:
    """source table → detectors → policy → scan tracker: Sightings in, Events out.

    Attributes:
        scans: the scan tracker.
        standing: what is known of addresses that had sessions.
        traps: the ports that are traps, over any protocol.
        idle_from_us: from then on, until `idle_until_us`, it is known that no scan ends.
        idle_until_us: the end of that time.

    Args:
        settings: the configuration.
        known: the known scanners.
        flows: the flow table, for what is served and what this host asked for.
        sources: the source table.
        suppressed: takes the sources whose scans were just reported.
        note_spent: called with the time of a probe while no line can be written about any source.
        read_host: reads the host again before a ban, which a socket or a connection of it may speak against.
    """

    def __init__(
        self,
        settings: Settings,
        known: KnownScanners,
        *,
        flows: FlowTable,
        sources: SourceTable,
        suppressed: SuppressedSources,
        note_spent: Callable[[int], None],
        read_host: Callable[[], None],
    ) -> None:
        self._known = known
        self._read_host = read_host
        self._host_read_us = 0
        self._judged: Judgement | None = None
        self._served = flows.served
        self._expected = flows.expected
        self._sources = sources
        self._suppressed = suppressed
        self._groups = GroupTable(settings.limits.max_sources)
        self._outbound = OutboundTable()
        self._questions = Questions()
        self.standing = StandingTable()
        self.scans = ScanTracker(settings)
        self._connection_limit = ConnectionRateLimit(settings.lines, settings.limits.max_sources)
        self._judging = Judging(self.scans, note_spent)
        self._suppressed_before = 0
        self.idle_from_us = -_LATE_US
        self.idle_until_us = 0
        self.set_settings(settings)

    def set_known_scanners(self, known: KnownScanners) -> None:
        """Take other known scanners; the settings that come next use them."""
        self._known = known

    def set_settings(self, settings: Settings) -> None:
        """Take other settings; `set_host` comes next. Learned state stays, and so do the limits of tables and lines."""
        detectors = detectors_of(settings, Tables(self._groups, self._outbound, self._questions))
        traps = frozenset(
            (proto, port) for one in detectors for proto, ports in one.trap_ports.items() for port in ports
        )
        self.traps = frozenset(port for _, port in traps)
        self._sources.set_traps(traps)
        self._outbound.set_window(settings.detectors.outbound.window_seconds * 1_000_000)
        self._groups.set_limits(next((one.group_limits for one in detectors if one.group_limits), None))
        self._detectors = {
            (kind, direction): tuple(one for one in detectors if kind in one.kinds and one.direction == direction)
            for kind in Kind
            for direction in _DIRECTIONS
        }
        self._always_asked = {
            key: tuple(one for one in asked if one.is_always_asked) for key, asked in self._detectors.items()
        }
        self._policy = Policy(settings.ignore, self.standing, self._expected, self._known, settings.known_scanners)
        self._connection_kinds = _CONNECTION_KINDS[settings.connections]

    def set_host(self, host: HostState) -> None:
        """Take the host as it is now."""
        self._policy.set_host(host)
        self._questions.set_host(host)

    @property
    def unjudged(self) -> int:
        """Probes without a judgement because there was too much to do, or no line could be written."""
        return self._judging.unjudged

    @property
    def lines_suppressed(self) -> int:
        """Connection lines that the rate limit held back."""
        return self._connection_limit.suppressed

    def is_due(self, now_us: int) -> bool:
        """Whether a scan ends; if not, notes for how long none does."""
        if self.scans.is_due(now_us):
            return True
        self.idle_from_us = now_us - _LATE_US
        # What begins, goes on or ends meanwhile may change which scan is the next to end, and sets this back.
        self.idle_until_us = now_us + (0 if self.scans.is_due(now_us + _IDLE_US) else _IDLE_US)
        return False

    def note_answer(self, source: str, now_us: int) -> Iterator[Event]:
        """This host answers a banned source: the ban is not in force. What a ban itself sends is no answer."""
        self.idle_until_us = 0
        self.scans.answer(source, now_us)
        for finding in self.scans.still_answered(source, now_us):
            for report in self.scans.observe(self._policy.judge(finding)):
                yield evidence_event(report)

    def end_scans(self, now_us: int) -> Iterator[Event]:
        """The events of scans that have ended by that time."""
        for report in self.scans.advance(now_us):
            yield self._evidence(report)

    def count(self, last: Sighting, probes: int, is_refused: bool) -> None:
        """A suppressed source sent probes, which are counted.

        Args:
            last: the last of them.
            probes: how many of them are distinct.
            is_refused: whether this host refused any.
        """
        self._connection_limit.suppressed += probes
        self._touch(last)
        if is_refused:
            self.scans.answer(last.source, last.time_us)

    def observe(self, sighting: Sighting) -> Sequence[Event]:
        """The events of one sighting, once it is recorded."""
        kind, direction, record = sighting.kind, sighting.direction, self._sources.update(sighting)
        if kind in _PROOFS:
            self.standing.update(sighting, record)
        else:
            self._outbound.update(sighting)
        events: Sequence[Event] = ()
        if kind in self._connection_kinds and direction == "inbound":
            events = self._connection(sighting)
        if kind not in _GROUPED and len(record.unserved) < _MANY_UNSERVED:
            # What a visitor does is of no interest to anybody: that is known sooner than whether a line can be written.
            # To judge a scanner takes longer, and the silence after each of its datagrams comes here.
            for detector in self._detectors[kind, direction]:
                if detector.observe(sighting, record):
                    break
            else:
                return events
        muted = self._mute(sighting, record)
        if not muted:
            self._groups.update(sighting, record)
        detectors = (self._always_asked if muted else self._detectors)[kind, direction]
        if detectors:
            for finding in self._findings(detectors, sighting, record):
                self.idle_until_us = 0
                self._judging.note_finding(sighting.time_us)
                events = [*events, *map(self._evidence, self.scans.observe(self._judge(finding)))]
        return events

    def _findings(self, detectors: tuple[Detector, ...], sighting: Sighting, record: SourceRecord) -> Iterable[Finding]:
        """One finding of each series.

        The first detector that has one names the scan, but evidence that may only be watched hides no other.
        """
        found: dict[Series, Finding] | None = None
        for detector in detectors:
            finding = detector.observe(sighting, record)
            if finding is None:
                continue
            if self._takes_back(finding):
                finding = detector.observe(sighting, record)
                if finding is None:
                    continue
            if found is None:
                found = {}
            first = found.setdefault(finding.series, finding)
            if finding.bannable and not first.bannable:
                found[finding.series] = finding
        return found.values() if found else ()

    def _takes_back(self, finding: Finding) -> bool:
        """Before a ban, read the host again; retract datagrams to a socket that is open by now.

        A socket opens between two looks at the tables, and its first datagrams say nothing of an answer. The call to a
        peer that checks who called may not have been captured.

        Returns:
            Whether there were any such datagrams.
        """
        record, is_udp = finding.record, finding.sighting.proto == "udp"
        now_us = self.scans.present_us(finding.sighting.time_us)  # the host is read in the present
        is_due = abs(now_us - self._host_read_us) >= _HOST_READ_US
        # The judgement costs most, and comes once more anyway.
        if not (is_udp or is_due) or self.scans.is_banned(record.source):
            return False
        self._judged = self._policy.judge(finding)
        if not self._judged.bans:
            return False
        self._judged = None  # what comes now may change it
        if is_due:
            self._host_read_us = now_us
            self._read_host()
        return is_udp and self._sources.retract_served(record, self._served)

    def _judge(self, finding: Finding) -> Judgement:
        """The verdict on a finding, unless it was judged just now."""
        judged, self._judged = self._judged, None
        return judged if judged is not None and judged.finding is finding else self._policy.judge(finding)

    def _mute(self, sighting: Sighting, record: SourceRecord) -> bool:
        """Suppress the source if its scan was just reported.

        Returns:
            Whether no line about a scan of the source can be written now, whatever a detector finds.
        """
        scan = self.scans.open_scan(sighting)
        until_us = None if scan is None else self.scans.suppressed_until(scan, sighting)
        if until_us is None and not self._judging.is_put_off(sighting, record, scan):
            return False
        if sighting.kind in PROBES:
            self._touch(sighting)
            is_counted = sighting.proto in _COUNTED_PROTOS and sighting.direction == "inbound"
            if until_us is not None and sighting.kind is Kind.PROBE and is_counted:
                self._suppressed.suppress(sighting.source, until_us)
        return True

    def _touch(self, probe: Sighting) -> None:
        """One more probe of a scan, which may be another one than before that ends next."""
        self.idle_until_us = 0
        self.scans.touch(probe)

    def _evidence(self, report: Report) -> EvidenceEvent:
        return evidence_event(report, self._known.of(report.judgement.finding.record.address))

    def _connection(self, sighting: Sighting) -> Sequence[Event]:
        if not self._connection_limit.allows(sighting.source, self.scans.present_us(sighting.time_us)):
            return ()
        held_back = self._connection_limit.suppressed - self._suppressed_before
        self._suppressed_before = self._connection_limit.suppressed
        return (connection_event(sighting, held_back),)
