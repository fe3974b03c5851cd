"""The packet as the core sees it, and the numbers of protocols and TCP flags."""

from typing import NamedTuple

TCP = 6
UDP = 17
ICMP = 1
ICMPV6 = 58
DCCP = 33
SCTP = 132
UDPLITE = 136

# TCP flags, RFC 9293 section 3.1 (byte 13 of the header).
FIN = 0x01
SYN = 0x02
RST = 0x04
PSH = 0x08
ACK = 0x10
URG = 0x20
ECE = 0x40
CWR = 0x80


class Quoted(NamedTuple):
    """The packet that caused an ICMP error, as the error quotes it (RFC 792, RFC 4443).

    Ports are 0 if the quotation is too short.
    """

    proto: int
    src: str
    dst: str
    src_port: int
    dest_port: int


class Packet(NamedTuple):
    """One decoded packet.

    `time_us` is the capture time in microseconds since 1970-01-01 UTC, the only clock of the core.
    Addresses are canonical strings; `ttl` is the IPv6 hop limit too. For ICMP and ICMPv6 `src_port` is the
    type and `dest_port` the code. Fields that a protocol lacks are 0 or empty. `is_whole`: fragments, put
    together again, whose first piece was read as a packet before.
    """

    time_us: int
    src: str
    dst: str
    proto: int
    src_port: int = 0
    dest_port: int = 0
    flags: int = 0
    seq: int = 0
    ack: int = 0
    window: int = 0
    header_bytes: int = 0
    options: bytes = b""
    ttl: int = 0
    ip_id: int = 0
    vlan: int = 0
    in_iface: str = ""
    is_whole: bool = False
    quoted: Quoted | None = None
