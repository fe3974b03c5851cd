"""What an ICMP error is about: the packet that it quotes (RFC 792, RFC 4443), or one that was seen lately."""

from portsentry_py.core.flow import FlowKey
from portsentry_py.core.lru_table import LruTable
from portsentry_py.core.packet import DCCP, ICMP, ICMPV6, SCTP, TCP, UDP, UDPLITE, Packet, Quoted

WITH_PORTS = frozenset({TCP, UDP, UDPLITE, DCCP, SCTP})
_UNREACHABLE = frozenset({(ICMP, 3), (ICMPV6, 1), (ICMPV6, 4)})
_ERRORS = _UNREACHABLE | {(ICMP, 11), (ICMP, 12), (ICMPV6, 3)}
_TOO_BIG = 4  # the code of ICMP's type 3 that refuses nothing
_MAX_LATEST = 4096


def is_error(packet: Packet) -> bool:
    """Whether an ICMP message tells that a packet did not arrive."""
    return (packet.proto, packet.src_port) in _ERRORS


def is_refusal(error: Packet) -> bool:
    """Whether an error says that nobody is reached, rather than that a packet is too big or lived too long."""
    is_too_big = error.proto == ICMP and error.dest_port == _TOO_BIG
    return (error.proto, error.src_port) in _UNREACHABLE and not is_too_big


def quoted_probe(error: Packet, quoted: Quoted) -> Packet:
    """The packet that an error quotes; where it has no ports, its protocol takes the place of the port."""
    ports = (quoted.src_port, quoted.dest_port) if quoted.proto in WITH_PORTS else (0, quoted.proto)
    return Packet(error.time_us, quoted.src, quoted.dst, quoted.proto, *ports, vlan=error.vlan, in_iface=error.in_iface)


class LatestPackets:
    """The latest attempt and the latest unasked reply of each pair of IPv6 addresses; bounded.

    Tshark prints too little of an ICMPv6 error to know the quoted port: it is about one of these.
    """

    def __init__(self) -> None:
        self._attempts: LruTable[tuple[int, str, str], FlowKey] = LruTable(_MAX_LATEST)
        self._replies: LruTable[tuple[int, str, str], Packet] = LruTable(_MAX_LATEST)

    def note_attempt(self, packet: Packet, key: FlowKey) -> None:
        """A first packet, and the key of its flow."""
        self._attempts.put((packet.proto, packet.src, packet.dst), key)

    def note_reply(self, packet: Packet) -> None:
        """A datagram that looks like a reply, which nobody asked for."""
        self._replies.put((packet.proto, packet.src, packet.dst), packet)

    def attempt(self, error: Packet, quoted: Quoted) -> FlowKey | None:
        """The key of the flow that an error may be about."""
        return self._attempts.peek((quoted.proto, quoted.src, error.src))

    def reply(self, error: Packet, quoted: Quoted) -> Packet | None:
        """The datagram that an error may be about."""
        return self._replies.peek((quoted.proto, quoted.src, error.src))

    def forget_reply(self, error: Packet, quoted: Quoted) -> None:
        """An error was about that datagram."""
        self._replies.pop((quoted.proto, quoted.src, error.src))
