"""The pure pipe: a line of tshark in, events out. The same lines give the same events, live or replayed."""

from collections import Counter
from collections.abc import Iterable, Iterator

from portsentry_py.config.settings import Settings
from portsentry_py.core.admission import NEVER_US, Counted, Gate
from portsentry_py.core.decode import Discard, decode
from portsentry_py.core.detectors.base import PROBES
from portsentry_py.core.detectors.profiles import registry
from portsentry_py.core.detectors.trap import TrapDetector
from portsentry_py.core.event_builder import connection_event, evidence_event
from portsentry_py.core.flows import SETTLE_US, FlowTable
from portsentry_py.core.host_state import HostState
from portsentry_py.core.policy import Policy
from portsentry_py.core.rate_limit import ConnectionRateLimit
from portsentry_py.core.saved_state import SavedState
from portsentry_py.core.scan_tracker import Report, ScanTracker
from portsentry_py.core.self_test import is_self_test
from portsentry_py.core.sighting import Kind, Sighting
from portsentry_py.core.source_record import Endpoint
from portsentry_py.core.source_table import SourceTable
from portsentry_py.events.model import Event

_COUNTED_PROTOS = frozenset({"tcp", "udp"})
_CONNECTION_KINDS = {
    "off": frozenset[Kind](),
    "unserved": frozenset({Kind.REFUSED, Kind.SILENT, Kind.TRAPPED}),
    "all": frozenset({Kind.REFUSED, Kind.SILENT, Kind.TRAPPED, Kind.ANSWERED, Kind.SERVED}),
}


class Pipeline:
    """gate → decode → flows → ledger → detectors → scans → policy → events.

    Args:
        settings: the configuration.
        host: what is known of the host; replace it with `set_host` when it changes.
    """

    def __init__(self, settings: Settings, host: HostState) -> None:
        self._flows = FlowTable(settings.limits)
        self._sources = SourceTable(settings.limits)
        self._scans = ScanTracker(settings.lines, settings.limits.max_sources)
        self._ration = ConnectionRateLimit(settings.lines, settings.limits.max_sources)
        self._gate = Gate(
            settings.limits,
            knows=self._sources.knows,
            awaits=self._flows.awaits,
            is_home=self._flows.is_home,
            is_special=self._is_special,
            take=self._write_down,
        )
        self._host = host
        self._memory_us = settings.limits.memory_hours * 3_600_000_000
        self._suppressed_before = 0
        self._discarded: Counter[Discard] = Counter()
        self.packets = 0
        """Lines that were fed."""
        self._unjudged = 0
        self.last_us = 0
        self.self_tests = 0
        self.faults = 0
        """Packets that were too much for us, as our caller has found."""
        self.set_settings(settings)

    def set_settings(self, settings: Settings) -> None:
        """Take other settings; flows and sources are kept, and so are the limits and the rations."""
        detectors = registry(settings)
        self._decoys = frozenset[int]().union(
            *(ports for one in detectors if isinstance(one, TrapDetector) for ports in one.ports.values())
        )
        self._asked = {
            (kind, direction): tuple(
                one for one in detectors if kind in one.kinds and one.direction == direction
            )
            for kind in Kind
            for direction in ("inbound", "outbound")
        }
        self._policy = Policy(settings.ignore, self._flows.server)
        self._connection_kinds = _CONNECTION_KINDS[settings.connections]
        self._flows.served.set_named(settings.served)
        self.set_host(self._host)

    def set_host(self, host: HostState) -> None:
        """Take what is known of the host now."""
        self._host = host
        self._flows.set_host(host)
        self._gate.forget_homes()
        self._policy.set_host(host)

    def feed(self, lines: Iterable[str]) -> Iterator[Event]:
        """Lines of tshark's columns, in order."""
        admit = self._gate.admit
        for line in lines:
            self.packets += 1
            for admitted in admit(line):
                yield from self._take(admitted)

    def _take(self, line: str) -> Iterator[Event]:
        packet = decode(line)
        if isinstance(packet, Discard):
            self._discarded[packet] += 1
            return
        self.last_us = packet.time_us
        if packet.src == packet.dst and is_self_test(packet):
            self.self_tests += 1
            return
        yield from self.advance(packet.time_us)
        self._gate.hand_over_of(packet)
        for sighting in self._flows.observe(packet):
            yield from self._observe(sighting)

    def advance(self, now_us: int) -> Iterator[Event]:
        """Time has come to `now_us` without a packet."""
        # All in the order of time, so that a tick between two packets changes nothing.
        while self._gate.next_us <= now_us:
            yield from self._settle(self._gate.next_us)
            self._gate.hand_over()
        yield from self._settle(now_us)

    def _settle(self, now_us: int) -> Iterator[Event]:
        for sighting in self._flows.advance(now_us):
            yield from self._end_scans(sighting.time_us)
            yield from self._observe(sighting)
        yield from self._end_scans(now_us)

    def _end_scans(self, now_us: int) -> Iterator[Event]:
        for report in self._scans.advance(now_us):
            yield self._event(report)

    def finish(self) -> Iterator[Event]:
        """The input has ended: attempts that are still unanswered are counted as such."""
        for sighting in self._flows.finish():
            while self._gate.next_us <= sighting.time_us:
                self._gate.hand_over()
            yield from self._observe(sighting)
        while self._gate.next_us != NEVER_US:
            self._gate.hand_over()

    def state(self) -> SavedState:
        """What a restart must not forget: sources, open scans, served ports and our servers.

        What is on its way is no part of it: answers that are awaited, what waits in the gate, and which
        sources of a network ask together.
        """
        return SavedState(
            known=self._sources.known(),
            newcomers=self._sources.newcomers(),
            scans=list(self._scans.open_scans()),
            learned=self._flows.served.learned(),
            servers=self._flows.servers(),
        )

    @property
    def settled_us(self) -> int:
        """Of probes before this time it is known what became of them, of later ones perhaps not."""
        return self.last_us - SETTLE_US

    def load(self, state: SavedState, now_us: int) -> None:
        """Take the state of an earlier run, before the first packet; what is too old by now is left out."""

        def is_fresh(*times_us: int) -> bool:
            return all(abs(now_us - time_us) <= self._memory_us for time_us in times_us)

        self._sources.restore(state.known, state.newcomers, now_us)
        self._scans.restore(
            scan for scan in state.scans if is_fresh(scan.last_probe.time_us, scan.pace.said_us)
        )
        self._flows.served.restore(port for port in state.learned if is_fresh(port.answered_us))
        self._flows.restore_servers(state.servers)

    def counts(self) -> dict[str, int]:
        """What the status line tells of the core, under the line's own names."""
        malformed = self._discarded[Discard.MALFORMED] + self.faults
        ignored = self._discarded.total() - self._discarded[Discard.MALFORMED]
        return {
            "packets": self.packets,
            "packets_decoded": self.packets - ignored - malformed,
            "packets_ignored": ignored,
            "packets_malformed": malformed,
            "packets_held": self._gate.held,
            "probes_unjudged": self._unjudged,
            "lines_suppressed": self._ration.suppressed,
            "sources_evicted": self._sources.evicted,
            "flows_evicted": self._flows.evicted,
        }

    def _observe(self, sighting: Sighting) -> Iterator[Event]:
        record = self._sources.update(sighting)
        if sighting.kind in self._connection_kinds and sighting.direction == "inbound":
            yield from self._connection(sighting)
        named = False
        hushed = self._scans.hushed_until(sighting)
        if hushed and sighting.kind in PROBES:
            self._scans.goes_on(sighting)
            counts = sighting.proto in _COUNTED_PROTOS and sighting.direction == "inbound"
            if sighting.kind is Kind.PROBE and counts:
                self._gate.count(sighting.source, hushed)
        silent = not hushed and self._scans.is_silent(sighting, record)
        self._unjudged += silent and sighting.kind in PROBES
        for detector in self._asked[sighting.kind, sighting.direction]:
            # Nothing that it could find would make a line now; but touches of decoys are counted.
            if (hushed or silent) and not isinstance(detector, TrapDetector):
                continue
            finding = detector.observe(sighting, record)
            if finding is None or (named and finding.technique != "trap"):
                continue
            named = named or finding.technique != "trap"  # the first to speak names the scan
            for report in self._scans.observe(finding):
                yield self._event(report)

    def _is_special(self, target: str, proto: str, port: int) -> bool:
        return port in self._decoys or (
            # Of all the ports that a scanner asks for, few are served anywhere.
            port in self._flows.served.numbers and self._flows.served(target, proto, port)
        )

    def _write_down(self, counted: Counted) -> None:
        """What the gate counted of a source comes into its record."""
        for alike in counted.probes.values():
            packet = decode(alike.line)
            if isinstance(packet, Discard):
                self._discarded[packet] += sum(alike.asked.values())
                continue
            self.last_us = max(self.last_us, packet.time_us)
            self._ration.suppressed += len(alike.asked)
            last = self._flows.probe(packet)
            self._scans.goes_on(last)
            pairs = {key: Endpoint(key[1], last.proto, int(key[0], 16)) for key in alike.asked}
            # What an answer has told to be served since then is no evidence.
            probes = {pair: alike.asked[key] for key, pair in pairs.items() if not self._is_special(*pair)}
            refused = (pairs[key] for key in counted.refused if key in pairs)
            self._sources.update_counted(last, probes, [pair for pair in refused if pair in probes])

    def _event(self, report: Report) -> Event:
        verdict, reason = self._policy.verdict(report.finding)
        return evidence_event(report, verdict, reason)

    def _connection(self, sighting: Sighting) -> Iterator[Event]:
        if self._ration.allows(sighting.source, sighting.time_us):
            held_back = self._ration.suppressed - self._suppressed_before
            self._suppressed_before = self._ration.suppressed
            yield connection_event(sighting, held_back)
