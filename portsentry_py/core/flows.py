"""Who spoke first, and what became of it: Packet in, Sightings out.

Live and in a replay the same packets reach this file: plain ACKs and data never do.
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

# A host that is there answers a SYN within its round trip; one second is what a client's own stack waits.
SETTLE_US = 1_000_000
# A stack whose SYN-ACK was not acknowledged sends it again after a second: three without that, and without a
# RST, mean that the handshake was completed, although the ACK that did it stayed in the kernel.
_HANDSHAKE_US = 3_000_000
_AHEAD_US = 10_000_000  # more than either, and than capture times are out of order
# How far past our first sequence number an acknowledgement may lie and still be proof. A blind forger
# would have to hit one in 4096.
_PROOF_BYTES = 1 << 20
# SYN and FIN count as one each; whoever acknowledged more has read what we served.
_UNUSED_BYTES = 2
_ICMP_ERRORS = {(ICMP, 3), (ICMP, 11), (ICMP, 12), (ICMPV6, 1), (ICMPV6, 3), (ICMPV6, 4)}
ServerKind = Literal["resolver", "ntp_server", "dhcp_server"]
_SERVERS: dict[int, ServerKind] = {53: "resolver", 67: "dhcp_server", 123: "ntp_server", 547: "dhcp_server"}
_MAX_SERVERS = 1024
_MAX_LATEST = 4096


class Outcome(enum.Enum):
    """What became of a flow's first packet."""

    PENDING = "pending"
    ANSWERED = "answered"
    REFUSED = "refused"
    SILENT = "silent"
    SERVED = "served"  # its port was known to be served: what becomes of it is no news


_OVER = frozenset({Outcome.ANSWERED, Outcome.SERVED})
_UNANSWERED = frozenset({Outcome.PENDING, Outcome.SILENT})


class Flow:
    """An attempt: its first packet, and what became of it."""

    __slots__ = ("acknowledged", "answers", "direction", "our_seq", "outcome", "probe", "scan_type")

    def __init__(self, probe: Packet, scan_type: ScanType, direction: Direction) -> None:
        self.probe = probe
        self.scan_type = scan_type
        self.direction = direction
        self.outcome = Outcome.PENDING
        self.our_seq: int | None = None  # of the SYN-ACK that we answered with
        self.answers = 0  # SYN-ACKs sent; more than one means that the first was not acknowledged
        self.acknowledged = False  # by a FIN or RST of the initiator; or it is over some other way


class FlowTable:
    """Turns packets into sightings; bounded in both directions.

    Flows that we opened have a table of their own, so that nobody outside can push them out of it.
    """

    def __init__(self, limits: Limits) -> None:
        self._host: HostState = HostState()
        self.served = ServedPorts()
        self._inbound: LruTable[FlowKey, Flow] = LruTable(limits.max_flows)
        self._outbound: LruTable[FlowKey, Flow] = LruTable(limits.max_flows)
        # Segments with ACK that belong to no flow: a RST of ours will tell whether they were probes.
        self._strays: LruTable[FlowKey, Packet] = LruTable(limits.max_flows)
        self._servers: LruTable[str, ServerKind] = LruTable(_MAX_SERVERS)
        self._pending: deque[tuple[int, Flow]] = deque()
        self._handshakes: deque[tuple[int, Flow]] = deque()
        self._max_pending = limits.max_flows
        self._overdue = 0  # attempts whose outcome nobody waits for any more
        # tshark shows too little of what an ICMPv6 error quotes to know the port: the latest attempt it is.
        self._latest: LruTable[tuple[int, str, str], FlowKey] = LruTable(_MAX_LATEST)
        self._queried: LruTable[str, bool] = LruTable(limits.max_flows)  # a set with an order
        self.is_queried = self._queried.holds
        """Whether we sent an address something."""

    @property
    def evicted(self) -> int:
        """Flows forgotten because the tables were full."""
        return self._inbound.evicted + self._outbound.evicted + self._overdue

    def set_host(self, host: HostState) -> None:
        """Take the host's addresses and listening sockets as they are now."""
        self._host = host
        self.served.set_host(host)

    def server(self, address: str) -> ServerKind | None:
        """`resolver`, `ntp_server` or `dhcp_server` if we asked the address and it answered."""
        return self._servers.peek(address)

    def servers(self) -> list[tuple[str, ServerKind]]:
        """The addresses of which `server` knows what they are, and what."""
        return list(self._servers.items())

    def restore_servers(self, servers: Iterable[tuple[str, ServerKind]]) -> None:
        """Take the servers of an earlier run, as `servers` gives them."""
        for address, kind in servers:
            self._servers.put(address, kind)

    def advance(self, now_us: int) -> Iterator[Sighting]:
        """Time has come to `now_us`: attempts that nobody answered are SILENT, handshakes complete."""
        if not (_due(self._pending, now_us) or _due(self._handshakes, now_us)):
            return
        yield from merge(
            self._fall_silent(now_us), self._complete(now_us), key=lambda sighting: sighting.time_us
        )

    def _fall_silent(self, now_us: int) -> Iterator[Sighting]:
        while _due(self._pending, now_us):
            deadline_us, flow = self._pending.popleft()
            if flow.outcome is Outcome.PENDING:
                flow.outcome = Outcome.SILENT
                yield self._about(flow, Kind.SILENT, deadline_us)

    def _complete(self, now_us: int) -> Iterator[Sighting]:
        while _due(self._handshakes, now_us):
            deadline_us, flow = self._handshakes.popleft()
            if flow.answers == 1 and not flow.acknowledged:
                yield self._about(flow, Kind.SESSION, deadline_us)

    def finish(self) -> Iterator[Sighting]:
        """No more packets: what is unanswered now stays so."""
        self._handshakes.clear()
        while self._pending:
            yield from self.advance(self._pending[0][0])

    def observe(self, packet: Packet) -> Iterator[Sighting]:
        """What one packet means."""
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
        # An error is about the packet that it quotes, never about its own addresses.
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
        """Any other protocol: its number stands for the port."""
        packet = packet._replace(src_port=0, dest_port=packet.proto)
        if self._flow((packet.proto, packet.dst, 0, packet.src, packet.proto)) is not None:
            return self._answered(packet._replace(src_port=packet.proto, dest_port=0))
        return self._attempt(packet, "ipproto")

    def _attempt(self, packet: Packet, scan_type: ScanType) -> Iterator[Sighting]:
        """A packet that opens something, or repeats what opened it."""
        direction = self._direction(packet)
        if direction is None or not is_unicast(packet.dst) or self._flow(_reverse(packet)) is not None:
            return
        key = _key(packet)
        table = self._table(direction)
        flow = table.touch(key)
        # A source port used again after an answer is a new attempt; the same packet before it a repetition.
        if flow is not None and (packet.proto != TCP or flow.probe.flags == packet.flags):
            if flow.outcome not in _OVER:
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
            flow.outcome = Outcome.SERVED
            yield self._about(flow, Kind.SERVED, packet.time_us)
            return
        if len(self._pending) == self._max_pending:
            _, overdue = self._pending.popleft()
            self._overdue += self._table(overdue.direction).peek(_key(overdue.probe)) is overdue
        self._pending.append((packet.time_us + SETTLE_US, flow))
        yield self._about(flow, Kind.PROBE, packet.time_us)

    def _answered(self, packet: Packet) -> Iterator[Sighting]:
        """A SYN-ACK, or whatever answers: its sender serves that, unless nobody asked (backscatter)."""
        flow = self._flow(_reverse(packet))
        if flow is None:
            self._stray(packet)
            return
        if packet.proto == TCP:
            flow.our_seq = packet.seq
            flow.answers += 1
        decoy = flow.direction == "inbound" and self.served.is_open_trap(proto_name(packet), packet.src_port)
        if flow.direction == "inbound":
            if not decoy:
                self.served.learn(packet.src, proto_name(packet), packet.src_port, packet.time_us)
            if packet.proto == TCP and flow.answers == 1:
                self._expect_handshake(packet.time_us, flow)
        elif packet.proto == UDP and packet.src_port in _SERVERS:
            self._servers.put(packet.src, _SERVERS[packet.src_port])
        if flow.outcome in _UNANSWERED:
            flow.outcome = Outcome.ANSWERED
            yield self._about(flow, Kind.TRAPPED if decoy else Kind.ANSWERED, packet.time_us)

    def _expect_handshake(self, now_us: int, flow: Flow) -> None:
        if len(self._handshakes) == self._max_pending:
            self._handshakes.popleft()
        self._handshakes.append((now_us + _HANDSHAKE_US, flow))

    def _stray(self, packet: Packet) -> None:
        """A segment with ACK that belongs to no flow that we know."""
        if packet.proto == TCP:
            decoy = self.served.is_open_trap("tcp", packet.src_port)
            if self.is_home(packet.src) and packet.flags & SYN and not decoy:
                # Nobody of ours sends a SYN-ACK from a port that is not served.
                self.served.learn(packet.src, "tcp", packet.src_port, packet.time_us)
            self._strays.put(_key(packet), packet)

    def _reset(self, packet: Packet) -> Iterator[Sighting]:
        key = _reverse(packet)
        flow = self._flow(key)
        if flow is not None:
            flow.acknowledged = True  # it is over: no session will come of it
            return self._refused(key, packet.time_us)
        if self._flow(_key(packet)) is not None:
            return self._closing(packet)
        return self._unknown_segment(packet) if resets_unknown(packet) else iter(())

    def _refused(self, key: FlowKey, now_us: int) -> Iterator[Sighting]:
        flow = self._flow(key)
        if flow is not None and flow.outcome is Outcome.PENDING:
            flow.outcome = Outcome.REFUSED
            yield self._about(flow, Kind.REFUSED, now_us)

    def _unknown_segment(self, reset: Packet) -> Iterator[Sighting]:
        """We answered a segment with ACK that belongs to nothing: an ACK or Maimon probe, or a late packet.

        Plain ACKs stay in the kernel, so the RST alone tells of them. A FIN or a SYN-ACK was seen: the former
        is Maimon's probe, the latter backscatter of somebody's flood in our name.
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
        """A FIN or RST with ACK of the initiator may prove that it received what we sent."""
        flow = self._flow(_key(packet))
        if flow is None:
            asked = self._flow(_reverse(packet))
            if asked is None:
                self._stray(packet)
            elif asked.outcome in _UNANSWERED:
                # Its SYN-ACK was not captured, but only who has answered closes a connection.
                yield from self._answered(packet)
            return
        first = not flow.acknowledged
        flow.acknowledged = True
        if not self._host.home_known and flow.outcome in _UNANSWERED and packet.flags & ACK:
            # A capture of one direction: whoever closes a connection has had an answer that we cannot see.
            # Where both directions are seen, this would be a way to talk one's probes away.
            flow.outcome = Outcome.ANSWERED
            yield self._about(flow, Kind.ANSWERED, packet.time_us)
        if flow.our_seq is None or not packet.flags & ACK or not first:
            return
        read = (packet.ack - flow.our_seq) % (1 << 32)
        if 0 < read <= _PROOF_BYTES and flow.direction == "inbound":
            yield self._about(flow, Kind.SESSION if read > _UNUSED_BYTES else Kind.PROVEN, packet.time_us)

    def _flow(self, key: FlowKey) -> Flow | None:
        return self._inbound.touch(key) or self._outbound.touch(key)

    def _table(self, direction: Direction) -> LruTable[FlowKey, Flow]:
        return self._outbound if direction == "outbound" else self._inbound

    def is_home(self, address: str) -> bool:
        """Whether a canonical address is ours, or may be for all that a replay was told."""
        host = self._host
        return not host.home_known or address in host.own or within(address, host.home)

    def _direction(self, packet: Packet) -> Direction | None:
        """`inbound` to us, `outbound` from us to others, None if it is not about us."""
        if self.is_home(packet.dst):
            return "inbound"
        return "outbound" if self.is_home(packet.src) else None

    def probe(self, packet: Packet) -> Sighting:
        """A probe from outside that need not be followed: its like were told of already."""
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
    """Whether the first has come; one that is too far ahead is of a clock that has been set back since."""
    return bool(deadlines) and not now_us < deadlines[0][0] <= now_us + _AHEAD_US


def _icmp_port(proto: int, ports: int) -> int:
    """What stands for the port where a quoted packet has none: ICMP's type, else the protocol."""
    return ports >> 8 if proto in {ICMP, ICMPV6} else proto


def _key(packet: Packet) -> FlowKey:
    return (packet.proto, packet.src, packet.src_port, packet.dst, packet.dest_port)


def _reverse(packet: Packet) -> FlowKey:
    return (packet.proto, packet.dst, packet.dest_port, packet.src, packet.src_port)
