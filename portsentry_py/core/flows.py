"""The flow table: who spoke first, and how it was answered. Packet in, Sightings out.

Plain ACKs and data never come here: the kernel's filter drops them live, and `decode` in a replay. Nor do, live,
packets in our name that did not leave this host, and the first segments of ordinary clients to served TCP ports: our
SYN-ACK tells of those.
"""

from collections import deque
from collections.abc import Iterator, Sequence

from portsentry_py.config.settings import Limits
from portsentry_py.core.columns import (
    ACCEPTING_FLAGS,
    ACK_NUMBER,
    DEST_PORT,
    ENDS,
    FLAGS,
    HEADER_WORDS,
    SEQ_NUMBER,
    SRC_PORT,
    Head,
)
from portsentry_py.core.expectation import Expectations
from portsentry_py.core.flow import (
    ANSWERED_STATES,
    UNANSWERED_STATES,
    Flow,
    FlowKey,
    FlowState,
    key_of,
    quoted_key_of,
    reverse_key_of,
)
from portsentry_py.core.home import Home
from portsentry_py.core.host_state import HostState, is_unicast
from portsentry_py.core.icmp_errors import WITH_PORTS, LatestPackets, is_error, is_refusal, quoted_probe
from portsentry_py.core.lru_table import LruTable
from portsentry_py.core.packet import ACK, DCCP, FIN, ICMP, ICMPV6, RST, SCTP, SYN, TCP, UDP, UDPLITE, Packet, Quoted
from portsentry_py.core.probe_types import (
    is_icmp_request,
    looks_like_a_reply,
    proto_name,
    request_of_reply,
    resets_first_packet,
    resets_unknown,
    sctp_answers,
    sctp_refuses,
    sctp_type,
    tcp_type,
)
from portsentry_py.core.reflection import REFLECTED_TYPES
from portsentry_py.core.route_probes import FIRST_ROUTE_PORT, RouteProbes
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
_LEAST_WORDS = "5"  # of a TCP header, RFC 9293; as hex digits sort
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


class FlowHeads:
    """Looks up the flow of a segment by its head.

    Args:
        flows: the flows that are known.
    """

    def __init__(self, flows: FlowTable) -> None:
        self._flows = flows
        self._served = flows.served
        self._home = flows.home

    def is_own_end(self, head: Head) -> bool:
        """Whether a FIN with ACK is a server's of this host: it tells nothing, and the kernel's filter drops it live.

        Of a port that is known to have answered; the end of a connection that this host opened from there is another.
        """
        _, src, digits, dst, proto = head
        try:
            port, dest_port = int(digits[SRC_PORT], 16), int(digits[DEST_PORT], 16)
        except ValueError:
            return False
        if proto != "tcp" or port not in self._served.numbers or not self._served.has_answered((src, "port", port)):
            return False
        return not self._flows.outbound.holds((TCP, src, port, dst, dest_port))

    def ending(self, head: Head) -> tuple[Flow, int] | None:
        """The flow that its initiator's FIN with ACK ends, and what it acknowledges; None if it has to be decoded.

        Where the flow came from outside and had an answer or a refusal, the head tells all: the addresses and ports are
        those of a packet that was decoded.
        """
        _, src, digits, dst, _ = head
        try:
            ports, ack = int(digits[ENDS], 16), int(digits[ACK_NUMBER], 16)
        except ValueError:
            return None
        key = (TCP, src, ports >> 16, dst, ports & 0xFFFF)
        flow = self._flows.inbound.peek(key)
        if flow is None or flow.state in UNANSWERED_STATES or digits[HEADER_WORDS] < _LEAST_WORDS:
            return None
        self._flows.inbound.renew(key)
        return flow, ack

    def accepting(self, head: Head) -> tuple[Flow, int] | None:
        """The flow that a SYN-ACK accepts, and its sequence number; None if it has to be decoded.

        Where the flow came from outside to a served port, its head tells all, as that of an end does.
        """
        _, src, digits, dst, _ = head
        try:
            ports, seq = int(digits[ENDS], 16), int(digits[SEQ_NUMBER], 16)
        except ValueError:
            return None
        key = (TCP, dst, ports & 0xFFFF, src, ports >> 16)
        flow = self._flows.inbound.peek(key)
        if flow is None or flow.state in UNANSWERED_STATES or digits[HEADER_WORDS] < _LEAST_WORDS:
            return None
        if flow.scan_type == "unseen" or (flow.our_seq is not None and flow.our_seq != seq):
            return None  # perhaps it answers another first segment, which was not seen
        self._flows.inbound.renew(key)
        return flow, seq

    def answers_unseen(self, head: Head) -> bool:
        """Whether a SYN-ACK or RST of ours answers a segment that was not seen."""
        _, src, digits, dst, _ = head
        try:
            ports = int(digits[ENDS], 16)
            port, dest_port = ports >> 16, ports & 0xFFFF
            if self._flows.inbound.holds((TCP, dst, dest_port, src, port)):
                return False
            accepts = digits[FLAGS] in ACCEPTING_FLAGS
            if self._served.is_open_trap("tcp", port) if accepts else self._home.has(dst):
                return False
            return self._flows.is_answer(src, port, dst, dest_port)
        except ValueError:  # no ports, or no address
            return False


class Refusals:
    """Turns resets and ICMP errors into sightings of what they refuse.

    Args:
        flows: what was seen.
    """

    def __init__(self, flows: FlowTable) -> None:
        self._flows = flows
        self._home = flows.home
        self._served = flows.served
        self._expected = flows.expected

    def reset(self, packet: Packet) -> Sequence[Sighting]:
        """A segment with RST: of the responder, which refuses, or of the initiator, which closes."""
        flow = self._flows.find(reverse_key_of(packet))
        is_refusal = resets_first_packet(packet) and self._home.surely_has(packet.src)
        if flow is not None:
            flow.has_ended = True
            if is_refusal and flow.direction == "inbound" and flow.state in ANSWERED_STATES:
                return self._contradicted(flow, packet)
            return self._flows.refuse(flow, packet.time_us)
        if self._flows.find(key_of(packet)) is not None:
            return self._flows.closing(packet)
        if is_refusal:
            self._note_closed(packet.src, packet.src_port)
            return self._refused_unseen(_probe_before(packet))
        if packet.flags & (FIN | ACK) == FIN:
            return self._flows.attempt(packet, "odd_flags")  # no stack's reset
        return self._unknown_segment(packet) if resets_unknown(packet) else ()

    def error(self, packet: Packet, quoted: Quoted) -> Sequence[Sighting]:
        """An error is about the packet that it quotes, not about its own addresses."""
        if not quoted.dst:
            return self._portless_error(packet, quoted)
        has_ports = quoted.proto in WITH_PORTS
        flow = self._flows.find(quoted_key_of(quoted, has_ports))
        if flow is not None:
            return self._flows.refuse(flow, packet.time_us)
        if not self._is_our_refusal(packet) or not self._home.has(quoted.dst):
            return ()
        if not has_ports:
            is_asked = self._flows.find((quoted.proto, quoted.dst, 0, quoted.src, quoted.proto)) is not None
            if is_asked or quoted.proto in {ICMP, ICMPV6}:
                return ()
        return self._refused_unseen(quoted_probe(packet, quoted))

    def _portless_error(self, packet: Packet, quoted: Quoted) -> Sequence[Sighting]:
        """An error that does not show the quoted port is about the latest packet."""
        key, reply = self._flows.latest.attempt(packet, quoted), self._flows.latest.reply(packet, quoted)
        flow = None if key is None else self._flows.find(key)
        if reply is None or (flow is not None and flow.probe.time_us > reply.time_us):
            return self._flows.refuse(flow, packet.time_us)
        self._flows.latest.forget_reply(packet, quoted)
        return self._refused_unseen(reply._replace(time_us=packet.time_us)) if self._is_our_refusal(packet) else ()

    def _is_our_refusal(self, error: Packet) -> bool:
        return is_refusal(error) and self._home.surely_has(error.src)

    def _contradicted(self, flow: Flow, reset: Packet) -> Sequence[Sighting]:
        """Our stack refuses a first packet that seemed to be answered: the port is closed, or closed by now.

        Where the direction of packets is not known, somebody may have answered in our name.
        """
        proto, probe = proto_name(reset), flow.probe
        if self._served.is_configured(proto, probe.dest_port):
            return ()  # a full backlog, or a rule of the firewall
        self._served.forget(probe.dst, proto, probe.dest_port)
        flow.state = FlowState.REFUSED
        return self._flows.about(flow, Kind.PROBE, reset.time_us), self._flows.about(flow, Kind.REFUSED, reset.time_us)

    def _note_closed(self, address: str, port: int) -> None:
        """Our stack says that a TCP port is closed, though it may have answered before."""
        if not self._served.is_configured("tcp", port):
            self._served.forget(address, "tcp", port)

    def _refused_unseen(self, probe: Packet) -> Sequence[Sighting]:
        """We refused something that we did not see: a probe in fragments, say, or behind headers that were cut.

        A scanner learns by exactly these refusals, so it cannot hide them.
        """
        if self._flows.find(reverse_key_of(probe)) is not None or self._flows.routes.holds(
            probe, self._home.source_of(probe.src)
        ):
            return ()  # an answer to us that came too late, or while a ban held it off; or a probe of the route
        if probe.proto in {TCP, UDP} and looks_like_a_reply(probe, self._flows.host.local_ports):
            return self._refused_reply(probe, "udp" if probe.proto == UDP else "unseen")
        return self._settled_at_once(probe, "unseen")

    def _refused_reply(self, probe: Packet, scan_type: ScanType) -> Sequence[Sighting]:
        """We refused what looks like a reply; it is one, unless its source goes on."""
        counted = self._expected.refused(self._home.source_of(probe.src), probe)
        return [sighting for one in counted for sighting in self._settled_at_once(one, scan_type)]

    def _settled_at_once(self, probe: Packet, scan_type: ScanType) -> Sequence[Sighting]:
        """A probe that is known by its refusal alone."""
        attempted = self._flows.attempt(probe, scan_type)
        return [*attempted, *self._flows.refuse(self._flows.find(key_of(probe)), probe.time_us)]

    def _unknown_segment(self, reset: Packet) -> Sequence[Sighting]:
        """We reset a segment with ACK that belongs to no flow: an ACK or Maimon probe, or a late packet.

        Plain ACKs stay in the kernel, so only the RST shows them. A FIN or a SYN-ACK was seen: the former is
        Maimon's probe, the latter backscatter of a flood that somebody sends in our name.
        """
        seen = self._flows.strays.touch(reverse_key_of(reset))
        stray = seen or _probe_before(reset)
        if stray.flags & SYN or not self._home.has(reset.src):
            return ()
        if seen is None and self._expected.reflection.explains_reset(self._home.source_of(stray.src), reset.time_us):
            return ()
        stray = stray._replace(time_us=reset.time_us)
        scan_type: ScanType = "maimon" if stray.flags & FIN else "ack"
        if self._expected.is_late(stray, self._home.source_of(stray.src)):
            return ()
        if looks_like_a_reply(stray, self._flows.host.local_ports):
            return self._refused_reply(stray, scan_type)
        return self._settled_at_once(stray, scan_type)


class Protocols:
    """Turns packets into sightings.

    Args:
        flows: what was seen so far.
    """

    def __init__(self, flows: FlowTable) -> None:
        self._flows = flows
        self._refusals = Refusals(flows)
        self._home = flows.home
        self._expected = flows.expected

    def observe(self, packet: Packet) -> Sequence[Sighting]:
        """The sightings that one packet makes."""
        proto = packet.proto
        if proto == TCP:
            return self._tcp(packet)
        if proto == UDP:
            return self._udp(packet)
        if proto == SCTP:
            return self._sctp(packet)
        if proto in {ICMP, ICMPV6}:
            return self._icmp(packet)
        return self._other(packet)

    def _tcp(self, packet: Packet) -> Sequence[Sighting]:
        flags = packet.flags
        if flags & SYN and flags & (RST | FIN):
            return self._flows.attempt(packet, "odd_flags")
        if flags & RST:
            return self._refusals.reset(packet)
        if flags & (SYN | ACK) == SYN | ACK:
            return self._flows.answered(packet)
        if flags & ACK:
            return self._flows.closing(packet)
        return self._flows.attempt(packet, tcp_type(packet))

    def _udp(self, packet: Packet) -> Sequence[Sighting]:
        if self._home.has(packet.src):
            self._expected.send(packet)
        if self._flows.find(reverse_key_of(packet)) is not None:
            return self._flows.answered(packet)
        # The port first: most datagrams of a flood go below it, and to call costs more.
        if packet.dest_port >= FIRST_ROUTE_PORT and self._flows.routes.take(packet, self._home.source_of(packet.src)):
            return ()
        direction = self._home.direction(packet.src, packet.dst)
        is_ours = direction == "outbound" and not self._flows.served(packet.src, "udp", packet.src_port)
        if not is_ours and looks_like_a_reply(packet, self._flows.host.local_ports):
            self._expected.reflection.note(self._home.source_of(packet.src), packet)
            if ":" in packet.src:
                self._flows.latest.note_reply(packet)
            return self._unasked(packet)
        return self._flows.first(packet, "udp", direction)

    def _unasked(self, packet: Packet) -> Sequence[Sighting]:
        """What looks like a reply between clients is a sweep if many of our hosts get it, and none asked for it."""
        if packet.src_port >= self._flows.host.local_ports.start and self._home.surely_has(packet.dst):
            return [one for counted in self._expected.unasked(packet) for one in self._flows.attempt(counted, "udp")]
        return ()

    def _sctp(self, packet: Packet) -> Sequence[Sighting]:
        scan_type = sctp_type(packet)
        if scan_type is not None:
            return self._flows.attempt(packet, scan_type)
        if sctp_refuses(packet):
            return self._flows.refuse(self._flows.find(reverse_key_of(packet)), packet.time_us)
        return self._flows.answered(packet) if sctp_answers(packet) else ()

    def _icmp(self, packet: Packet) -> Sequence[Sighting]:
        if is_icmp_request(packet):
            return self._flows.attempt(packet._replace(src_port=0, dest_port=packet.src_port), "icmp")
        request = request_of_reply(packet)
        if request is not None:
            return self._flows.answered(packet._replace(src_port=request, dest_port=0))
        quoted = packet.quoted
        if quoted is None or not is_error(packet):
            return ()
        return self._refusals.error(packet, quoted)

    def _other(self, packet: Packet) -> Sequence[Sighting]:
        """Any other protocol; where it has no ports, its number takes the place of the port."""
        if packet.proto in {UDPLITE, DCCP}:
            if self._flows.find(reverse_key_of(packet)) is not None:
                return self._flows.answered(packet)
            return self._flows.attempt(packet, "ipproto")
        packet = packet._replace(src_port=0, dest_port=packet.proto)
        if self._flows.find((packet.proto, packet.dst, 0, packet.src, packet.proto)) is not None:
            return self._flows.answered(packet._replace(src_port=packet.proto, dest_port=0))
        return self._flows.attempt(packet, "ipproto")


def _is_same_probe(unseen: Packet, seen: Packet) -> bool:
    """Whether a packet is the one of which a refusal told before, in the same flow."""
    return seen.proto != TCP or (seen.seq - unseen.seq) % (1 << 32) <= 1


def _probe_before(reset: Packet) -> Packet:
    """The TCP segment that a reset of ours answers, as far as the reset tells; its sequence number if it was a SYN."""
    return Packet(
        reset.time_us,
        reset.dst,
        reset.src,
        TCP,
        reset.dest_port,
        reset.src_port,
        0 if reset.flags & ACK else ACK,
        seq=(reset.ack - 1) % (1 << 32) if reset.flags & ACK else 0,
        ack=reset.seq,
        vlan=reset.vlan,
        in_iface=reset.in_iface,
    )


def _due(deadlines: deque[tuple[int, Flow]], now_us: int) -> bool:
    """Whether the first deadline has passed; one too far ahead is of a clock that was set back since."""
    return bool(deadlines) and not now_us < deadlines[0][0] <= now_us + _LATEST_DEADLINE_US
