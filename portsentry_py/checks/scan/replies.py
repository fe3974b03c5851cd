"""Reads what comes back: IP packets that anybody may have sent. Pure."""

import struct
from typing import NamedTuple

from portsentry_py.core.packet import ICMP, ICMPV6, SCTP, TCP, UDP

_IPV4, _IPV6 = struct.Struct("!BxHxxHxBxx4s4s"), struct.Struct("!B3xHBx16s16s")
_PORTS, _NUMBER = struct.Struct("!HH"), struct.Struct("!I")
_SEGMENT = struct.Struct("!HHIIxBH")
_CHUNK = struct.Struct("!HHI4xB")
_ICMP_BYTES = 8
_FRAGMENT_OFFSET = 0x1FFF
_SCTP_INIT_TAG_AT = 16


class Reply(NamedTuple):
    """A packet that may answer a probe.

    Attributes:
        sender: its source address, packed.
        host: the host that was probed: the sender, or the destination of the packet that an ICMP error quotes.
        protocol: of this packet: TCP, UDP, SCTP, ICMP or ICMPV6.
        port: the port that was probed.
        source_port: the port that the probe came from.
        kind: TCP's flags, SCTP's first chunk type, or ICMP's type and code in two bytes; of UDP 0.
        number: TCP's sequence number, SCTP's verification tag, or the quoted number of the probe; None if an error
            quotes no number: of UDP, or SCTP with 8 bytes.
        acknowledged: TCP's acknowledgement number.
        window: TCP's window.
    """

    sender: bytes
    host: bytes
    protocol: int
    port: int
    source_port: int
    kind: int = 0
    number: int | None = None
    acknowledged: int = 0
    window: int = 0


class _Header(NamedTuple):
    protocol: int
    source: bytes
    target: bytes
    payload: bytes


def read_reply(packet: bytes, own: frozenset[bytes], probed: int) -> Reply | None:
    """What a packet from its IP header on may answer; None for one that is damaged or answers nothing.

    Args:
        packet: as it was received.
        own: the packed source addresses of the probes.
        probed: the IP protocol of the probes.
    """
    try:
        header = _ip_header(packet)
        if header is None or header.target not in own:
            return None
        if header.protocol in {ICMP, ICMPV6}:
            return _error(header, own, probed)
        return _direct(header) if header.protocol == probed else None
    except struct.error:  # it ends too early
        return None


def _ip_header(packet: bytes) -> _Header | None:
    version = packet[0] >> 4 if packet else 0
    match version:
        case 4:
            first, length, fragment, protocol, source, target = _IPV4.unpack_from(packet)
            begin = (first & 15) * 4
            if begin < _IPV4.size or fragment & _FRAGMENT_OFFSET:
                return None
            return _Header(protocol, source, target, packet[begin : max(begin, length)])
        case 6:
            _, length, protocol, source, target = _IPV6.unpack_from(packet)
            return _Header(protocol, source, target, packet[_IPV6.size : _IPV6.size + length])
    return None


def _direct(header: _Header) -> Reply | None:
    sender, payload = header.source, header.payload
    if header.protocol == TCP:
        port, source_port, number, acknowledged, flags, window = _SEGMENT.unpack_from(payload)
        return Reply(sender, sender, TCP, port, source_port, flags, number, acknowledged, window)
    if header.protocol == SCTP:
        port, source_port, number, chunk = _CHUNK.unpack_from(payload)
        return Reply(sender, sender, SCTP, port, source_port, chunk, number)
    port, source_port = _PORTS.unpack_from(payload)
    return Reply(sender, sender, UDP, port, source_port)


def _error(header: _Header, own: frozenset[bytes], probed: int) -> Reply | None:
    """An ICMP error quotes the packet that it is about: at least 8 bytes behind the IP header (RFC 792)."""
    kind, quote = header.payload[:2], header.payload[_ICMP_BYTES:]
    quoted = _ip_header(quote)
    if quoted is None or quoted.protocol != probed or quoted.source not in own:
        return None
    source_port, port = _PORTS.unpack_from(quoted.payload)
    return Reply(
        header.source,
        quoted.target,
        header.protocol,
        port,
        source_port,
        int.from_bytes(kind, "big"),
        _quoted_number(quoted),
    )


def _quoted_number(quoted: _Header) -> int | None:
    if quoted.protocol == TCP:
        return int(_NUMBER.unpack_from(quoted.payload, _PORTS.size)[0])
    if quoted.protocol == SCTP and len(quoted.payload) >= _SCTP_INIT_TAG_AT + _NUMBER.size:
        return int(_NUMBER.unpack_from(quoted.payload, _SCTP_INIT_TAG_AT)[0])
    return None
