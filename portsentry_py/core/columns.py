"""The columns that tshark prints of a packet. Only this module knows their order and how their cells look."""

from functools import lru_cache
from operator import itemgetter
from typing import NamedTuple

from portsentry_py.core.packet import ACK, FIN, RST, SYN
from portsentry_py.core.tshark36 import numbers_of

# Title and Wireshark column format. The data column stands between the addresses because tshark
# prints an arrow column between adjacent ones. U asks for numbers; 3.6 prints words all the same.
COLUMNS = (
    ("time", "%t"),
    ("src", "%us"),
    ("data", "%Cus:data.data:0:U"),
    ("dst", "%ud"),
    ("id", "%Cus:ip.id:0:U"),
    # From here on all columns hold the same text in most lines.
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
    ("ttl", "%Cus:ip.ttl or ipv6.hlim:0:U"),
    ("vlan", "%Cus:vlan.id:0:U"),
    # The last one: a live capture on one interface does not ask for it, and its reader appends the name. tshark would
    # fill in all fields of the frame for it.
    ("iface", "%Cus:frame.interface_name:0:U"),
)

# Only of a capture file whose own addresses are known: who sent the frame. They come last and `provenance` takes them.
# What the link layer's dissector found costs tshark less than its fields do. The column between the addresses is the
# direction, of a cooked capture or of pcapng; it is there because of the arrow.
LINK_COLUMNS = (
    ("link_src", "%uhs"),
    ("direction", "%Cus:sll.pkttype or frame.packet_flags_direction:0:U"),
    ("link_dst", "%uhd"),
)


class LinkCells(NamedTuple):
    """The link layer's word on a frame: its two addresses, and between them its direction."""

    src: str
    direction: str
    dst: str


class SharedCells(NamedTuple):
    """The columns that hold the same text in most lines, so that readers cache what they make of it."""

    proto: str
    offset: str
    more: str
    whole: str
    ttl: str
    vlan: str
    iface: str


NOT_SET = frozenset({"0", "False", "Not set", "No"})
"""How versions print that a flag or a number is zero: 0 or False; 3.6 prints Not set, in IPv6 No."""
# What tshark appends to bytes that it cuts, as the pipe's bytes and as any of its versions and readers show it.
_ELLIPSIS = "\xe2\x80\xa6"
_CUT = f"….{_ELLIPSIS}"
_LATEST_SECONDS = 1e12
_VLAN, _INTERFACE = (list(dict(COLUMNS)).index(title) for title in ("vlan", "iface"))
# tshark prints at most 2047 bytes of a column: a longer line is not one that a table of lines may hold.
_MAX_LINE = 2600
_HEAD_BYTES = 14  # of TCP, up to the flags
_COLONED_HEAD = slice(3 * _HEAD_BYTES)
_TRANSPORTS = {"6": "tcp", "17": "udp", "132": "sctp", "1": "icmp", "58": "icmpv6"}
_WHOLE = NOT_SET | {""}

Head = tuple[str, str, str, str, str]
"""Time, source, layer 4 as hex digits (right up to the TCP flags), target, and the transport by name or number."""
NO_HEAD: Head = ("", "", "", "", "")
Cells = tuple[str, str, str, str, str, str]
"""Time, source, data, target, IP identification, and the text of the shared cells; no blanks around the addresses."""
NO_CELLS: Cells = ("", "", "", "", "", "")
SRC_PORT, DEST_PORT, ENDS, SEQ_NUMBER, ACK_NUMBER, FLAGS = (
    *(slice(0, 4), slice(4, 8), slice(0, 8), slice(8, 16), slice(16, 24), slice(26, 28)),
)
"""Where ports, both of them, TCP's numbers and its flags stand in the digits of a head."""
CHUNK_TYPE, ICMP_TYPE = slice(24, 26), slice(0, 2)
"""Where the type of SCTP's first chunk and the type of an ICMP message stand."""
HEADER_WORDS = slice(24, 25)
"""Where the length of TCP's header stands, in words of four bytes."""
IPV6_EXTENSIONS = frozenset({"0", "43", "44", "51", "60"})
"""Protocol numbers of headers that stand before the last protocol of a chain."""
OPENING_FLAGS = frozenset(f"{flags:02x}" for flags in range(256) if not flags & (ACK | RST))
"""The flags of a first segment, as the digits show them."""
CLOSING_FLAGS = frozenset(f"{flags:02x}" for flags in range(256) if flags & (FIN | ACK | SYN | RST) == FIN | ACK)
"""The flags of a segment that closes a connection."""
ACCEPTING_FLAGS = frozenset(f"{flags:02x}" for flags in range(256) if flags & (FIN | ACK | SYN | RST) == SYN | ACK)
"""The flags of a segment that accepts a connection."""
ANSWERING_FLAGS = ACCEPTING_FLAGS | frozenset(
    f"{flags:02x}" for flags in range(256) if flags & (FIN | SYN | RST) == RST
)
"""The same, and those of a segment that refuses one or resets what belongs to none."""

time_text = itemgetter(slice(17))
"""The time of a line as text: ten digits of seconds and six decimals, which sort as numbers do."""


def time_of(line: str) -> float:
    """The time of a line in seconds since 1970, for comparisons; 0 where there is none."""
    return seconds_of(line.split("\t", 1)[0])


def seconds_of(time: str) -> float:
    """The same, of the time cell."""
    try:
        seconds = float(time)
    except ValueError:
        return 0.0
    return seconds if 0 < seconds < _LATEST_SECONDS else 0.0


def micros_of(time: str) -> int:
    """The same in microseconds."""
    return round(seconds_of(time) * 1e6)


def interface_of(line: str) -> str:
    """The interface cell of a line; empty where there is none."""
    return "".join(line.split("\t")[_INTERFACE : _INTERFACE + 1])


def without_time(line: str) -> str:
    """All cells of a line but the time: the same packet, seen by two captures, has two times."""
    return line.partition("\t")[2]


def without_place(line: str) -> str:
    """All cells of a line but time, VLAN and interface: the same packet, seen in two places."""
    cells = line.split("\t")
    return "\t".join(cells[1:_VLAN])


def ends_of(line: str) -> tuple[str, str]:
    """Source and target of a line.

    Raises:
        ValueError: the line has too few columns.
    """
    _, src, _, dst, _ = line.split("\t", 4)
    return src.strip(), dst.strip()


def cells_of(line: str) -> Cells:
    """The cells of a line: none of them is checked or converted.

    Raises:
        ValueError: the line has too few columns.
    """
    time, src, data, dst, ip_id, shared = line.split("\t", 5)
    return time, src.strip(), data, dst.strip(), ip_id, shared


def head_of(line: str) -> Head:
    """What the hot path reads of a line; see `split`."""
    return split(line)[0]


def split(line: str) -> tuple[Head, Cells]:
    """The head of a line, which the hot path reads, and all its cells: none of them is checked or converted.

    The transport is that of the last header of a chain. It is empty where there is no whole packet, or a tunnel.
    A line that is too long to be kept, or has too few columns, has no head and no cells.
    """
    if len(line) > _MAX_LINE:
        return NO_HEAD, NO_CELLS
    try:
        time, src, data, dst, ip_id, shared = line.split("\t", 5)
    except ValueError:
        return NO_HEAD, NO_CELLS
    src, dst = src.strip(), dst.strip()
    digits = data if data[2:3] != ":" else data[_COLONED_HEAD].replace(":", "")  # with colons: tshark 4.4
    return (time, src, digits, dst, _transport(shared)), (time, src, data, dst, ip_id, shared)


@lru_cache(maxsize=4096)
def _transport(shared: str) -> str:
    try:
        cells = shared_cells(shared)
    except ValueError:
        return ""
    is_whole = {cells.offset, cells.more} <= _WHOLE and not cells.whole
    protos = last_protocols(cells.proto)
    return _TRANSPORTS.get(protos[0], protos[0]) if is_whole and len(protos) == 1 else ""


def last_protocols(cell: str) -> list[str]:
    """The protocols of a packet but for extension headers: one, or several if tshark looked into a tunnel."""
    return [number for number in numbers_of(cell) if number not in IPV6_EXTENSIONS]


def shared_cells(text: str) -> SharedCells:
    """The shared cells, from their text.

    Raises:
        ValueError: there are too few or too many.
    """
    cells = text.split("\t")
    if len(cells) != len(SharedCells._fields):
        raise ValueError(text)
    return SharedCells._make(map(str.strip, cells))


def innermost(cell: str) -> str:
    """The last of the values that a cell lists: the one of the innermost header."""
    return cell.rsplit(",", 1)[-1]


def payload_of(data: str) -> bytes:
    """The bytes of a data cell: layer 4 of the innermost packet, from its beginning.

    tshark 4.0 prints bytes without colons and cuts them after 36, 4.4 prints them all with colons.

    Raises:
        ValueError: the cell holds something else than bytes.
    """
    if data[2:3] != ":":
        try:
            return bytes.fromhex(data.removesuffix(_ELLIPSIS))
        except ValueError:  # no plain digits
            pass
    return bytes.fromhex(data.strip().rsplit(",", 1)[-1].rstrip(_CUT).replace(":", ""))
