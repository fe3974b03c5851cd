"""What this host refuses is evidence: resets and ICMP errors, of what was seen and of probes that were not."""

from collections.abc import Sequence

from portsentry_py.core.flow import ANSWERED_STATES, Flow, FlowState, key_of, quoted_key_of, reverse_key_of
from portsentry_py.core.flows import FlowTable
from portsentry_py.core.icmp_errors import WITH_PORTS, is_refusal, quoted_probe
from portsentry_py.core.packet import ACK, FIN, ICMP, ICMPV6, SYN, TCP, UDP, Packet, Quoted
from portsentry_py.core.probe_types import looks_like_a_reply, proto_name, resets_first_packet, resets_unknown
from portsentry_py.core.sighting import Kind, Sighting
from portsentry_py.events.model import ScanType


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
