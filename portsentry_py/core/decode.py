"""One line of tshark columns becomes one Packet, or a reason why not. Never raises.

The columns are those of `COLUMNS`; the layer-4 bytes arrive as hex because tshark's own layer-4
dissectors keep a conversation per SYN and never forget it.
"""

import enum
import ipaddress
import re
import struct
from functools import lru_cache
from typing import NamedTuple

from portsentry_py.core.packet import ACK, FIN, ICMP, ICMPV6, RST, SCTP, SYN, TCP, UDP, Packet, Quoted
from portsentry_py.core.tshark36 import numbers_of

# Title and Wireshark column format. The data column stands between the addresses because tshark
# prints an arrow column between adjacent ones. U asks for numbers; 3.6 prints words all the same.
COLUMNS = (
    ("time", "%t"),
    ("src", "%us"),
    ("data", "%Cus:data.data:0:U"),
    ("dst", "%ud"),
    (
        "proto",
        (
            "%Cus:ip.proto or ipv6.nxt or ipv6.hopopts.nxt or ipv6.routing.nxt or ipv6.dstopts.nxt"
            " or ipv6.fraghdr.nxt or ah.next_header:0:U"
        ),
    ),
    ("offset", "%Cus:ip.frag_offset or ipv6.fraghdr.offset:0:U"),
    ("more", "%Cus:ip.flags.mf or ipv6.fraghdr.more:0:U"),
    ("whole", "%Cus:ip.reassembled.length or ipv6.reassembled.length:0:U"),
    ("vlan", "%Cus:vlan.id:0:U"),
    ("iface", "%Cus:frame.interface_name:0:U"),
    ("ttl", "%Cus:ip.ttl or ipv6.hlim:0:U"),
    # Last, because it alone differs from packet to packet: gate.py compares all between as one.
    ("id", "%Cus:ip.id:0:U"),
)


class Discard(enum.Enum):
    """Why a line gives no packet."""

    NOT_IP = "not_ip"
    FRAGMENT = "fragment"  # a piece; the reassembled whole comes with the last piece
    ESTABLISHED = "established"  # plain ACK and data: the kernel filter drops the same live
    MALFORMED = "malformed"


# What tshark appends to bytes that it cuts, as text and as the pipe's bytes.
_CUT = "….\xe2\x80\xa6"
# 9999-12-31: what comes of a packet seconds later still has a date that the log can show. pcapng can carry
# later ones.
MAX_TIME_US = 253_402_214_400_000_000
_MAX_TIME_CELL = 40
_NUMBER = re.compile(r"[0-9]{1,5}", re.ASCII)
_MAX_BYTE = 255
_MAX_VLAN = 4095
# Longer cells are as rare as they are strange: a table of them would be as large as whoever sends them likes.
_MAX_KEPT = 512
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
_IFACE = re.compile(r"[A-Za-z0-9_.:@-]{1,64}", re.ASCII)
_TUNNELS = {"4", "41", "47"}
_IPV6_EXTENSIONS = {"0", "43", "44", "51", "60"}
_FLAGS_OF_ESTABLISHED = SYN | FIN | RST | ACK
_TCP_HEADER = struct.Struct("!HHIIBBH")  # RFC 9293 section 3.1, up to the window
# Versions print 0 or False; 3.6 prints Not set, in IPv6 No.
NOT_SET = frozenset({"0", "False", "Not set", "No"})
# 3.6 adds the same in decimal: 0x0007 (7).
_ID = slice(6)
_IPV4_HEADER = 20
_IPV6_HEADER = 40
_ICMP_ERRORS = {3, 4, 5, 11, 12}
_ICMPV6_LAST_ERROR = 127


def canonical_address(text: str) -> str:
    """The canonical form of an IP address, the same on every Python; raises ValueError if it is none."""
    if ":" in text:
        if "%" in text:  # a zone may be any text
            raise ValueError(text)
        return _canonical_ipv6(text)
    if _IPV4.fullmatch(text) is None:
        raise ValueError(text)
    return text


@lru_cache(maxsize=4096)
def _canonical_target(cell: str) -> str:
    """Most packets are to us or from us: one text for all that hold it."""
    return canonical_address(cell.strip())


@lru_cache(maxsize=8192)
def _canonical_ipv6(text: str) -> str:
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return f"::ffff:{address.ipv4_mapped}"
    return str(address)


def decode(line: str) -> Packet | Discard:
    """Decode one line of tshark's `-T tabs` output with the columns of `COLUMNS`.

    Args:
        line: the columns, separated by tabs, padded with blanks.

    Returns:
        The packet, or why there is none. Anything that cannot be understood is MALFORMED.
    """
    try:
        return _decode(line)
    except (ValueError, IndexError, struct.error, OverflowError):
        return Discard.MALFORMED


class _Common(NamedTuple):
    """What the columns from the protocol to the TTL say: the same for most packets."""

    proto: int
    ttl: int
    vlan: int
    iface: str
    tunnelled: bool
    leads_nowhere: bool


def _decode(line: str) -> Packet | Discard:
    time, src, data, dst, rest = line.split("\t", 4)
    cells, _, ids = rest.rpartition("\t")
    common = _common(cells) if len(cells) <= _MAX_KEPT else _common.__wrapped__(cells)
    if isinstance(common, Discard):
        return common
    data, ids = data.strip(), ids.strip()
    proto = common.proto
    # tshark 4.0 prints bytes without colons and cuts them after 36, 4.4 prints them all with colons.
    payload = bytes.fromhex(data.rsplit(",", 1)[-1].rstrip(_CUT).replace(":", ""))
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
    elif proto in {UDP, SCTP}:
        src_port, dest_port = struct.unpack_from("!HH", payload)
        flags = payload[12] if proto == SCTP else 0  # RFC 9260 section 3.2: type of the first chunk
    elif proto in {ICMP, ICMPV6}:
        src_port, dest_port, quoted = payload[0], payload[1], _quoted(proto, payload)
    elif common.leads_nowhere:
        return Discard.MALFORMED
    return Packet(
        time_us=_time_us(time.strip()),
        src=canonical_address(src.strip()),
        dst=_canonical_target(dst),
        proto=proto,
        src_port=src_port,
        dest_port=dest_port,
        flags=flags,
        seq=seq,
        ack=ack,
        window=window,
        header_bytes=header_bytes,
        options=options,
        ttl=common.ttl,
        # IPv6 has no identification: in 6in4 the column holds the outer packet's.
        ip_id=0 if ":" in src else int(ids.rsplit(",", 1)[-1][_ID] or "0", 16),
        vlan=common.vlan,
        in_iface=common.iface,
        tunnelled=common.tunnelled,
        quoted=quoted,
    )


@lru_cache(maxsize=4096)
def _common(cells: str) -> _Common | Discard:
    protos, offsets, more, whole, vlans, iface, ttls = (cell.strip() for cell in cells.split("\t"))
    if not protos:
        return Discard.NOT_IP
    if not whole and (_any_set(offsets) or _any_set(more)):
        return Discard.FRAGMENT
    chain = numbers_of(protos)
    return _Common(
        proto=_number(chain[-1], _MAX_BYTE),
        ttl=_number(ttls.rsplit(",", 1)[-1] or "0", _MAX_BYTE),
        vlan=_number(vlans.rsplit(",", 1)[-1] or "0", _MAX_VLAN),
        iface=_iface(iface),
        tunnelled=any(number in _TUNNELS for number in chain[:-1]),
        # An extension header with nothing behind it: nothing that a host would answer.
        leads_nowhere=chain[-1] in _IPV6_EXTENSIONS,
    )


def _quoted(proto: int, payload: bytes) -> Quoted | None:
    """The quotation of an ICMP error; older tsharks show 36 bytes, which end within an IPv6 header."""
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
    """A number as tshark prints it: what `int` takes besides (signs, underscores) is none."""
    if _NUMBER.fullmatch(text) is None or int(text) > most:
        raise ValueError(text)
    return int(text)


def _iface(cell: str) -> str:
    """The interface's name, if it is one that a kernel would give: a capture file can hold any text."""
    name = cell.rsplit(",", 1)[-1]
    return name if _IFACE.fullmatch(name) else ""


def seconds_of(cell: str) -> float:
    """The time of a line in seconds since 1970, for comparisons; 0 where there is none."""
    try:
        return float(cell)
    except ValueError:
        return 0.0


def _time_us(text: str) -> int:
    seconds, _, fraction = text.partition(".")
    if not (seconds + fraction).isdecimal() or len(text) > _MAX_TIME_CELL:
        raise ValueError(text)
    time_us = int(seconds) * 1_000_000 + int(fraction[:6].ljust(6, "0"))
    if not 0 <= time_us <= MAX_TIME_US:
        raise ValueError(text)
    return time_us


def _any_set(cell: str) -> bool:
    """Whether a numeric or boolean column holds anything but zero."""
    return bool(cell) and any(value not in NOT_SET for value in cell.split(","))
