"""Who spoke first, and what became of it: Packet in, Sightings out.

Live and in a replay the same packets reach this file: plain ACKs and data never do.
"""

import enum
from collections import deque
from collections.abc import Iterator

from portsentry_py.host import HostState, is_unicast, within
from portsentry_py.packet import ACK, CWR, ECE, FIN, ICMP, ICMPV6, PSH, RST, SYN, TCP, UDP, URG, Packet
from portsentry_py.served import ServedPorts
from portsentry_py.settings import Limits
from portsentry_py.sighting import Kind, Sighting
from portsentry_py.tables import BoundedTable

FlowKey = tuple[int, str, int, str, int]

# A host that is there answers a SYN within its round trip; one second is what a client's own stack waits.
SETTLE_US = 1_000_000
# How far past our first sequence number an acknowledgement may lie and still be proof. A blind forger
# would have to hit one in 4096.
_PROOF_BYTES = 1 << 20
_FIRST_CLIENT_PORT = 1024
_TCP_OPTION_BYTES_OF_A_STACK = 28
_ICMP_ERRORS = {(ICMP, 3), (ICMP, 11), (ICMP, 12), (ICMPV6, 1), (ICMPV6, 3), (ICMPV6, 4)}


class Outcome(enum.Enum):
    """What became of a flow's first packet."""

    PENDING = "pending"
    ANSWERED = "answered"
    REFUSED = "refused"
    SILENT = "silent"


class Flow:
    """An attempt: its first packet, and what became of it."""

    __slots__ = ("direction", "our_seq", "outcome", "probe", "scan_type", "verified")

    def __init__(self, probe: Packet, scan_type: str, direction: str) -> None:
        self.probe = probe
        self.scan_type = scan_type
        self.direction = direction
        self.outcome = Outcome.PENDING
        self.our_seq: int | None = None  # of the SYN-ACK that we answered with
        self.verified = False


def scan_type_of(packet: Packet) -> str:
    """The name of a TCP first packet by its flags (RFC 9293; names as nmap's manual has them).

    A full connect() sends the options of an operating system's stack (SACK permitted, window scale,
    timestamps: a header of 28 bytes or more); raw SYN scanners send none, or the MSS alone.
    """
    flags = packet.flags
    if flags & (SYN | ACK | RST | FIN) == SYN:
        return "connect" if packet.header_bytes >= _TCP_OPTION_BYTES_OF_A_STACK else "syn"
    plain = flags & ~(ECE | CWR)
    if flags == 0:
        return "null"
    if plain == FIN:
        return "fin"
    if plain & (FIN | PSH | URG | SYN | RST | ACK) == FIN | PSH | URG:
        return "xmas"
    return "odd_flags"


class FlowTable:
    """Turns packets into sightings; bounded in both directions.

    Flows that we opened have a table of their own, so that nobody outside can push them out of it.
    """

    def __init__(self, limits: Limits) -> None:
        self._home: HostState = HostState()
        self.served = ServedPorts()
        self._inbound: BoundedTable[FlowKey, Flow] = BoundedTable(limits.max_flows)
        self._outbound: BoundedTable[FlowKey, Flow] = BoundedTable(limits.max_flows)
        self._pending: deque[tuple[int, Flow]] = deque()
        self._max_pending = limits.max_flows

    @property
    def evicted(self) -> int:
        """Flows forgotten because the tables were full."""
        return self._inbound.evicted + self._outbound.evicted

    def set_host(self, host: HostState) -> None:
        """Take the host's addresses and listening sockets as they are now."""
        self._home = host
        self.served.set_host(host)

    def advance(self, now_us: int) -> Iterator[Sighting]:
        """Time has come to `now_us`: attempts that nobody answered are SILENT."""
        while self._pending and self._pending[0][0] <= now_us:
            deadline_us, flow = self._pending.popleft()
            if flow.outcome is Outcome.PENDING:
                flow.outcome = Outcome.SILENT
                yield _about(flow, Kind.SILENT, deadline_us)

    def finish(self) -> Iterator[Sighting]:
        """No more packets: what is unanswered now stays so."""
        if self._pending:
            yield from self.advance(self._pending[-1][0])

    def observe(self, packet: Packet) -> Iterator[Sighting]:
        """What one packet means."""
        if packet.proto == TCP:
            return self._tcp(packet)
        if packet.proto == UDP:
            return self._udp(packet)
        if packet.quoted is not None and (packet.proto, packet.src_port) in _ICMP_ERRORS:
            return self._icmp_error(packet)
        return iter(())

    def _tcp(self, packet: Packet) -> Iterator[Sighting]:
        flags = packet.flags
        if flags & RST:
            yield from self._reset(packet)
        elif flags & (SYN | ACK) == SYN | ACK:
            yield from self._answered(packet)
        elif flags & ACK:
            self._closing(packet)
        else:
            yield from self._attempt(packet, scan_type_of(packet))

    def _udp(self, packet: Packet) -> Iterator[Sighting]:
        if self._flow(_reverse(packet)) is not None:
            yield from self._answered(packet)
        elif not _looks_like_a_reply(packet):
            yield from self._attempt(packet, "udp")

    def _attempt(self, packet: Packet, scan_type: str) -> Iterator[Sighting]:
        """A packet that opens something, or repeats what opened it."""
        direction = self._direction(packet)
        if direction is None or self._flow(_reverse(packet)) is not None or not is_unicast(packet.dst):
            return
        key = _key(packet)
        table = self._table(direction)
        flow = table.touch(key)
        # A reused source port after an answer is a new attempt; an equal one before it is a repetition.
        if flow is not None and (packet.proto == UDP or flow.probe.flags == packet.flags):
            if flow.outcome is not Outcome.ANSWERED:
                yield _about(flow, Kind.AGAIN, packet.time_us)
                return
            if packet.proto == UDP:
                return
        flow = Flow(packet, scan_type, direction)
        table.put(key, flow)
        if direction == "inbound" and self.served(packet.dst, packet.dest_port):
            yield _about(flow, Kind.SERVED, packet.time_us)
            return
        if len(self._pending) == self._max_pending:
            self._pending.popleft()
        self._pending.append((packet.time_us + SETTLE_US, flow))
        yield _about(flow, Kind.PROBE, packet.time_us)

    def _answered(self, packet: Packet) -> Iterator[Sighting]:
        """A SYN-ACK, or a datagram back: its sender serves that port, unless nobody asked (backscatter)."""
        flow = self._flow(_reverse(packet))
        if flow is None:
            if packet.proto == TCP and self._is_home(packet.src):
                self.served.learn(packet.src, packet.src_port)
            return
        if packet.proto == TCP:
            flow.our_seq = packet.seq
        if flow.direction == "inbound":
            self.served.learn(packet.src, packet.src_port)
        if flow.outcome is not Outcome.ANSWERED:
            flow.outcome = Outcome.ANSWERED
            yield _about(flow, Kind.ANSWERED, packet.time_us)

    def _reset(self, packet: Packet) -> Iterator[Sighting]:
        flow = self._flow(_reverse(packet))
        if flow is not None:
            if flow.outcome is Outcome.PENDING:
                flow.outcome = Outcome.REFUSED
                yield _about(flow, Kind.REFUSED, packet.time_us)
        else:
            self._closing(packet)

    def _icmp_error(self, packet: Packet) -> Iterator[Sighting]:
        """An ICMP error is about the packet that it quotes, never about its own addresses."""
        quoted = packet.quoted
        if quoted is None or not quoted.dst:
            return
        flow = self._flow((quoted.proto, quoted.src, quoted.src_port, quoted.dst, quoted.dest_port))
        if flow is not None and flow.outcome is Outcome.PENDING:
            flow.outcome = Outcome.REFUSED
            yield _about(flow, Kind.REFUSED, packet.time_us)

    def _closing(self, packet: Packet) -> None:
        """A FIN or RST with ACK of the initiator may prove that it received what we sent."""
        flow = self._flow(_key(packet))
        if flow is None or flow.our_seq is None or not packet.flags & ACK:
            return
        if 0 < (packet.ack - flow.our_seq) % (1 << 32) <= _PROOF_BYTES:
            flow.verified = True

    def _flow(self, key: FlowKey) -> Flow | None:
        return self._inbound.touch(key) or self._outbound.touch(key)

    def _table(self, direction: str) -> BoundedTable[FlowKey, Flow]:
        return self._outbound if direction == "outbound" else self._inbound

    def _is_home(self, address: str) -> bool:
        host = self._home
        return not host.home_known or address in host.own or within(address, host.home)

    def _direction(self, packet: Packet) -> str | None:
        """`inbound` to us, `outbound` from us to others, None if it is not about us."""
        if self._is_home(packet.dst):
            return "inbound"
        return "outbound" if self._is_home(packet.src) else None


def _key(packet: Packet) -> FlowKey:
    return (packet.proto, packet.src, packet.src_port, packet.dst, packet.dest_port)


def _reverse(packet: Packet) -> FlowKey:
    return (packet.proto, packet.dst, packet.dest_port, packet.src, packet.src_port)


def _looks_like_a_reply(packet: Packet) -> bool:
    """From a service's port to a client's: a late answer, or one to a question asked before we watched."""
    return packet.src_port < _FIRST_CLIENT_PORT <= packet.dest_port


def _about(flow: Flow, kind: Kind, time_us: int) -> Sighting:
    probe = flow.probe
    return Sighting(
        kind=kind,
        time_us=time_us,
        source=probe.src,
        target=probe.dst,
        port=probe.dest_port,
        proto="tcp" if probe.proto == TCP else "udp",
        scan_type=flow.scan_type,
        direction=flow.direction,
        packet=probe,
        verified=flow.verified,
    )
