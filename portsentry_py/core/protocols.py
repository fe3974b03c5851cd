"""What a packet is to its flow, by its protocol: attempt, answer, refusal or end. Packet in, Sightings out.

Plain ACKs and data never come here: the kernel's filter drops them live, and `decode` in a replay. Nor do, live,
packets in our name that did not leave this host, and the first segments of ordinary clients to served TCP ports: our
SYN-ACK tells of those.
"""

from collections.abc import Sequence

from portsentry_py.core.flow import reverse_key_of
from portsentry_py.core.flows import FlowTable
from portsentry_py.core.icmp_errors import is_error
from portsentry_py.core.packet import ACK, DCCP, FIN, ICMP, ICMPV6, RST, SCTP, SYN, TCP, UDP, UDPLITE, Packet
from portsentry_py.core.probe_types import (
    is_icmp_request,
    looks_like_a_reply,
    request_of_reply,
    sctp_answers,
    sctp_refuses,
    sctp_type,
    tcp_type,
)
from portsentry_py.core.refusals import Refusals
from portsentry_py.core.route_probes import FIRST_ROUTE_PORT
from portsentry_py.core.sighting import Sighting


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
