"""The core: lines of tshark in, events out. The same lines give the same events, live or replayed."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache

from portsentry_py.config.settings import Settings
from portsentry_py.core.admission import Admission
from portsentry_py.core.columns import ACCEPTING_FLAGS, CLOSING_FLAGS, FLAGS, Cells, Head, micros_of, split
from portsentry_py.core.decode import Discard, canonical_address, decode, hops_of, time_us
from portsentry_py.core.detection import Detection
from portsentry_py.core.fast_path import NEVER_US, ProbeCounts, SuppressedSources
from portsentry_py.core.flow_heads import FlowHeads
from portsentry_py.core.flows import SETTLE_US, FlowTable
from portsentry_py.core.host_state import HostState
from portsentry_py.core.known_scanners import KnownScanners
from portsentry_py.core.probe_types import answers
from portsentry_py.core.protocols import Protocols
from portsentry_py.core.saved_state import SavedState
from portsentry_py.core.self_test import is_self_test
from portsentry_py.core.source_record import Endpoint
from portsentry_py.core.source_table import SourceTable
from portsentry_py.events.model import Event, Proto

_LATER_FLAGS = ACCEPTING_FLAGS | CLOSING_FLAGS


class Pipeline:
    """admission → decode → flow table → source table → detectors → policy → scan tracker → event.

    Data goes right, but for one loop, the fast path: when a scan was just reported, the detection suppresses its
    source, and `feed` counts the probes of that source until `_record` writes them into its record at once.

    Args:
        settings: the configuration.
        host: the host as it is now; `set_host` replaces it when it changes.
        known: the known scanners; `set_known_scanners` replaces them.
        read_host: reads the host again before a ban, which a socket or a connection of it may speak against; None if
            that is impossible now.
    """

    def __init__(
        self,
        settings: Settings,
        host: HostState,
        known: KnownScanners | None = None,
        *,
        read_host: Callable[[], HostState | None] = lambda: None,
    ) -> None:
        self._read_host = read_host
        self._flows = FlowTable(settings.limits)
        self._heads = FlowHeads(self._flows)
        self._protocols = Protocols(self._flows)
        self._sources = SourceTable(settings.limits)
        # Called for each packet, about few addresses.
        self._is_home = lru_cache(maxsize=4096)(self._is_home_cell)
        self._source_of = lru_cache(maxsize=8192)(self._source_of_cell)
        self._admission = Admission(
            settings.limits,
            source_of=self._source_of,
            waits_again=self._sources.waits_again,
            is_queried=self._flows.expected.is_queried,
            is_home=self._is_home,
            answers_unseen=self._heads.answers_unseen,
        )
        self._suppressed = SuppressedSources(
            settings.limits,
            source_of=self._source_of,
            is_queried=self._flows.expected.is_queried,
            is_unserved=self._is_unserved,
            record=self._record,
        )
        self._detection = Detection(
            settings,
            known or KnownScanners(),
            flows=self._flows,
            sources=self._sources,
            suppressed=self._suppressed,
            note_spent=self._admission.note_spent,
            read_host=self._read_host_again,
        )
        self._scans = self._detection.scans
        self._host = host
        self._memory_us = settings.limits.memory_hours * 3_600_000_000
        self._discarded: Counter[Discard] = Counter()
        self.packets = 0
        """Lines that were fed."""
        self._skipped = 0
        self.last_us = 0
        self.self_tests = 0
        self._faults = 0
        self._take(settings)

    def set_known_scanners(self, known: KnownScanners) -> None:
        """Take other known scanners; the settings that come next use them."""
        self._detection.set_known_scanners(known)

    def set_settings(self, settings: Settings) -> None:
        """Take other settings; learned state stays, and so do the limits of tables and lines."""
        self._detection.set_settings(settings)
        self._take(settings)

    def _take(self, settings: Settings) -> None:
        """Take the settings that the detection has taken."""
        self._admission.set_traps(self._detection.traps)
        self._flows.served.set_named(settings.served)
        self.set_host(self._host)

    def set_host(self, host: HostState) -> None:
        """Take the host as it is now."""
        self._host = host
        self._flows.set_host(host)
        self._is_home.cache_clear()
        self._source_of.cache_clear()
        self._detection.set_host(host)

    def _read_host_again(self) -> None:
        host = self._read_host()
        if host is not None:
            self.set_host(host)

    def feed(self, lines: Iterable[str]) -> Iterator[Event]:
        """The events of tshark's lines, in order."""
        suppressed, admit, inspect, is_own_end = (
            self._suppressed,
            self._admission.admit,
            self._inspect,
            self._heads.is_own_end,
        )
        strong = self._admission.strong
        for line in lines:
            self.packets += 1
            head, cells = split(line)
            if head[0] >= strong.due:
                yield from self._let_in(micros_of(head[0]))
            if suppressed.sources and suppressed.count(line, head):
                continue
            if head[2][FLAGS] in CLOSING_FLAGS and is_own_end(head):
                events = self._skip(head)
                if events:
                    yield from events
                continue
            admitted = admit(line, head)
            if admitted is None:
                events = inspect(line, head, cells)
                if events:
                    yield from events
                continue
            if admitted:
                yield from self._inspect_late(admitted, micros_of(head[0]))

    def _inspect_late(self, lines: Iterable[str], now_us: int) -> Iterator[Event]:
        """The events of lines of a source that waited until now.

        For the limits on lines and bans it is now. They would take earlier times for a clock that was set back, and
        refill from there: a forger who lets sources wait for minutes would have one ban more for each.
        """
        self._scans.earliest_us = now_us
        for line in lines:
            yield from self._inspect(line, *split(line))
        yield from self._pass(now_us)  # what the lines bring about is late as well
        self._scans.earliest_us = 0

    def _skip(self, head: Head) -> Sequence[Event]:
        """A packet came that tells nothing but the time."""
        try:
            now_us = time_us(head[0])
        except ValueError:
            self._discarded[Discard.MALFORMED] += 1
            return ()
        self._skipped += 1
        return self._tick(now_us)

    def _of_known_flow(self, head: Head, cells: Cells) -> Sequence[Event] | None:
        """The events of a TCP segment that accepts or ends a connection; None if it has to be decoded."""
        suppressed = self._suppressed.sources
        if suppressed and not suppressed.keys().isdisjoint(map(self._source_of, head[1:4:2])):
            return None  # before a packet of theirs, what they did is written into their records
        accepts = head[2][FLAGS] in ACCEPTING_FLAGS
        known = self._heads.accepting(head) if accepts else self._heads.ending(head)
        if known is None:
            return None
        try:
            now_us = time_us(head[0])
        except ValueError:
            self._discarded[Discard.MALFORMED] += 1
            return ()
        events, (flow, number) = self._tick(now_us), known
        if accepts:
            source = self._flows.home.source_of(head[3])
            if self._scans.is_banned(source):
                events = [*events, *self._detection.note_answer(source, now_us)]
            self._flows.accept(flow, number, now_us)
        else:
            for sighting in self._flows.end(flow, number, now_us, flow.probe.ttl or hops_of(cells)):
                events = [*events, *self._detection.observe(sighting)]
        return events

    # From here on, lists and no generators: most packets make no event, and a generator costs more than a call.
    def _inspect(self, line: str, head: Head, cells: Cells) -> Sequence[Event]:
        if head[4] == "tcp" and head[2][FLAGS] in _LATER_FLAGS:
            known = self._of_known_flow(head, cells)
            if known is not None:
                return known
        packet = decode(line, cells)
        if isinstance(packet, Discard):
            self._discarded[packet] += 1
            return ()
        now_us, src, dst = packet[:3]
        if src == dst and is_self_test(packet):
            self.last_us = now_us
            self.self_tests += 1
            return ()
        events = self._tick(now_us)
        if self._suppressed.sources:
            self._suppressed.flush(packet)
        source = dst if ":" not in dst else self._flows.home.source_of(dst)
        if self._scans.is_banned(source) and answers(packet):
            events = [*events, *self._detection.note_answer(source, now_us)]
        for sighting in self._protocols.observe(packet):
            found = self._detection.observe(sighting)
            if found:
                events = [*events, *found]
        return events

    def _tick(self, now_us: int) -> Sequence[Event]:
        """A packet of that time came: what was due before it."""
        self.last_us = now_us
        # Three numbers instead of three tables: few packets are the first after a deadline.
        is_idle = self._detection.idle_from_us <= now_us < self._detection.idle_until_us
        if is_idle and now_us < self._flows.due_us and now_us < self._suppressed.next_due_us:
            return ()
        if not self._is_due(now_us):
            return ()
        return self._settle(now_us) if now_us < self._suppressed.next_due_us else list(self.advance(now_us))

    def _is_due(self, now_us: int) -> bool:
        """Whether `advance` has anything to do."""
        return self._suppressed.next_due_us <= now_us or self._flows.is_due(now_us) or self._detection.is_due(now_us)

    def accepted(self, visitor: str, port: int, trap: str, trap_port: int, now_us: int) -> Iterator[Event]:
        """An open trap accepted a connection: the kernel vouches for the visitor's address, so nothing of it waits."""
        yield from self._let_in(now_us)
        waited = self._admission.release(self._source_of(visitor))
        if waited:
            yield from self._inspect_late(waited, now_us)
        for sighting in self._flows.accepted(visitor, port, trap, trap_port, now_us):
            yield from self._detection.observe(sighting)

    def advance(self, now_us: int) -> Iterator[Event]:
        """The time is `now_us`, without a packet."""
        yield from self._let_in(now_us)
        yield from self._pass(now_us)

    def _let_in(self, now_us: int) -> Iterator[Event]:
        """The events of strong sources that waited until now."""
        while (due_us := self._admission.strong.due_us) <= now_us:
            yield from self._pass(due_us)
            yield from self._inspect_late(self._admission.let_in(), due_us)

    def _pass(self, now_us: int) -> Iterator[Event]:
        """The events of what was due by that time."""
        # In the order of time, so that a tick between two packets changes no line.
        while self._suppressed.next_due_us <= now_us:
            yield from self._settle(self._suppressed.next_due_us)
            self._suppressed.flush_due()
        yield from self._settle(now_us)

    def _settle(self, now_us: int) -> list[Event]:
        events: list[Event] = []
        for sighting in self._flows.advance(now_us):
            if self._scans.is_due(sighting.time_us):
                events += self._detection.end_scans(sighting.time_us)
            events += self._detection.observe(sighting)
        if self._scans.is_due(now_us):
            events += self._detection.end_scans(now_us)
        return events

    def finish(self) -> Iterator[Event]:
        """The input has ended: attempts without an answer count as unanswered."""
        for sighting in self._flows.finish():
            while self._suppressed.next_due_us <= sighting.time_us:
                self._suppressed.flush_due()
            yield from self._detection.observe(sighting)
        while self._suppressed.next_due_us != NEVER_US:
            self._suppressed.flush_due()

    def state(self) -> SavedState:
        """What outlives a restart: sources, open scans, served ports and the standing of addresses.

        Not what is in progress: awaited answers, lines that wait for admission, counts of suppressed sources,
        what the sources of a group probed, what this host asked others, and who reflects.
        """
        return SavedState(
            known=self._sources.known(),
            newcomers=self._sources.newcomers(),
            scans=list(self._scans.open_scans()),
            learned=self._flows.served.learned(),
            standing=self._detection.standing.entries(),
        )

    @property
    def settled_us(self) -> int:
        """The outcome of probes before this time is known; that of later ones may not be."""
        return self.last_us - SETTLE_US

    def load(self, state: SavedState, now_us: int) -> None:
        """Take the state of an earlier run before the first packet, less what is too old by now."""

        def is_fresh(*times_us: int) -> bool:
            return all(abs(now_us - time_us) <= self._memory_us for time_us in times_us)

        self._sources.restore(state.known, state.newcomers, now_us)
        self._scans.restore(
            scan for scan in state.scans if is_fresh(scan.last_probe.time_us, scan.interval.reported_us)
        )
        self._flows.served.restore(port for port in state.learned if is_fresh(port.answered_us))
        self._detection.standing.restore(state.standing)

    def count_faults(self, packets: int) -> None:
        """Packets at which the core failed, as the caller found: they count as malformed."""
        self._faults += packets

    def counts(self) -> dict[str, int]:
        """The core's counts, by their names in the status line."""
        malformed = self._discarded[Discard.MALFORMED] + self._faults
        ignored = self._discarded.total() - self._discarded[Discard.MALFORMED] + self._skipped
        return {
            "packets": self.packets,
            "packets_decoded": self.packets - ignored - malformed,
            "packets_ignored": ignored,
            "packets_malformed": malformed,
            "packets_held": self._admission.held,
            "probes_unjudged": self._detection.unjudged,
            "lines_suppressed": self._detection.lines_suppressed,
            "sources_evicted": self._sources.evicted,
            "flows_evicted": self._flows.evicted,
        }

    @property
    def tracked_sources(self) -> int:
        """The sources in the source table."""
        return len(self._sources)

    def ban_budget(self, now_us: int) -> float:
        """How many unverified sources may be banned now."""
        return self._scans.ban_budget(now_us)

    def _is_home_cell(self, cell: str) -> bool:
        try:
            return self._flows.home.has(canonical_address(cell))
        except ValueError:  # for a packet that ends within its IP header, tshark prints link addresses
            return False

    def _source_of_cell(self, cell: str) -> str:
        try:
            return self._flows.home.source_of_text(cell) or self._flows.home.source_of(canonical_address(cell))
        except ValueError:
            return cell

    def _is_unserved(self, target: str, proto: Proto, port: int) -> bool:
        """Whether a port of ours is neither a trap nor served."""
        if port in self._detection.traps or not self._is_home(target):
            return False
        # Of all the ports that a scanner probes, few are served anywhere.
        return port not in self._flows.served.numbers or not self._flows.served(target, proto, port)

    def _record(self, counts: ProbeCounts) -> None:
        """Write the counts of a suppressed source into its record."""
        for line, times in counts.groups():
            packet = decode(line)
            if isinstance(packet, Discard):
                self._discarded[packet] += sum(times.values())
                continue
            self.last_us = max(self.last_us, packet.time_us)
            last = self._flows.probe(packet)
            self._detection.count(last, len(times), bool(counts.refused))
            endpoints = {probe: Endpoint(probe[2], last.proto, int(probe[1], 16)) for probe in times}
            # An answer may have shown since then that an endpoint is served.
            unserved = {probe: one for probe, one in endpoints.items() if self._is_unserved(*one)}
            self._sources.update_counted(
                last,
                {one: times[probe] for probe, one in unserved.items()},
                [unserved[probe] for probe in counts.refused if probe in unserved],
            )
