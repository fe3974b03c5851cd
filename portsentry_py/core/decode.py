"""One line of tshark's columns becomes one Packet, or a reason why there is none. Never raises.

Layer 4 arrives as hex because tshark's own dissectors keep a conversation for each SYN and never forget it.
"""

import enum
import ipaddress
import re
import struct
from functools import lru_cache
from typing import NamedTuple

from portsentry_py.core.columns import (
    NO_CELLS,
    NOT_SET,
    Cells,
    cells_of,
    innermost,
    last_protocols,
    payload_of,
    shared_cells,
)
from portsentry_py.core.packet import ACK, DCCP, FIN, ICMP, ICMPV6, RST, SCTP, SYN, TCP, UDP, UDPLITE, Packet, Quoted


class Discard(enum.Enum):
    """Why a line has no packet."""

    NOT_IP = "not_ip"
    FRAGMENT = "fragment"  # without ports; tshark prints the reassembled packet with the last fragment
    ESTABLISHED = "established"  # plain ACK and data, which the kernel filter drops in a live capture
    MALFORMED = "malformed"


# 9999-12-31: an event seconds after the packet still has a date that the log can show. pcapng allows later
# times.
MAX_TIME_US = 253_402_214_400_000_000
_MAX_TIME_CELL = 40
_USUAL_TIME_CELLS = frozenset({17, 20})  # ten digits of seconds, with microseconds or nanoseconds
_MICROSECONDS = 16
_NUMBER = re.compile(r"[0-9]{1,5}", re.ASCII)
_MAX_BYTE = 255
_MAX_VLAN = 4095
# Longer cells are rare and odd; a cache of them would let a sender choose its size.
_MAX_CACHED = 512
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_is_ipv4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}").fullmatch
# The canonical form of most IPv6 addresses (RFC 5952): groups but zeros, and one gap of at least two zeros after them.
_GROUP = r"[1-9a-f][0-9a-f]{0,3}"
_is_plain_ipv6 = re.compile(rf"{_GROUP}(?::{_GROUP})*::{_GROUP}(?::{_GROUP})*").fullmatch
_MOST_COLONS = 6
_IFACE = re.compile(r"[A-Za-z0-9_.:@-]{1,64}", re.ASCII)
_FLAGS_OF_ESTABLISHED = SYN | FIN | RST | ACK
_TCP_HEADER = struct.Struct("!HHIIBBH")  # RFC 9293 section 3.1, up to the window
# Their headers begin with the ports: RFC 768, RFC 3828, RFC 4340, RFC 9260.
_WITH_PORTS = {UDP, UDPLITE, DCCP, SCTP}
# A first fragment with fewer bytes does not tell the probe; the reassembled packet has to.
_LEAST_BYTES = {TCP: _TCP_HEADER.size, UDP: 4, UDPLITE: 4, DCCP: 4}
_MAX_BYTES = 1 << 16
_ID_DIGITS = 6  # 3.6 adds the same in decimal: 0x0007 (7)
_IPV4_HEADER = 20
_IPV6_HEADER = 40
_new = tuple.__new__  # of a named tuple, in one call
_ICMP_ERRORS = {3, 4, 5, 11, 12}
_ICMPV6_LAST_ERROR = 127


def canonical_address(text: str) -> str:
    """The canonical form of an IP address, the same on every Python.

    Raises:
        ValueError: the text is no address.
    """
    if ":" in text:
        if "%" in text:  # a zone may be any text
            raise ValueError(text)
        return _canonical_ipv6(text)
    if _is_ipv4(text) is None:
        raise ValueError(text)
    return text


@lru_cache(maxsize=4096)
def _canonical_target(cell: str) -> str:
    """One string for all packets to an address: most packets are to us or from us."""
    return canonical_address(cell)


@lru_cache(maxsize=8192)
def _canonical_ipv6(text: str) -> str:
    # In a flood each address is another, and its object costs ten times as much.
    if text.count(":") <= _MOST_COLONS and _is_plain_ipv6(text):
        return text
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return f"::ffff:{address.ipv4_mapped}"
    return str(address)


def decode(line: str, cells: Cells = NO_CELLS) -> Packet | Discard:
    """Decode one line of tshark's `-T tabs` output.

    Args:
        line: the cells of `columns.COLUMNS`, separated by tabs, padded with blanks.
        cells: the same, if the line was split before.

    Returns:
        The packet, or why there is none. A line that cannot be read is MALFORMED.
    """
    try:
        return _decode(cells if cells[0] else cells_of(line))
    except (ValueError, IndexError, struct.error, OverflowError):
        return Discard.MALFORMED


def hops_of(cells: Cells) -> int:
    """The hop limit of a packet, from its cells; 0 if they cannot be read."""
    text = cells[-1]
    try:
        shared = _shared(text) if len(text) <= _MAX_CACHED else Discard.MALFORMED
    except ValueError:
        return 0
    return 0 if isinstance(shared, Discard) else shared.ttl


class _Shared(NamedTuple):
    """What the shared cells of a line say."""

    proto: int
    ttl: int
    vlan: int
    iface: str
    is_first_piece: bool
    is_whole: bool


def _decode(cells: Cells) -> Packet | Discard:
    time, src, data, dst, ip_id, text = cells
    shared = _shared(text) if len(text) <= _MAX_CACHED else _shared.__wrapped__(text)
    if isinstance(shared, Discard):
        return shared
    proto, ttl, vlan, iface, is_first_piece, is_whole = shared
    payload = payload_of(data)
    if is_first_piece and len(payload) < _LEAST_BYTES.get(proto, _MAX_BYTES):
        return Discard.FRAGMENT
    src_port = dest_port = flags = seq = ack = window = header_bytes = 0
    options, quoted = b"", None
    if proto == TCP:
        src_port, dest_port, seq, ack, offset, flags, window = _TCP_HEADER.unpack_from(payload)
        if flags & _FLAGS_OF_ESTABLISHED == ACK:
            return Discard.ESTABLISHED
        header_bytes = (offset >> 4) * 4
        if header_bytes < 20:  # noqa: PLR2004 - RFC 9293: five words at least
            return Discard.MALFORMED
        options = payload[20:header_bytes]
    elif proto in _WITH_PORTS:
        src_port, dest_port = struct.unpack_from("!HH", payload)
        flags = payload[12] if proto == SCTP else 0  # RFC 9260 section 3.2: type of the first chunk
    elif proto in {ICMP, ICMPV6}:
        src_port, dest_port, quoted = payload[0], payload[1], _quoted(proto, payload)
    return _new(
        Packet,
        (
            time_us(time),
            src if ":" not in src and _is_ipv4(src) else canonical_address(src),
            _canonical_target(dst),
            proto,
            src_port,
            dest_port,
            flags,
            seq,
            ack,
            window,
            header_bytes,
            options,
            ttl,
            _id(ip_id) if ip_id else 0,
            vlan,
            iface,
            is_whole,
            quoted,
        ),
    )


@lru_cache(maxsize=4096)
def _shared(text: str) -> _Shared | Discard:
    cells = shared_cells(text)
    if not cells.proto:
        return Discard.NOT_IP
    if not cells.whole and _any_set(cells.offset):
        return Discard.FRAGMENT
    protos = last_protocols(cells.proto)
    # None: extension headers with nothing behind them, which no host answers. More than one: tshark looked
    # into a tunnel, and prints addresses that anybody can put there.
    if len(protos) != 1:
        return Discard.MALFORMED
    proto = _number(protos[0], _MAX_BYTE)
    return _Shared(
        proto=proto,
        ttl=_number(cells.ttl or "0", _MAX_BYTE),
        vlan=_number(innermost(cells.vlan) or "0", _MAX_VLAN),
        iface=_iface(cells.iface),
        is_first_piece=not cells.whole and _any_set(cells.more),
        is_whole=bool(cells.whole) and proto in _LEAST_BYTES,
    )


def _quoted(proto: int, payload: bytes) -> Quoted | None:
    """The quotation of an ICMP error; older versions print 36 bytes, which end within an IPv6 header."""
    inner = payload[8:]
    if proto == ICMP and payload[0] in _ICMP_ERRORS and len(inner) >= _IPV4_HEADER:
        header = (inner[0] & 0x0F) * 4
        ports = struct.unpack_from("!HH", inner, header) if len(inner) >= header + 4 else (0, 0)
        src, dst = (str(ipaddress.IPv4Address(inner[at : at + 4])) for at in (12, 16))
        return Quoted(inner[9], src, dst, *ports)
    if proto == ICMPV6 and payload[0] <= _ICMPV6_LAST_ERROR and len(inner) >= 24:  # noqa: PLR2004 - up to the source
        src = canonical_address(str(ipaddress.IPv6Address(inner[8:24])))
        if len(inner) < _IPV6_HEADER + 4:
            return Quoted(inner[6], src, "", 0, 0)
        dst = canonical_address(str(ipaddress.IPv6Address(inner[24:40])))
        return Quoted(inner[6], src, dst, *struct.unpack_from("!HH", inner, _IPV6_HEADER))
    return None


def _number(text: str, most: int) -> int:
    """A number as tshark prints it: `int` accepts more, such as signs and underscores."""
    if _NUMBER.fullmatch(text) is None or int(text) > most:
        raise ValueError(text)
    return int(text)


def _iface(cell: str) -> str:
    """The interface's name, if a kernel would accept it: a capture file can hold any text."""
    name = innermost(cell)
    return name if _IFACE.fullmatch(name) else ""


def time_us(cell: str) -> int:
    """The time of a packet in microseconds since 1970.

    Raises:
        ValueError: the cell holds no time, or one that the log cannot show.
    """
    if len(cell) in _USUAL_TIME_CELLS and cell[10] == "." and (digits := cell[:10] + cell[11:]).isdecimal():
        return int(digits[:_MICROSECONDS])
    text = cell.strip()
    seconds, _, fraction = text.partition(".")
    if not (seconds + fraction).isdecimal() or len(text) > _MAX_TIME_CELL:
        raise ValueError(text)
    micros = int(seconds) * 1_000_000 + int(fraction[:6].ljust(6, "0"))
    if not 0 <= micros <= MAX_TIME_US:
        raise ValueError(text)
    return micros


def _id(cell: str) -> int:
    return int(cell if len(cell) == _ID_DIGITS and cell.isalnum() else cell.strip()[:_ID_DIGITS] or "0", 16)


def _any_set(cell: str) -> bool:
    """Whether a numeric or boolean column holds anything but zero."""
    return bool(cell) and any(value not in NOT_SET for value in cell.split(","))
