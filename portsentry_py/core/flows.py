"""The flow table: who spoke first, how it was answered, and when an answer is overdue."""

from collections import deque
from collections.abc import Iterator, Sequence

from portsentry_py.config.settings import Limits
from portsentry_py.core.expectation import Expectations
from portsentry_py.core.flow import ANSWERED_STATES, UNANSWERED_STATES, Flow, FlowKey, FlowState, key_of, reverse_key_of
from portsentry_py.core.home import Home
from portsentry_py.core.host_state import HostState, is_unicast
from portsentry_py.core.icmp_errors import LatestPackets
from portsentry_py.core.lru_table import LruTable
from portsentry_py.core.packet import ACK, SYN, TCP, UDP, Packet
from portsentry_py.core.probe_types import proto_name, tcp_type
from portsentry_py.core.reflection import REFLECTED_TYPES
from portsentry_py.core.route_probes import RouteProbes
from portsentry_py.core.served_ports import ServedPorts
from portsentry_py.core.sighting import Kind, Sighting
from portsentry_py.events.model import Direction, ScanType

# A host answers a SYN within its round trip; a client's own stack waits for one second.
SETTLE_US = 1_000_000
# A replay has no socket table: a connection that we accepted counts as open if it lasts as long as two looks at the
# table are apart. A stack repeats a SYN-ACK that is not acknowledged after a second.
_OPEN_US = 10_000_000
# More than either, and more than capture times are out of order: a later deadline is of a wrong clock.
_LATEST_DEADLINE_US = 20_000_000
# The same packet can be captured on two interfaces, a VLAN's parent for example.
_CAPTURED_TWICE_US = 200_000
# An acknowledgement counts as use of a connection if it lies at most this far past our first sequence number: a blind
# forger hits one in 4096.
_USED_BYTES = 1 << 20
# SYN and FIN count as one each. An acknowledgement of exactly these is proof: a blind forger hits two in 2**32.
_UNUSED_BYTES = 2
# So many further datagrams to one port of ours, none of them refused, are a stream: a scanner repeats a probe less.
_STREAM_REPEATS = 5
# TCP header of the first segments that the kernel's filter keeps, as Linux and Android send them.
_UNSEEN_HEADER_BYTES = 40
_UNKNOWN_TTL, _TTL = 0, Packet._fields.index("ttl")
_MAX_ACCEPTED = 4096
NEVER_US = 1 << 63
_new = tuple.__new__  # of a named tuple, in one call
# Bound once: to look a member of an enumeration up by its name costs more than a call.
_PENDING, _ANSWERED, _SERVED, _EXPECTED = FlowState.PENDING, FlowState.ANSWERED, FlowState.SERVED, FlowState.EXPECTED
_PROBE, _VISIT, _PROVEN, _SESSION = Kind.PROBE, Kind.SERVED, Kind.PROVEN, Kind.SESSION


class FlowTable:
    """Follows flows, and makes a sighting of each step; bounded in both directions.

    Attributes:
        host: the host as it is now.
        home: its addresses.
        served: its served ports.
        expected: what it asked for.
        inbound: flows from outside.
        outbound: flows that we opened, in a table of their own: nobody outside can push them out of it.
        strays: segments with ACK that belong to no flow: a RST of ours shows that they were probes.
        latest: the packets that an error may be about which shows no port.
        routes: probes of the route to us, which open no flow.
        due_us: `advance` has nothing to do before this time, unless time runs backwards.
    """

    def __init__(self, limits: Limits) -> None:
        self.host = HostState()
        self.home = Home()
        self.served = ServedPorts()
        self.expected = Expectations(limits.max_flows)
        self.routes = RouteProbes()
        self.inbound: LruTable[FlowKey, Flow] = LruTable(limits.max_flows)
        self.outbound: LruTable[FlowKey, Flow] = LruTable(limits.max_flows)
        self.strays: LruTable[FlowKey, Packet] = LruTable(limits.max_flows)
        self.latest = LatestPackets()
        self._pending: deque[tuple[int, Flow]] = deque()
        self._open: deque[tuple[int, Flow]] = deque()
        self._max_pending = limits.max_flows
        self.due_us = 0
        self._dropped = 0  # attempts whose answer is no longer awaited because too many were
        self._accepted: LruTable[FlowKey, bool] = LruTable(_MAX_ACCEPTED)  # a set with an order

    @property
    def evicted(self) -> int:
        """Flows that were dropped because the tables were full."""
        return self.inbound.evicted + self.outbound.evicted + self._dropped

    def set_host(self, host: HostState) -> None:
        """Take the host's addresses and listening sockets as they are now."""
        self.host = host
        self.home.set_host(host)
        self.served.set_host(host)
        self.expected.set_host(host)

    def is_due(self, now_us: int) -> bool:
        """Whether `advance` has anything to do; if not, notes when it may."""
        pending, lasting = self._pending, self._open
        # Most attempts are answered in time, and most connections end by themselves.
        while pending and pending[0][0] <= now_us and pending[0][1].state is not _PENDING:
            pending.popleft()
        while lasting and lasting[0][1].has_ended:
            lasting.popleft()
        if _due(pending, now_us) or _due(lasting, now_us):
            return True
        self.due_us = min(one[0][0] if one else NEVER_US for one in (pending, lasting))
        return False

    def advance(self, now_us: int) -> Iterator[Sighting]:
        """The time is `now_us`: unanswered attempts become SILENT, lasting connections contacts."""
        while _due(self._open, now_us):
            deadline_us, flow = self._open.popleft()
            if not flow.is_repeated and not flow.has_ended:
                self.expected.contact(flow.probe.src, deadline_us)
        while _due(self._pending, now_us):
            deadline_us, flow = self._pending.popleft()
            if flow.state is FlowState.PENDING:
                is_expected = flow.direction == "inbound" and flow.probe.proto == UDP and self._expects(flow.probe)
                flow.state = FlowState.EXPECTED if is_expected else FlowState.SILENT
                yield self.about(flow, Kind.EXPECTED if is_expected else Kind.SILENT, deadline_us)

    def finish(self) -> Iterator[Sighting]:
        """The input has ended: attempts without an answer become SILENT."""
        self._open.clear()
        while self._pending:
            yield from self.advance(self._pending[0][0])

    def accept(self, flow: Flow, seq: int, now_us: int) -> None:
        """A SYN-ACK with that sequence number accepts a flow from outside, whose port is served."""
        self._note_accepted(flow, seq, now_us)
        probe = flow.probe
        if not self.served.is_open_trap("tcp", probe.dest_port):
            self.served.learn(probe.dst, "tcp", probe.dest_port, now_us)

    def end(self, flow: Flow, acknowledged: int, now_us: int, ttl: int) -> Sequence[Sighting]:
        """The initiator of a flow from outside ends it, and acknowledges what this host sent.

        Args:
            flow: the flow.
            acknowledged: the number that the end acknowledges.
            now_us: its time.
            ttl: its hop limit, which stands for that of a first segment that was not seen: one stack sends both.
        """
        first = not flow.has_ended
        flow.has_ended = True
        if flow.our_seq is None or not first:
            return ()
        received = (acknowledged - flow.our_seq) % (1 << 32)
        if not 0 < received <= _USED_BYTES:
            return ()
        probe = flow.probe
        if probe.ttl == _UNKNOWN_TTL:
            if ttl == _UNKNOWN_TTL:
                return ()  # proof of nobody's stack
            flow.probe = _new(Packet, (*probe[:_TTL], ttl, *probe[_TTL + 1 :]))
        return (self.about(flow, _SESSION if received > _UNUSED_BYTES else _PROVEN, now_us),)

    def attempt(self, packet: Packet, scan_type: ScanType) -> Sequence[Sighting]:
        """A packet that opens a flow, or repeats the one that did, unless it belongs to a flow of its receiver."""
        if self.find(reverse_key_of(packet)) is not None:
            return ()
        return self.first(packet, scan_type, self.home.direction(packet.src, packet.dst))

    def first(self, packet: Packet, scan_type: ScanType, direction: Direction | None) -> Sequence[Sighting]:
        """The same as `attempt`, of a packet that belongs to no flow of its receiver."""
        time_us, src, dst, proto, src_port, dest_port = packet[:6]
        if direction is None or not is_unicast(dst):
            return ()
        key = (proto, src, src_port, dst, dest_port)
        table = self.inbound if direction == "inbound" else self.outbound
        known = table.touch(key)
        repeated = None if known is None else self._repeats(known, packet, scan_type)
        if repeated is not None:
            return repeated
        flow = Flow(packet, scan_type, direction)
        (table.add if known is None else table.put)(key, flow)
        if direction == "outbound":
            self.expected.query(packet)
        if proto != TCP and ":" in src:
            self.latest.note_attempt(packet, key)
        state = flow.state = self._first_state(flow)
        if state is _PENDING:
            self._await(flow)
        if state is _EXPECTED:
            return ()
        return (self.about(flow, _VISIT if state is _SERVED else _PROBE, time_us),)

    def _repeats(self, flow: Flow, packet: Packet, scan_type: ScanType) -> Sequence[Sighting] | None:
        """What a further first packet of a flow shows; None if it is a new attempt."""
        if flow.scan_type == "unseen" != scan_type and _is_same_probe(flow.probe, packet):
            # It came after our refusal: packets can be captured out of order.
            flow.probe, flow.scan_type = packet, scan_type
            return (self.about(flow, Kind.REPEAT, packet.time_us),)
        if packet.proto == TCP and flow.probe.flags != packet.flags:
            return None
        if flow.probe.ttl == _UNKNOWN_TTL and flow.state is _SERVED and flow.probe.seq == packet.seq:
            flow.probe, flow.scan_type = packet, scan_type  # captured out of order, behind our answer
            return ()
        if packet.is_whole and flow.probe.seq == packet.seq:
            return ()  # its first piece was the probe
        # The same packet before an answer is a repetition; after an answer it is a new attempt.
        if flow.state not in ANSWERED_STATES:
            return self._repeated(flow, packet)
        return None if packet.proto == TCP else ()

    def _first_state(self, flow: Flow) -> FlowState:
        """What is known of a flow when it begins."""
        if flow.direction == "outbound":
            return _PENDING
        probe, served, expected = flow.probe, self.served, self.expected
        if probe.dest_port in served.numbers and served(probe.dst, proto_name(probe), probe.dest_port):
            return _SERVED
        src = probe.src
        source = src if ":" not in src else self.home.source6_of(src)
        if expected.expects(probe, source):
            return _EXPECTED
        if flow.scan_type in REFLECTED_TYPES:
            expected.reflection.note(source, probe)
        return _PENDING

    def _expects(self, probe: Packet) -> bool:
        return self.expected.expects(probe, self.home.source_of(probe.src))

    def _await(self, flow: Flow) -> None:
        """An answer may come until the flow is SILENT."""
        pending = self._pending
        if len(pending) == self._max_pending:
            self.due_us = 0  # of the next one, which may be earlier where the clock was set back
            _, oldest = pending.popleft()
            self._dropped += self._table(oldest.direction).peek(key_of(oldest.probe)) is oldest
        deadline_us = flow.probe.time_us + SETTLE_US
        pending.append((deadline_us, flow))
        self.due_us = min(self.due_us, deadline_us)

    def _repeated(self, flow: Flow, packet: Packet) -> Sequence[Sighting]:
        """The same probe again: a stream that begins, or one that its sender repeats."""
        if flow.state is FlowState.EXPECTED:
            return ()
        flow.repeats += 1
        if not self._is_stream(flow, packet):
            return (self.about(flow, Kind.REPEAT, packet.time_us),)
        flow.state = FlowState.EXPECTED
        retracted = self.about(flow, Kind.EXPECTED, packet.time_us)
        return retracted, retracted._replace(port=retracted.port ^ 1)

    def _is_stream(self, flow: Flow, packet: Packet) -> bool:
        if packet.proto != UDP or flow.direction != "inbound" or flow.state not in UNANSWERED_STATES:
            return False
        is_long = flow.repeats >= _STREAM_REPEATS
        return self._expects(packet) or (is_long and self.expected.is_stream(packet, self.home.source_of(packet.src)))

    def answered(self, packet: Packet) -> Sequence[Sighting]:
        """A SYN-ACK or another answer: its sender serves the port. Without a probe it is backscatter."""
        flow = self.find(reverse_key_of(packet))
        if packet.proto == TCP and self._accepts_unseen(packet, flow):
            return self._accepted_unseen(packet)
        if flow is None:
            self._stray(packet)
            return ()
        if flow.direction == "outbound":
            if packet.proto == TCP and packet.ack != (flow.probe.seq + 1) % (1 << 32):
                return ()  # its sender has not seen our SYN
            flow.answers += 1
            self.expected.answer(packet, flow.answers)
        elif packet.proto == TCP:
            self._note_accepted(flow, packet.seq, packet.time_us)
        trap = flow.direction == "inbound" and self.served.is_open_trap(proto_name(packet), packet.src_port)
        if flow.direction == "inbound" and not trap:
            self.served.learn(packet.src, proto_name(packet), packet.src_port, packet.time_us)
        if flow.state not in UNANSWERED_STATES:
            return ()
        flow.state = FlowState.ANSWERED
        answered = self.about(flow, Kind.TRAPPED if trap else Kind.ANSWERED, packet.time_us)
        if trap and self._accepted.pop(key_of(flow.probe)):
            return answered, answered._replace(kind=Kind.PROVEN)
        return (answered,)

    def _accepts_unseen(self, packet: Packet, flow: Flow | None) -> bool:
        """Whether a SYN-ACK answers a first segment that the kernel's filter kept.

        Args:
            packet: the SYN-ACK.
            flow: the flow that its addresses and ports belong to.
        """
        if flow is not None:
            # A client may use its port again, and what only a refusal showed had that for an answer.
            is_same = flow.our_seq in {None, packet.seq} or flow.probe.seq == (packet.ack - 1) % (1 << 32)
            if (is_same and flow.scan_type != "unseen") or flow.direction == "outbound":
                return False
        is_trap = self.served.is_open_trap("tcp", packet.src_port)
        return not is_trap and self.is_answer(packet.src, packet.src_port, packet.dst, packet.dest_port)

    def is_answer(self, src: str, port: int, dst: str, dest_port: int) -> bool:
        """Whether a TCP segment between these ends is ours, to somebody else, and of no connection that we opened."""
        if dst in self.host.own or not self.home.surely_has(src):
            return False
        return not self.outbound.holds((TCP, src, port, dst, dest_port))

    def _accepted_unseen(self, packet: Packet) -> Sequence[Sighting]:
        """Our SYN-ACK, whose flow begins as with the first segment: that was a client's, or it had been seen."""
        time_us, src, dst, _, src_port, dest_port, _, _, ack = packet[:9]
        seq, vlan, iface = (ack - 1) % (1 << 32), packet.vlan, packet.in_iface
        head = (time_us, dst, src, TCP, dest_port, src_port, SYN, seq, 0, 0, _UNSEEN_HEADER_BYTES, b"", _UNKNOWN_TTL)
        flow = Flow(_new(Packet, (*head, 0, vlan, iface, False, None)), "connect", "inbound")
        flow.state = _SERVED
        self.inbound.put((TCP, dst, dest_port, src, src_port), flow)
        self._note_accepted(flow, packet.seq, time_us)
        self.served.learn(src, "tcp", src_port, time_us)
        return (self.about(flow, _VISIT, time_us),)

    def _note_accepted(self, flow: Flow, seq: int, now_us: int) -> None:
        """Our SYN-ACK: what acknowledges its number is proof."""
        if flow.our_seq == seq:
            flow.is_repeated = now_us - flow.answered_us > _CAPTURED_TWICE_US
            return
        flow.our_seq, flow.answered_us = seq, now_us
        if not self.host.peers_known and len(self._open) < self._max_pending:
            deadline_us = now_us + _OPEN_US
            self._open.append((deadline_us, flow))
            self.due_us = min(self.due_us, deadline_us)

    def _stray(self, packet: Packet) -> None:
        """A segment with ACK that belongs to no known flow."""
        if packet.proto == TCP:
            if packet.flags & SYN and not self.home.has(packet.src):
                self.expected.reflection.note_syn_ack(self.home.source_of(packet.src), packet)
            elif packet.flags & SYN and not self.served.is_open_trap("tcp", packet.src_port):
                # Our hosts send a SYN-ACK only from a port that is served.
                self.served.learn(packet.src, "tcp", packet.src_port, packet.time_us)
            self.strays.put(key_of(packet), packet)

    def refuse(self, flow: Flow | None, now_us: int) -> Sequence[Sighting]:
        """The receiver of a flow's first packet refuses it."""
        if flow is not None and flow.state is FlowState.PENDING:
            flow.state = FlowState.REFUSED
            if flow.direction == "outbound":
                self.expected.decline(flow.probe)
            return (self.about(flow, Kind.REFUSED, now_us),)
        return ()

    def closing(self, packet: Packet) -> Sequence[Sighting]:
        """A FIN or RST with ACK by the initiator, which may prove that it received what we sent."""
        flow = self.find(key_of(packet))
        if flow is None:
            queried = self.find(reverse_key_of(packet))
            if queried is None:
                self._stray(packet)
            elif queried.state in UNANSWERED_STATES:
                # Its SYN-ACK was not captured, but it must have answered to have a connection to close.
                queried.state = FlowState.ANSWERED
                return (self.about(queried, Kind.ANSWERED, packet.time_us),)
            return ()
        if flow.direction == "outbound" and flow.state in ANSWERED_STATES:
            self.expected.contact(packet.dst, packet.time_us)
        missing = self._answer_missing(flow, packet)
        if flow.direction == "outbound" or not packet.flags & ACK:
            flow.has_ended = True
            return missing
        return (*missing, *self.end(flow, packet.ack, packet.time_us, packet.ttl))

    def _answer_missing(self, flow: Flow, packet: Packet) -> Sequence[Sighting]:
        """In a capture of one direction, a source that closes a connection had an answer that is missing.

        Where both directions are captured, a scanner could use this to retract its probes.
        """
        if self.home.is_known or flow.state not in UNANSWERED_STATES or not packet.flags & ACK:
            return ()
        flow.state = _ANSWERED
        return (self.about(flow, Kind.ANSWERED, packet.time_us),)

    def accepted(self, visitor: str, port: int, trap: str, trap_port: int, now_us: int) -> Sequence[Sighting]:
        """The kernel completed a handshake with an open trap of ours: proof, whatever was seen of it so far."""
        key = (TCP, visitor, port, trap, trap_port)
        flow = self.inbound.peek(key)
        if flow is not None and flow.state in ANSWERED_STATES:
            return (self.about(flow, Kind.PROVEN, now_us),)
        self._accepted.put(key, True)  # the kernel knows before the capture does
        return ()

    def find(self, key: FlowKey) -> Flow | None:
        """The flow of that key, which becomes the most recently used."""
        inbound = self.inbound
        flow = inbound.peek(key)
        if flow is not None:
            inbound.renew(key)
            return flow
        return self.outbound.touch(key) if self.outbound.holds(key) else None

    def _table(self, direction: Direction) -> LruTable[FlowKey, Flow]:
        return self.outbound if direction == "outbound" else self.inbound

    def probe(self, packet: Packet) -> Sighting:
        """The sighting of a TCP or UDP probe of a suppressed source, which is not tracked as a flow."""
        scan_type: ScanType = tcp_type(packet) if packet.proto == TCP else "udp"
        return self.about(Flow(packet, scan_type, "inbound"), Kind.PROBE, packet.time_us)

    def about(self, flow: Flow, kind: Kind, time_us: int) -> Sighting:
        """The sighting of a step of a flow."""
        probe = flow.probe
        src = probe.src
        return _new(
            Sighting,
            (
                kind,
                time_us,
                src if ":" not in src else self.home.source6_of(src),
                probe.dst,
                probe.dest_port,
                "tcp" if probe.proto == TCP else proto_name(probe),
                flow.scan_type,
                flow.direction,
                probe,
                self.home.is_known,
            ),
        )


def _is_same_probe(unseen: Packet, seen: Packet) -> bool:
    """Whether a packet is the one of which a refusal told before, in the same flow."""
    return seen.proto != TCP or (seen.seq - unseen.seq) % (1 << 32) <= 1


def _due(deadlines: deque[tuple[int, Flow]], now_us: int) -> bool:
    """Whether the first deadline has passed; one too far ahead is of a clock that was set back since."""
    return bool(deadlines) and not now_us < deadlines[0][0] <= now_us + _LATEST_DEADLINE_US
