"""What IP packets carry: TCP, UDP, UDP-Lite, DCCP, SCTP, ICMP and the quotations of its errors."""

import struct
import zlib
from dataclasses import replace

from tests.lab.attacks.wire.ip import Packet, checksum

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80
ICMP, TCP, UDP, DCCP, ICMPV6, SCTP, UDP_LITE = 1, 6, 17, 33, 58, 132, 136
MSS = bytes.fromhex("020405b4")
STACK_OPTIONS = bytes.fromhex("020405b40402080a00000001000000000103030a")
SCTP_INIT, SCTP_INIT_ACK, SCTP_ABORT, SCTP_COOKIE_ECHO = 1, 2, 6, 10
PORT_UNREACHABLE, PROTOCOL_UNREACHABLE = "port", "protocol"
_UNREACHABLE = {(4, "port"): (3, 3), (4, "protocol"): (3, 2), (6, "port"): (1, 4), (6, "protocol"): (4, 1)}
_ECHO = {4: (8, 0), 6: (128, 129)}
_QUOTED_BYTES = {4: 28, 6: 1192}


def _summed(packet: Packet, place: int, covered: int | None = None) -> Packet:
    """The packet with the checksum of its payload, whose pseudo header counts, at that place."""
    size = len(packet.payload) if covered is None else covered
    pseudo = packet.addresses + struct.pack("!II", size, packet.proto)
    value = checksum(pseudo + packet.payload[: len(packet.payload) if covered is None else covered])
    if packet.proto == UDP and not value:
        value = 0xFFFF
    summed = struct.pack("!H", value)
    return replace(packet, payload=packet.payload[:place] + summed + packet.payload[place + 2 :])


def tcp(
    src: str,
    dst: str,
    src_port: int,
    dest_port: int,
    flags: int,
    *,
    seq: int = 1000,
    ack: int = 0,
    options: bytes = b"",
    data: bytes = b"",
    window: int = 5840,
    reserved: int = 0,
    ttl: int = 57,
) -> Packet:
    """A TCP segment. `reserved` are the four bits before the flags."""
    place = (20 + len(options)) // 4 << 4 | reserved
    head = struct.pack("!HHIIBBHHH", src_port, dest_port, seq, ack, place, flags, window, 0, 0)
    return _summed(Packet(src, dst, TCP, head + options + data, ttl), 16)


def syn(
    src: str, dst: str, port: int, *, src_port: int = 40_000, options: bytes = MSS, seq: int = 0, ttl: int = 57
) -> Packet:
    """A SYN as a raw scanner sends it, without a tool's mark; the sequence number follows from the ports."""
    number = seq or (src_port * 65_537 + port) & 0xFFFFFFFF
    return tcp(src, dst, src_port, port, SYN, seq=number, options=options, ttl=ttl)


def udp(src: str, dst: str, src_port: int, dest_port: int, data: bytes = b"\0" * 8, *, ttl: int = 57) -> Packet:
    """A datagram."""
    head = struct.pack("!HHHH", src_port, dest_port, 8 + len(data), 0)
    return _summed(Packet(src, dst, UDP, head + data, ttl), 6)


def udp_lite(src: str, dst: str, src_port: int, dest_port: int) -> Packet:
    """A UDP-Lite packet whose checksum covers its header (RFC 3828)."""
    head = struct.pack("!HHHH", src_port, dest_port, 8, 0)
    return _summed(Packet(src, dst, UDP_LITE, head + b"\0" * 8), 6, 8)


def dccp(src: str, dst: str, src_port: int, dest_port: int) -> Packet:
    """A DCCP request (RFC 4340)."""
    head = struct.pack("!HHBBHBBHI", src_port, dest_port, 5, 0, 0, 0, 0, 0, 7) + bytes(4)
    return _summed(Packet(src, dst, DCCP, head), 6)


def sctp(src: str, dst: str, src_port: int, dest_port: int, kind: int = SCTP_INIT) -> Packet:
    """An SCTP packet of one chunk (RFC 9260)."""
    chunk = struct.pack("!BBHIIHHI", kind, 0, 20, 7, 0xFFFF, 10, 10, 9)
    tag = 0 if kind == SCTP_INIT else 7
    head = struct.pack("!HHII", src_port, dest_port, tag, 0) + chunk
    value = struct.pack("<I", _crc32c(head))
    return Packet(src, dst, SCTP, head[:8] + value + head[12:])


def _crc32c(content: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in content:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def icmp(src: str, dst: str, kind: int, code: int, rest: bytes, *, ttl: int = 57) -> Packet:
    """An ICMP or ICMPv6 message; `rest` is what follows the checksum."""
    head = struct.pack("!BBH", kind, code, 0) + rest
    if ":" in src:
        return _summed(Packet(src, dst, ICMPV6, head, ttl), 2)
    return Packet(src, dst, ICMP, head[:2] + struct.pack("!H", checksum(head)) + head[4:], ttl)


def echo(src: str, dst: str, number: int = 1) -> Packet:
    """A ping."""
    return icmp(src, dst, _ECHO[6 if ":" in src else 4][0], 0, struct.pack("!HH", 77, number) + bytes(8))


def echo_reply(src: str, dst: str, number: int = 1) -> Packet:
    """Its answer."""
    return icmp(src, dst, _ECHO[6 if ":" in src else 4][1], 0, struct.pack("!HH", 77, number) + bytes(8))


def unreachable(quoted: Packet, what: str = PORT_UNREACHABLE, *, src: str = "") -> Packet:
    """The ICMP error about a packet, from its destination or another."""
    kind, code = _UNREACHABLE[quoted.family, what]
    pointer = struct.pack("!I", 6 if (quoted.family, what) == (6, "protocol") else 0)
    rest = pointer + quoted.content[: _QUOTED_BYTES[quoted.family]]
    return icmp(src or quoted.dst, quoted.src, kind, code, rest)


def mixed(*words: object) -> int:
    """A number of 32 bits that follows from the words, the same in every run."""
    return zlib.crc32(repr(words).encode())
