"""Scan types: what kind of probe a packet is, by protocol and flags; the names are those of nmap's manual."""

from portsentry_py.core.packet import (
    ACK,
    CWR,
    DCCP,
    ECE,
    FIN,
    ICMP,
    ICMPV6,
    PSH,
    RST,
    SCTP,
    SYN,
    TCP,
    UDP,
    UDPLITE,
    URG,
    Packet,
)
from portsentry_py.events.model import Proto, ScanType

_STACK_HEADER_BYTES = 28
_SCTP_INIT, _SCTP_INIT_ACK, _SCTP_ABORT, _SCTP_COOKIE_ECHO, _SCTP_COOKIE_ACK = 1, 2, 6, 10, 11  # RFC 9260
_ICMP_REQUESTS = {(ICMP, 8): 0, (ICMP, 13): 14, (ICMP, 15): 16, (ICMP, 17): 18, (ICMPV6, 128): 129}
_ICMP_REPLIES = {(proto, reply): request for (proto, request), reply in _ICMP_REQUESTS.items()}
_FIRST_SERVICE_FREE_PORT = 1024
# Services beyond that number which answer a datagram with more than they got, so that attackers ask them in the name of
# others (CISA alert TA14-017A): SQL Server, Citrix, SSDP, remote desktops, STUN, WS-Discovery, SIP, licences, NAT-PMP,
# mDNS, CoAP, BitTorrent, Ubiquiti, memcached, VxWorks, games, Plex, video recorders.
_REFLECTORS = frozenset(
    {1434, 1604, 1900, 3283, 3389, 3478, 3702, 5060, 5093, 5351, 5353, 5683, 6881, 10_001, 11_211, 17_185, 27_015}
    | {27_960, 32_414, 37_810}
)
_PROTO_NAMES: dict[int, Proto] = {
    TCP: "tcp",
    UDP: "udp",
    UDPLITE: "udplite",
    DCCP: "dccp",
    SCTP: "sctp",
    ICMP: "icmp",
    ICMPV6: "icmpv6",
}
# Flags that no stack sends in a first packet, so they are evidence by themselves.
STEALTH_TYPES: frozenset[ScanType] = frozenset({"fin", "null", "xmas", "odd_flags"})


def tcp_type(packet: Packet) -> ScanType:
    """The scan type of a TCP first packet without ACK and RST (RFC 9293).

    A full connect() sends the options of an operating system's stack (SACK permitted, window scale,
    timestamps: a header of 28 bytes or more); raw SYN scanners send none, or the MSS alone.
    """
    flags = packet.flags
    if flags & (SYN | FIN) == SYN:
        return "connect" if packet.header_bytes >= _STACK_HEADER_BYTES else "syn"
    plain = flags & ~(ECE | CWR)
    if flags == 0:
        return "null"
    if plain == FIN:
        return "fin"
    return "xmas" if plain == FIN | PSH | URG else "odd_flags"


def is_icmp_request(packet: Packet) -> bool:
    """Echo, timestamp, information and mask requests; echo in ICMPv6."""
    return (packet.proto, packet.src_port) in _ICMP_REQUESTS


def request_of_reply(packet: Packet) -> int | None:
    """The type of the ICMP request that this message answers, None if it is no answer."""
    return _ICMP_REPLIES.get((packet.proto, packet.src_port))


def sctp_type(packet: Packet) -> ScanType | None:
    """The scan type of a packet that opens an association, None for others."""
    if packet.flags == _SCTP_INIT:
        return "sctp_init"
    return "sctp_cookie" if packet.flags == _SCTP_COOKIE_ECHO else None


def sctp_answers(packet: Packet) -> bool:
    """INIT ACK or COOKIE ACK: somebody serves the port."""
    return packet.flags in {_SCTP_INIT_ACK, _SCTP_COOKIE_ACK}


def sctp_refuses(packet: Packet) -> bool:
    """ABORT."""
    return packet.flags == _SCTP_ABORT


def looks_like_a_reply(packet: Packet, local_ports: range) -> bool:
    """Whether it goes from a service's port to a client's: a late answer, or one to an older query.

    Only for packets that may be first or later ones: UDP, and TCP with ACK.
    """
    is_service = packet.src_port < _FIRST_SERVICE_FREE_PORT or (packet.proto == UDP and packet.src_port in _REFLECTORS)
    if is_service and packet.dest_port >= _FIRST_SERVICE_FREE_PORT:
        return True
    return packet.dest_port >= local_ports.start and packet.src_port < packet.dest_port


def proto_name(packet: Packet) -> Proto:
    """The packet's protocol, as the line writes it."""
    return _PROTO_NAMES.get(packet.proto, "ip")


def resets_unknown(packet: Packet) -> bool:
    """A RST without ACK: a stack's answer to a segment with ACK that belongs to nothing (RFC 9293)."""
    return packet.flags & (RST | ACK) == RST


def resets_first_packet(packet: Packet) -> bool:
    """A RST with ACK and sequence number 0: a stack's answer to a first packet for a closed port (RFC 9293)."""
    return packet.flags & (RST | ACK) == RST | ACK and packet.seq == 0


def answers(packet: Packet) -> bool:
    """Whether a packet of ours gives a scanner what it asked for: a SYN-ACK, a RST, a datagram."""
    if packet.proto == TCP:
        return bool(packet.flags & RST) or packet.flags & (SYN | ACK) == SYN | ACK
    return packet.proto == UDP
