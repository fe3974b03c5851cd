"""The flow table: who spoke first, and how it was answered. Packet in, Sightings out.

Plain ACKs and data never come here: the kernel's filter drops them live, and `decode` in a replay.
"""

import enum
from collections import deque
from collections.abc import Iterable, Iterator
from heapq import merge
from typing import Literal

from portsentry_py.config.settings import Limits
from portsentry_py.core.host_state import HostState, is_unicast, within
from portsentry_py.core.lru_table import LruTable
from portsentry_py.core.packet import ACK, FIN, ICMP, ICMPV6, RST, SCTP, SYN, TCP, UDP, Packet
from portsentry_py.core.probe_types import (
    is_icmp_request,
    is_traceroute,
    looks_like_a_reply,
    proto_name,
    request_of_reply,
    resets_unknown,
    sctp_answers,
    sctp_refuses,
    sctp_type,
    tcp_type,
)
from portsentry_py.core.served_ports import ServedPorts
from portsentry_py.core.sighting import Kind, Sighting
from portsentry_py.events.model import Direction, ScanType

FlowKey = tuple[int, str, int, str, int]

# A host answers a SYN within its round trip; a client's own stack waits for one second.
SETTLE_US = 1_000_000
# A stack repeats a SYN-ACK that is not acknowledged after a second. Three seconds without that and without a
# RST mean that the handshake is complete, although the ACK that completed it stayed in the kernel.
_HANDSHAKE_US = 3_000_000
# More than either, and more than capture times are out of order: a later deadline is of a wrong clock.
_LATEST_DEADLINE_US = 10_000_000
# An acknowledgement is proof if it lies at most this far past our first sequence number: a blind forger hits
# one in 4096.
_PROOF_BYTES = 1 << 20
# SYN and FIN count as one each; a source that acknowledged more has read what we served.
_UNUSED_BYTES = 2
_ICMP_ERRORS = {(ICMP, 3), (ICMP, 11), (ICMP, 12), (ICMPV6, 1), (ICMPV6, 3), (ICMPV6, 4)}
ServerKind = Literal["resolver", "ntp_server", "dhcp_server"]
_SERVERS: dict[int, ServerKind] = {53: "resolver", 67: "dhcp_server", 123: "ntp_server", 547: "dhcp_server"}
_MAX_SERVERS = 1024
_MAX_LATEST = 4096


class FlowState(enum.Enum):
    """How a flow's first packet was answered."""

    PENDING = "pending"
    ANSWERED = "answered"
    REFUSED = "refused"
    SILENT = "silent"
    SERVED = "served"  # its port is known to be served, so an answer tells nothing new


_OVER = frozenset({FlowState.ANSWERED, FlowState.SERVED})
_UNANSWERED = frozenset({FlowState.PENDING, FlowState.SILENT})


class Flow:
    """An attempt: its first packet, and how it was answered."""

    __slots__ = ("acknowledged", "answers", "direction", "our_seq", "probe", "scan_type", "state")

    def __init__(self, probe: Packet, scan_type: ScanType, direction: Direction) -> None:
        self.probe = probe
        self.scan_type = scan_type
        self.direction = direction
        self.state = FlowState.PENDING
        self.our_seq: int | None = None  # of our SYN-ACK
        self.answers = 0  # SYN-ACKs sent; more than one means that the first was not acknowledged
        self.acknowledged = False  # by a FIN or RST of the initiator, or the flow has ended in another way


class FlowTable:
    """Turns packets into sightings; bounded in both directions.

    Flows that we opened have a table of their own: nobody outside can push them out of it.
    """

    def __init__(self, limits: Limits) -> None:
        self._host: HostState = HostState()
        self.served = ServedPorts()
        self._inbound: LruTable[FlowKey, Flow] = LruTable(limits.max_flows)
        self._outbound: LruTable[FlowKey, Flow] = LruTable(limits.max_flows)
        # Segments with ACK that belong to no flow: a RST of ours shows that they were probes.
        self._strays: LruTable[FlowKey, Packet] = LruTable(limits.max_flows)
        self._servers: LruTable[str, ServerKind] = LruTable(_MAX_SERVERS)
        self._pending: deque[tuple[int, Flow]] = deque()
        self._handshakes: deque[tuple[int, Flow]] = deque()
        self._max_pending = limits.max_flows
        self._dropped = 0  # attempts whose answer is no longer awaited because too many were
        # tshark prints too little of an ICMPv6 error to know the quoted port: take the latest attempt.
        self._latest: LruTable[tuple[int, str, str], FlowKey] = LruTable(_MAX_LATEST)
        self._queried: LruTable[str, bool] = LruTable(limits.max_flows)  # a set with an order
        self.is_queried = self._queried.holds
        """Whether we sent an address something."""

    @property
    def evicted(self) -> int:
        """Flows that were dropped because the tables were full."""
        return self._inbound.evicted + self._outbound.evicted + self._dropped

    def set_host(self, host: HostState) -> None:
        """Take the host's addresses and listening sockets as they are now."""
        self._host = host
        self.served.set_host(host)

    def server(self, address: str) -> ServerKind | None:
        """The kind of server, if we queried the address and it answered."""
        return self._servers.peek(address)

    def servers(self) -> list[tuple[str, ServerKind]]:
        """All servers that answered us, with their kind."""
        return list(self._servers.items())

    def restore_servers(self, servers: Iterable[tuple[str, ServerKind]]) -> None:
        """Take the servers of an earlier run, as `servers` gives them."""
        for address, kind in servers:
            self._servers.put(address, kind)

    def advance(self, now_us: int) -> Iterator[Sighting]:
        """The time is `now_us`: unanswered attempts become SILENT, unrepeated SYN-ACKs a SESSION."""
        if not (_due(self._pending, now_us) or _due(self._handshakes, now_us)):
            return
        yield from merge(self._fall_silent(now_us), self._complete(now_us), key=lambda sighting: sighting.time_us)

    def _fall_silent(self, now_us: int) -> Iterator[Sighting]:
        while _due(self._pending, now_us):
            deadline_us, flow = self._pending.popleft()
            if flow.state is FlowState.PENDING:
                flow.state = FlowState.SILENT
                yield self._about(flow, Kind.SILENT, deadline_us)

    def _complete(self, now_us: int) -> Iterator[Sighting]:
        while _due(self._handshakes, now_us):
            deadline_us, flow = self._handshakes.popleft()
            if flow.answers == 1 and not flow.acknowledged:
                yield self._about(flow, Kind.SESSION, deadline_us)

    def finish(self) -> Iterator[Sighting]:
        """The input has ended: attempts without an answer become SILENT."""
        self._handshakes.clear()
        while self._pending:
            yield from self.advance(self._pending[0][0])

    def observe(self, packet: Packet) -> Iterator[Sighting]:
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

    def _tcp(self, packet: Packet) -> Iterator[Sighting]:
        flags = packet.flags
        if flags & RST:
            return self._reset(packet)
        if flags & (SYN | ACK) == SYN | ACK:
            return self._answered(packet)
        if flags & ACK:
            return self._closing(packet)
        return self._attempt(packet, tcp_type(packet))

    def _udp(self, packet: Packet) -> Iterator[Sighting]:
        if self._flow(_reverse(packet)) is not None:
            return self._answered(packet)
        if looks_like_a_reply(packet) or is_traceroute(packet):
            return iter(())
        return self._attempt(packet, "udp")

    def _sctp(self, packet: Packet) -> Iterator[Sighting]:
        scan_type = sctp_type(packet)
        if scan_type is not None:
            return self._attempt(packet, scan_type)
        if sctp_refuses(packet):
            return self._refused(_reverse(packet), packet.time_us)
        return self._answered(packet) if sctp_answers(packet) else iter(())

    def _icmp(self, packet: Packet) -> Iterator[Sighting]:
        if is_icmp_request(packet):
            return self._attempt(packet._replace(src_port=0, dest_port=packet.src_port), "icmp")
        request = request_of_reply(packet)
        if request is not None:
            return self._answered(packet._replace(src_port=request, dest_port=0))
        # An error is about the packet that it quotes, not about its own addresses.
        quoted = packet.quoted
        if quoted is None or (packet.proto, packet.src_port) not in _ICMP_ERRORS:
            return iter(())
        key: FlowKey | None
        if not quoted.dst:
            key = self._latest.peek((quoted.proto, quoted.src, packet.src))
        elif quoted.proto in {TCP, UDP, SCTP}:
            key = (quoted.proto, quoted.src, quoted.src_port, quoted.dst, quoted.dest_port)
        else:
            key = (quoted.proto, quoted.src, 0, quoted.dst, _icmp_port(quoted.proto, quoted.src_port))
        return self._refused(key, packet.time_us) if key is not None else iter(())

    def _other(self, packet: Packet) -> Iterator[Sighting]:
        """Any other protocol, whose number takes the place of the port."""
        packet = packet._replace(src_port=0, dest_port=packet.proto)
        if self._flow((packet.proto, packet.dst, 0, packet.src, packet.proto)) is not None:
            return self._answered(packet._replace(src_port=packet.proto, dest_port=0))
        return self._attempt(packet, "ipproto")

    def _attempt(self, packet: Packet, scan_type: ScanType) -> Iterator[Sighting]:
        """A packet that opens a flow, or repeats the packet that opened it."""
        direction = self._direction(packet)
        if direction is None or not is_unicast(packet.dst) or self._flow(_reverse(packet)) is not None:
            return
        key = _key(packet)
        table = self._table(direction)
        flow = table.touch(key)
        # The same packet before an answer is a repetition; after an answer it is a new attempt.
        if flow is not None and (packet.proto != TCP or flow.probe.flags == packet.flags):
            if flow.state not in _OVER:
                yield self._about(flow, Kind.REPEAT, packet.time_us)
                return
            if packet.proto != TCP:
                return
        flow = Flow(packet, scan_type, direction)
        table.put(key, flow)
        if direction == "outbound":
            self._queried.put(packet.dst, True)
        if ":" in packet.src and packet.proto != TCP:
            self._latest.put((packet.proto, packet.src, packet.dst), key)
        if direction == "inbound" and self.served(packet.dst, proto_name(packet), packet.dest_port):
            flow.state = FlowState.SERVED
            yield self._about(flow, Kind.SERVED, packet.time_us)
            return
        if len(self._pending) == self._max_pending:
            _, oldest = self._pending.popleft()
            self._dropped += self._table(oldest.direction).peek(_key(oldest.probe)) is oldest
        self._pending.append((packet.time_us + SETTLE_US, flow))
        yield self._about(flow, Kind.PROBE, packet.time_us)

    def _answered(self, packet: Packet) -> Iterator[Sighting]:
        """A SYN-ACK or another answer: its sender serves the port. Without a probe it is backscatter."""
        flow = self._flow(_reverse(packet))
        if flow is None:
            self._stray(packet)
            return
        if packet.proto == TCP:
            flow.our_seq = packet.seq
            flow.answers += 1
        trap = flow.direction == "inbound" and self.served.is_open_trap(proto_name(packet), packet.src_port)
        if flow.direction == "inbound":
            if not trap:
                self.served.learn(packet.src, proto_name(packet), packet.src_port, packet.time_us)
            if packet.proto == TCP and flow.answers == 1:
                self._expect_handshake(packet.time_us, flow)
        elif packet.proto == UDP and packet.src_port in _SERVERS:
            self._servers.put(packet.src, _SERVERS[packet.src_port])
        if flow.state in _UNANSWERED:
            flow.state = FlowState.ANSWERED
            yield self._about(flow, Kind.TRAPPED if trap else Kind.ANSWERED, packet.time_us)

    def _expect_handshake(self, now_us: int, flow: Flow) -> None:
        if len(self._handshakes) == self._max_pending:
            self._handshakes.popleft()
        self._handshakes.append((now_us + _HANDSHAKE_US, flow))

    def _stray(self, packet: Packet) -> None:
        """A segment with ACK that belongs to no known flow."""
        if packet.proto == TCP:
            trap = self.served.is_open_trap("tcp", packet.src_port)
            if self.is_home(packet.src) and packet.flags & SYN and not trap:
                # Our hosts send a SYN-ACK only from a port that is served.
                self.served.learn(packet.src, "tcp", packet.src_port, packet.time_us)
            self._strays.put(_key(packet), packet)

    def _reset(self, packet: Packet) -> Iterator[Sighting]:
        key = _reverse(packet)
        flow = self._flow(key)
        if flow is not None:
            flow.acknowledged = True  # it has ended: no session will follow
            return self._refused(key, packet.time_us)
        if self._flow(_key(packet)) is not None:
            return self._closing(packet)
        return self._unknown_segment(packet) if resets_unknown(packet) else iter(())

    def _refused(self, key: FlowKey, now_us: int) -> Iterator[Sighting]:
        flow = self._flow(key)
        if flow is not None and flow.state is FlowState.PENDING:
            flow.state = FlowState.REFUSED
            yield self._about(flow, Kind.REFUSED, now_us)

    def _unknown_segment(self, reset: Packet) -> Iterator[Sighting]:
        """We reset a segment with ACK that belongs to no flow: an ACK or Maimon probe, or a late packet.

        Plain ACKs stay in the kernel, so only the RST shows them. A FIN or a SYN-ACK was seen: the former is
        Maimon's probe, the latter backscatter of a flood that somebody sends in our name.
        """
        key = _reverse(reset)
        stray = self._strays.touch(key)
        if stray is None:
            stray = Packet(
                reset.time_us,
                reset.dst,
                reset.src,
                TCP,
                reset.dest_port,
                reset.src_port,
                ACK,
                ack=reset.seq,
                vlan=reset.vlan,
                in_iface=reset.in_iface,
                tunnelled=reset.tunnelled,
            )
        if stray.flags & SYN or looks_like_a_reply(stray) or not self.is_home(reset.src):
            return
        for sighting in self._attempt(stray, "maimon" if stray.flags & FIN else "ack"):
            yield sighting._replace(time_us=reset.time_us)
        yield from self._refused(key, reset.time_us)

    def _closing(self, packet: Packet) -> Iterator[Sighting]:
        """A FIN or RST with ACK by the initiator, which may prove that it received what we sent."""
        flow = self._flow(_key(packet))
        if flow is None:
            queried = self._flow(_reverse(packet))
            if queried is None:
                self._stray(packet)
            elif queried.state in _UNANSWERED:
                # Its SYN-ACK was not captured, but it must have answered to have a connection to close.
                yield from self._answered(packet)
            return
        first = not flow.acknowledged
        flow.acknowledged = True
        if not self._host.home_known and flow.state in _UNANSWERED and packet.flags & ACK:
            # In a capture of one direction, a source that closes a connection had an answer that is missing.
            # Where both directions are captured, a scanner could use this to retract its probes.
            flow.state = FlowState.ANSWERED
            yield self._about(flow, Kind.ANSWERED, packet.time_us)
        if flow.our_seq is None or not packet.flags & ACK or not first:
            return
        received = (packet.ack - flow.our_seq) % (1 << 32)
        if 0 < received <= _PROOF_BYTES and flow.direction == "inbound":
            kind = Kind.SESSION if received > _UNUSED_BYTES else Kind.PROVEN
            yield self._about(flow, kind, packet.time_us)

    def _flow(self, key: FlowKey) -> Flow | None:
        return self._inbound.touch(key) or self._outbound.touch(key)

    def _table(self, direction: Direction) -> LruTable[FlowKey, Flow]:
        return self._outbound if direction == "outbound" else self._inbound

    def is_home(self, address: str) -> bool:
        """Whether a canonical address is ours; in a replay without `--home`, any may be."""
        host = self._host
        return not host.home_known or address in host.own or within(address, host.home)

    def _direction(self, packet: Packet) -> Direction | None:
        """`inbound` to us, `outbound` from us to others, None between others."""
        if self.is_home(packet.dst):
            return "inbound"
        return "outbound" if self.is_home(packet.src) else None

    def probe(self, packet: Packet) -> Sighting:
        """The sighting of a TCP or UDP probe of a suppressed source, which is not tracked as a flow."""
        scan_type: ScanType = tcp_type(packet) if packet.proto == TCP else "udp"
        return self._about(Flow(packet, scan_type, "inbound"), Kind.PROBE, packet.time_us)

    def _about(self, flow: Flow, kind: Kind, time_us: int) -> Sighting:
        probe = flow.probe
        return Sighting(
            kind,
            time_us,
            probe.src,
            probe.dst,
            probe.dest_port,
            proto_name(probe),
            flow.scan_type,
            flow.direction,
            probe,
            self._host.home_known,
        )


def _due(deadlines: deque[tuple[int, Flow]], now_us: int) -> bool:
    """Whether the first deadline has passed; one too far ahead is of a clock that was set back since."""
    return bool(deadlines) and not now_us < deadlines[0][0] <= now_us + _LATEST_DEADLINE_US


def _icmp_port(proto: int, ports: int) -> int:
    """The number in the place of the port of a quoted packet: ICMP's type, else the protocol."""
    return ports >> 8 if proto in {ICMP, ICMPV6} else proto


def _key(packet: Packet) -> FlowKey:
    return (packet.proto, packet.src, packet.src_port, packet.dst, packet.dest_port)


def _reverse(packet: Packet) -> FlowKey:
    return (packet.proto, packet.dst, packet.dest_port, packet.src, packet.src_port)
