"""The probes, from the transport header on: scapy builds one per host, and each port gets its numbers in it.

The kernel adds the IP header.
"""

import struct
from collections.abc import Callable

from portsentry_py.checks.scan.model import Method, Target
from portsentry_py.errors import LibraryMissing

try:
    from scapy.layers.dns import DNS, DNSQR
    from scapy.layers.inet import IP, TCP, UDP
    from scapy.layers.inet6 import IPv6
    from scapy.layers.ntp import NTPHeader
    from scapy.layers.sctp import SCTP, SCTPChunkInit, crc32c
    from scapy.layers.snmp import SNMP, SNMPget, SNMPvarbind
    from scapy.packet import Packet, Raw
except ImportError as error:
    raise LibraryMissing("scapy", "scan") from error

Build = Callable[[int, int, int], bytes]
"""Makes the probe of a port, from a source port, with a number."""

_FLAGS: dict[Method, str] = {
    "syn": "S",
    "null": "",
    "fin": "F",
    "xmas": "FPU",
    "maimon": "FA",
    "ack": "A",
    "window": "A",
}
_SEGMENT_HEAD = struct.Struct("!HHII")
_DATAGRAM_HEAD = struct.Struct("!HH")
_CHECKSUM = struct.Struct("!H")
_SEGMENT_CHECKSUM_AT, _DATAGRAM_CHECKSUM_AT, _SCTP_CHECKSUM_AT, _INIT_TAG_AT = 16, 6, 8, 16
_WINDOW, _SEGMENT_BYTES = 64_240, 1460
_RECEIVE_WINDOW = 106_496  # RFC 9260 section 3.3.2: at least 1,500


def probes_of(method: Method, target: Target) -> Build:
    """What makes the probes of a host."""
    header = _ip_header(target)
    if method == "udp":
        return _datagrams(header)
    return _inits() if method == "sctp-init" else _segments(method, header)


def _ip_header(target: Target) -> Packet:
    return (IP if target.is_ipv4 else IPv6)(src=target.source, dst=target.address)


def _segments(method: Method, header: Packet) -> Build:
    flags = _FLAGS[method]
    options = [("MSS", _SEGMENT_BYTES)] if flags == "S" else []
    segment = TCP(sport=0, dport=0, seq=0, ack=0, flags=flags, window=_WINDOW, options=options)
    template, total = _template(header / segment, _SEGMENT_CHECKSUM_AT)
    rest = template[_SEGMENT_HEAD.size : _SEGMENT_CHECKSUM_AT]
    end = template[_SEGMENT_CHECKSUM_AT + _CHECKSUM.size :]
    acknowledges = "A" in flags

    def build(port: int, source_port: int, number: int) -> bytes:
        words = total + source_port + port + ((number >> 16) + (number & 0xFFFF)) * (2 if acknowledges else 1)
        head = _SEGMENT_HEAD.pack(source_port, port, number, number if acknowledges else 0)
        return head + rest + _CHECKSUM.pack(_folded(words)) + end

    return build


def _datagrams(header: Packet) -> Build:
    templates = {
        port: _template(header / UDP(sport=0, dport=0) / payload, _DATAGRAM_CHECKSUM_AT)
        for port, payload in _payloads().items()
    }
    empty = _template(header / UDP(sport=0, dport=0), _DATAGRAM_CHECKSUM_AT)

    def build(port: int, source_port: int, _number: int) -> bytes:
        template, total = templates.get(port, empty)
        # RFC 768: 0 would say that there is no checksum.
        checksum = _folded(total + source_port + port) or 0xFFFF
        head = _DATAGRAM_HEAD.pack(source_port, port) + template[_DATAGRAM_HEAD.size : _DATAGRAM_CHECKSUM_AT]
        return head + _CHECKSUM.pack(checksum) + template[_DATAGRAM_CHECKSUM_AT + _CHECKSUM.size :]

    return build


def _inits() -> Build:
    chunk = SCTPChunkInit(init_tag=0, a_rwnd=_RECEIVE_WINDOW, n_out_streams=10, n_in_streams=10, init_tsn=0)
    template = bytes(SCTP(sport=0, dport=0, tag=0, chksum=0) / chunk)

    def build(port: int, source_port: int, number: int) -> bytes:
        probe = bytearray(template)
        struct.pack_into("!HH", probe, 0, source_port, port)
        struct.pack_into("!I", probe, _INIT_TAG_AT, number)
        struct.pack_into("!I", probe, _SCTP_CHECKSUM_AT, crc32c(bytes(probe)))  # type: ignore[no-untyped-call] # of scapy
        return bytes(probe)

    return build


def _template(packet: Packet, checksum_at: int) -> tuple[bytes, int]:
    """The transport header and payload, and the sum that its checksum is the complement of (RFC 1071)."""
    built = bytes(type(packet)(bytes(packet)).payload)
    (checksum,) = _CHECKSUM.unpack_from(built, checksum_at)
    return built, ~checksum & 0xFFFF


def _folded(total: int) -> int:
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _payloads() -> dict[int, Packet]:
    """What services that say nothing to an empty datagram answer."""
    question = DNS(rd=1, qd=DNSQR(qname=".", qtype="NS"))
    # RFC 1002 section 4.2.17: the status of any name, `*` in the first-level encoding of RFC 1001.
    any_name = DNS(qd=DNSQR(qname="CK" + "A" * 30, qtype=33))
    return {
        53: question,  # RFC 1035
        # RFC 5531: the null procedure of the port mapper (RFC 1833).
        111: Raw(struct.pack("!10I", 0x70737079, 0, 2, 100_000, 2, 0, 0, 0, 0, 0)),
        123: NTPHeader(version=4, mode=3),  # RFC 5905
        137: any_name,
        161: SNMP(community="public", PDU=SNMPget(varbindlist=[SNMPvarbind(oid="1.3.6.1.2.1.1.1.0")])),  # RFC 1157
        # RFC 2453 section 3.9.1: a request for the whole table.
        520: Raw(struct.pack("!BBHHHIIII", 1, 2, 0, 0, 0, 0, 0, 0, 16)),
        # UPnP Device Architecture 2.0 section 1.3.2.
        1900: Raw(
            b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n"
            b'MAN: "ssdp:discover"\r\nMX: 1\r\nST: ssdp:all\r\n\r\n'
        ),
        3478: Raw(struct.pack("!HHI12s", 1, 0, 0x2112A442, b"portsentryPY")),  # RFC 8489: a binding request
        5353: DNS(qd=DNSQR(qname="_services._dns-sd._udp.local.", qtype="PTR")),  # RFC 6763 section 9
    }
