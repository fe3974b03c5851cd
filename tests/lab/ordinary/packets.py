"""Packets that no socket sends, with checksums that a kernel accepts."""

import socket
import struct
from dataclasses import dataclass
from ipaddress import ip_address

from portsentry_py.core.packet import ICMP, TCP, UDP


@dataclass(frozen=True)
class Ends:
    source: str
    dest: str
    source_port: int
    dest_port: int

    @property
    def packed(self) -> bytes:
        """Both addresses, as a header has them."""
        return ip_address(self.source).packed + ip_address(self.dest).packed


class RawSender:
    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        # Nobody waits for a raw packet: a full queue may lose it, as the internet may.
        self._socket.setblocking(False)

    def send(self, packet: bytes) -> None:
        """Send it to the destination that it names."""
        try:
            self._socket.sendto(packet, (socket.inet_ntoa(packet[16:20]), 0))
        except BlockingIOError:
            return


def ipv4(ends: Ends, proto: int, payload: bytes, *, ttl: int = 57, ip_id: int = 0) -> bytes:
    """A packet; the kernel fills in its checksum, and its identification where that is 0."""
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), ip_id, 0, ttl, proto, 0) + ends.packed + payload


def tcp(
    ends: Ends,
    flags: int,
    *,
    seq: int,
    ack: int = 0,
    window: int = 64_240,
    options: bytes = b"",
    data: bytes = b"",
    ttl: int = 57,
    ip_id: int = 0,
) -> bytes:
    words = (20 + len(options)) // 4

    def segment(checksum: int) -> bytes:
        ports = (ends.source_port, ends.dest_port)
        head = struct.pack("!HHIIBBHHH", *ports, seq, ack, words << 4, flags, window, checksum, 0)
        return head + options + data

    whole = segment(_checksum(_pseudo(ends, TCP, len(segment(0))) + segment(0)))
    return ipv4(ends, TCP, whole, ttl=ttl, ip_id=ip_id)


def udp(ends: Ends, data: bytes, *, ttl: int = 57) -> bytes:
    """A datagram in its packet; a checksum of 0 means that there is none (RFC 768)."""
    head = struct.pack("!HHHH", ends.source_port, ends.dest_port, 8 + len(data), 0)
    return ipv4(ends, UDP, head + data, ttl=ttl)


def icmp(ends: Ends, kind: int, code: int, rest: int, data: bytes, *, ttl: int = 57) -> bytes:
    """An ICMP message in its packet; `rest` is the four bytes before the data."""
    checksum = _checksum(struct.pack("!BBHI", kind, code, 0, rest) + data)
    return ipv4(ends, ICMP, struct.pack("!BBHI", kind, code, checksum, rest) + data, ttl=ttl)


def _pseudo(ends: Ends, proto: int, size: int) -> bytes:
    return ends.packed + struct.pack("!BBH", 0, proto, size)


def _checksum(content: bytes) -> int:
    padded = content + b"\0" * (len(content) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total
