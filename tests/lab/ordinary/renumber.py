"""Gives the addresses in a packet new numbers, also where tunnels and ICMP errors carry a packet within."""

import struct
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from portsentry_py.core.packet import ICMP, ICMPV6

Map = Callable[[bytes], bytes]

_IP_IN_IP, _IPV6_IN_IP, _GRE = 4, 41, 47
_ICMP_ERRORS = frozenset({3, 4, 5, 11, 12})
_ICMPV6_ERRORS = frozenset({1, 2, 3, 4})
_NETWORK4 = ip_network("10.0.0.0/8")
_NETWORK6 = ip_network("2001:db8:c000::/36")


def is_somebody(address: IPv4Address | IPv6Address) -> bool:
    """Whether the address is a host's, and has a meaning beyond its wire."""
    return not (
        address.is_multicast
        or address.is_unspecified
        or address.is_loopback
        or address.is_link_local
        or str(address) == "255.255.255.255"
    )


def ends(packet: bytes) -> tuple[bytes, bytes] | None:
    """Source and destination of a packet; None for a torn one."""
    if packet[0] >> 4 == 4 and len(packet) >= 20:
        return packet[12:16], packet[16:20]
    if packet[0] >> 4 == 6 and len(packet) >= 40:
        return packet[8:24], packet[24:40]
    return None


class Numbers:
    """New addresses: each /24 or /64 of each recording becomes one of its own; neighbours stay neighbours."""

    def __init__(self) -> None:
        self._networks: dict[tuple[int, bytes], bytes] = {}
        self._known: dict[bytes, tuple[int, bytes]] = {}

    def of(self, recording: int) -> Map:
        """The function that renumbers the addresses of one recording."""

        def renumber(packed: bytes) -> bytes:
            if not is_somebody(ip_address(packed)):
                return packed
            kept = 1 if len(packed) == 4 else 8
            key = (recording, packed[:-kept])
            if key not in self._networks:
                self._networks[key] = self._next(len(packed))
            new = self._networks[key] + packed[-kept:]
            self._known[new] = (recording, packed)
            return new

        return renumber

    def whose(self, address: str) -> tuple[int, str] | None:
        """The recording that an address is of, and the address that it has there."""
        found = self._known.get(ip_address(address).packed)
        return None if found is None else (found[0], str(ip_address(found[1])))

    def addresses(self) -> list[str]:
        return [str(ip_address(packed)) for packed in self._known]

    def _next(self, size: int) -> bytes:
        network, kept = (_NETWORK4, 1) if size == 4 else (_NETWORK6, 8)
        taken = sum(len(one) == size - kept for one in self._networks.values())
        return (int(network.network_address) + ((taken + 1) << (8 * kept))).to_bytes(size, "big")[:-kept]


def renumbered(packet: bytes, new: Map) -> bytes:
    """The packet with its addresses changed; the checksums above IP stay those of the old ones."""
    if not packet or ends(packet) is None:
        return packet
    return _ipv4(packet, new) if packet[0] >> 4 == 4 else _ipv6(packet, new)


def _ipv4(packet: bytes, new: Map) -> bytes:
    size = (packet[0] & 15) * 4
    head = bytearray(packet[:size])
    head[12:16], head[16:20] = new(packet[12:16]), new(packet[16:20])
    if len(head) == size and size >= 20:
        head[10:12] = b"\0\0"
        total = sum(struct.unpack(f"!{size // 2}H", head))
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        head[10:12] = (~total & 0xFFFF).to_bytes(2, "big")
    is_first = not int.from_bytes(packet[6:8], "big") & 0x1FFF
    return bytes(head) + (_within(packet[9], packet[size:], new) if is_first else packet[size:])


def _ipv6(packet: bytes, new: Map) -> bytes:
    return packet[:8] + new(packet[8:24]) + new(packet[24:40]) + _within(packet[6], packet[40:], new)


def _within(proto: int, payload: bytes, new: Map) -> bytes:
    if (proto == ICMP and payload[:1] and payload[0] in _ICMP_ERRORS) or (
        proto == ICMPV6 and payload[:1] and payload[0] in _ICMPV6_ERRORS
    ):
        return payload[:8] + renumbered(payload[8:], new)
    if proto in {_IP_IN_IP, _IPV6_IN_IP}:
        return renumbered(payload, new)
    if proto == _GRE and len(payload) > 4 and payload[2:4] in {b"\x08\x00", b"\x86\xdd"}:
        size = 4 + 4 * sum(bool(payload[0] & flag) for flag in (0x80, 0x20, 0x10))
        return payload[:size] + renumbered(payload[size:], new)
    return payload
