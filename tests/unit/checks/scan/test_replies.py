"""Replies are read as they were sent; damaged and hostile ones are nothing."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP as ICMP_LAYER
from scapy.layers.inet import IP
from scapy.layers.inet import TCP as TCP_LAYER
from scapy.layers.inet import UDP as UDP_LAYER
from scapy.layers.inet6 import ICMPv6DestUnreach, IPv6
from scapy.layers.sctp import SCTP as SCTP_LAYER
from scapy.layers.sctp import SCTPChunkInit, SCTPChunkInitAck
from scapy.packet import Packet

from portsentry_py.checks.scan.replies import Reply, read_reply
from portsentry_py.core.packet import ICMP, ICMPV6, SCTP, TCP, UDP

US, THEM, ROUTER = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2]), bytes([10, 0, 0, 254])
US6, THEM6 = b"\xfd" + bytes(14) + b"\x01", b"\xfd" + bytes(14) + b"\x02"
OWN = frozenset({US, US6})
FROM_THEM = IP(src="10.0.0.2", dst="10.0.0.1")
FROM_THEM6 = IPv6(src="fd00::2", dst="fd00::1")
TO_THEM, TO_THEM6 = IP(src="10.0.0.1", dst="10.0.0.2"), IPv6(src="fd00::1", dst="fd00::2")
UNREACHABLE: Packet = IP(src="10.0.0.254", dst="10.0.0.1") / ICMP_LAYER(type=3, code=13)


def read(packet: object, probed: int = TCP) -> Reply | None:
    assert isinstance(packet, Packet)
    return read_reply(bytes(packet), OWN, probed)


@pytest.mark.parametrize(("header", "them"), [(FROM_THEM, THEM), (FROM_THEM6, THEM6)])
def test_a_direct_reply(header: Packet, them: bytes) -> None:
    segment = TCP_LAYER(sport=22, dport=40_000, seq=7, ack=9, flags="SA", window=512, options=[("MSS", 1400)])
    assert read(header / segment) == Reply(them, them, TCP, 22, 40_000, 0x12, 7, 9, 512)
    datagram = UDP_LAYER(sport=53, dport=40_000) / b"x"
    assert read(header / datagram, UDP) == Reply(them, them, UDP, 53, 40_000)
    chunk = SCTP_LAYER(sport=22, dport=40_000, tag=5) / SCTPChunkInitAck()
    assert read(header / chunk, SCTP) == Reply(them, them, SCTP, 22, 40_000, 2, 5)


def test_an_error_is_about_the_packet_that_it_quotes() -> None:
    quoted = TO_THEM / TCP_LAYER(sport=40_000, dport=22, seq=7)
    expected = Reply(ROUTER, THEM, ICMP, 22, 40_000, 3 << 8 | 13, 7)
    assert read(UNREACHABLE / quoted) == expected
    assert read_reply(bytes(UNREACHABLE / quoted)[:56], OWN, TCP) == expected, "8 bytes are enough"
    datagram = TO_THEM / UDP_LAYER(sport=40_000, dport=53)
    assert read(UNREACHABLE / datagram, UDP) == Reply(ROUTER, THEM, ICMP, 53, 40_000, 3 << 8 | 13)
    init = TO_THEM / SCTP_LAYER(sport=40_000, dport=22) / SCTPChunkInit(init_tag=5)
    assert read(UNREACHABLE / init, SCTP) == Reply(ROUTER, THEM, ICMP, 22, 40_000, 3 << 8 | 13, 5)
    quoted6 = TO_THEM6 / TCP_LAYER(sport=40_000, dport=22, seq=7)
    error6: Packet = FROM_THEM6 / ICMPv6DestUnreach(code=4)
    assert read(error6 / quoted6) == Reply(THEM6, THEM6, ICMPV6, 22, 40_000, 1 << 8 | 4, 7)


def test_what_is_about_others_is_nothing() -> None:
    segment = TCP_LAYER(sport=22, dport=40_000, flags="SA")
    assert read(IP(src="10.0.0.2", dst="10.0.0.9") / segment) is None
    assert read(FROM_THEM / segment, UDP) is None
    assert read(UNREACHABLE / IP(src="10.0.0.9", dst="10.0.0.2") / TCP_LAYER()) is None
    assert read(UNREACHABLE / TO_THEM / UDP_LAYER()) is None
    assert read(IP(src="10.0.0.2", dst="10.0.0.1", frag=5) / segment) is None


@pytest.mark.parametrize("probed", [TCP, UDP, SCTP])
@given(packet=st.binary(max_size=120))
@example(packet=b"")
@example(packet=b"\x40" + bytes(60))
@example(packet=b"\x4f" + bytes(20))
def test_no_bytes_raise(probed: int, packet: bytes) -> None:
    assert read_reply(packet, OWN, probed) is None or packet[0] >> 4 in {4, 6}


@given(st.data())
def test_a_reply_that_is_damaged_is_read_or_refused(data: st.DataObject) -> None:
    whole = bytearray(bytes(UNREACHABLE / TO_THEM / TCP_LAYER(sport=40_000, dport=22, seq=7)))
    for at in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=4)):
        whole[at] = data.draw(st.integers(0, 255))
    packet = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    reply = read_reply(packet, OWN, TCP)
    assert reply is None or (len(packet) >= 36 and 0 <= reply.port <= 65_535)
