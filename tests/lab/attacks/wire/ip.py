"""IP packets of both families, IPv6 extension headers, and the frames around them."""

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import ip_address

HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, NOTHING, DESTINATION, MOBILITY = 0, 43, 44, 51, 59, 60, 135
ETHERTYPE4, ETHERTYPE6, TAG, SERVICE_TAG = 0x0800, 0x86DD, 0x8100, 0x88A8
_V4, _V6 = struct.Struct("!BBHHHBBH"), struct.Struct("!IHBB")
_LARGEST_V4 = 0xFFFF


def checksum(content: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    padded = content + b"\0" * (len(content) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total


@dataclass(frozen=True)
class Packet:
    """One IP packet; the addresses decide the family.

    `options` are IPv4's, a multiple of four bytes. `offset` (bytes) and `more` make it a fragment of IPv4.
    `first` is IPv6's next header where extension headers stand before the payload of protocol `proto`.
    """

    src: str
    dst: str
    proto: int
    payload: bytes
    ttl: int = 57
    ip_id: int = 0
    options: bytes = b""
    offset: int = 0
    more: bool = False
    first: int | None = None

    @property
    def family(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.src else 4

    @property
    def addresses(self) -> bytes:
        """Both addresses, as a header has them."""
        return ip_address(self.src).packed + ip_address(self.dst).packed

    @property
    def content(self) -> bytes:
        """The bytes, from the IP header on."""
        if self.family == 6:
            upper = self.proto if self.first is None else self.first
            return _V6.pack(0x60000000, len(self.payload), upper, self.ttl) + self.addresses + self.payload
        size = 20 + len(self.options)
        total = min(size + len(self.payload), _LARGEST_V4)
        place = self.more << 13 | self.offset // 8
        words = (0x40 | size // 4, 0, total, self.ip_id, place, self.ttl, self.proto)
        summed = checksum(_V4.pack(*words, 0) + self.addresses + self.options)
        return _V4.pack(*words, summed) + self.addresses + self.options + self.payload


@dataclass(frozen=True)
class Frame:
    """A packet in its Ethernet frame, where more than the packet matters.

    `head` stands between the MAC addresses and the packet: tags and the EtherType. `link` names whose MAC
    address is the source: `attacker`, `router` or `victim` (forged). `to` is the destination's.
    """

    content: bytes
    head: bytes
    link: str = "attacker"
    to: str = "victim"


def framed(packet: Packet, *tags: tuple[int, int], link: str = "attacker", to: str = "victim") -> Frame:
    """The packet behind tags, each an EtherType and a VLAN number."""
    words = b"".join(struct.pack("!HH", kind, number) for kind, number in tags)
    return Frame(packet.content, words + ethertype(packet.family), link, to)


def ethertype(family: int) -> bytes:
    """The EtherType of an IP family."""
    return struct.pack("!H", ETHERTYPE6 if family == 6 else ETHERTYPE4)


def ethernet(packet: Packet) -> bytes:
    """The packet as an untagged frame between two made-up MAC addresses, as a tunnel carries it."""
    return bytes.fromhex("0200000000aa0200000000bb") + ethertype(packet.family) + packet.content


def options_header(upper: int, *options: bytes) -> bytes:
    """A hop-by-hop or destination options header, padded to a multiple of eight bytes."""
    content = b"".join(options)
    missing = -(len(content) + 2) % 8
    padding = b"\0" if missing == 1 else struct.pack("!BB", 1, missing - 2) + bytes(missing - 2) if missing else b""
    whole = content + padding
    return struct.pack("!BB", upper, (len(whole) + 2) // 8 - 1) + whole


def pad(size: int) -> bytes:
    """A PadN option of that many bytes of content."""
    return struct.pack("!BB", 1, size) + bytes(size)


def experiment(size: int) -> bytes:
    """An option that no host knows, and that it skips (RFC 4727)."""
    return struct.pack("!BB", 0x1E, size) + bytes(size)


def routing_header(upper: int, kind: int, body: bytes, *, left: int = 0) -> bytes:
    """A routing header; `body` is what follows its first four bytes, a multiple of eight and four more."""
    return struct.pack("!BBBB", upper, (4 + len(body)) // 8 - 1, kind, left) + body


def authentication_header(upper: int) -> bytes:
    """An authentication header with an integrity value of twelve bytes (RFC 4302)."""
    return struct.pack("!BBHII", upper, 4, 0, 0x1001, 1) + bytes(12)


def behind(packet: Packet, *headers: tuple[int, Callable[[int], bytes]]) -> Packet:
    """The IPv6 packet behind extension headers: the number of each, and what makes it for a next header."""
    content, upper = packet.payload, packet.proto if packet.first is None else packet.first
    for number, made in reversed(headers):
        content, upper = made(upper) + content, number
    return replace(packet, payload=content, first=upper)
