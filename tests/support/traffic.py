"""Traffic for tests that must hold for any packet: drawn by hypothesis, or one packet of each kind."""

import dataclasses
from collections.abc import Callable
from zlib import crc32

from hypothesis import strategies as st

from portsentry_py.core.packet import ACK, FIN, PSH, RST, SYN, URG
from tests.support.build import (
    FRIEND,
    HOST,
    HOST6,
    SCANNER,
    SCANNER6,
    SECOND_US,
    STACK_OPTIONS,
    START_US,
    Sent,
    connect,
    fragments,
    home_hosts,
    icmp_unreachable,
    in_tunnel,
    ping,
    rst,
    rst_ack,
    syn,
    syn_ack,
    tcp,
    udp,
    udp_reply,
    xmas,
)

_FLAGS = (SYN, SYN, SYN, 0, FIN, FIN | PSH | URG, SYN | FIN, SYN | ACK, RST, RST | ACK, FIN | ACK, 0x40)
# A few ports, so that traffic meets itself: traps of `strict()`, a served port, others.
_PORTS = (11, 19, 23, 80, *range(100, 112))
_V4 = (SCANNER, FRIEND, "203.0.113.77", "169.254.3.3")
_V6 = (SCANNER6, "2001:db8:bad:1::5", "::ffff:203.0.113.9", "fe80::7")
# ICMP echo requests, IP protocols without ports, and an SCTP INIT.
_PROTOCOLS = (1, 2, 47, 50, 51, 58, 89, 132)
_ANY_PAYLOAD = bytes([8, 0, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 4])


def _answered(draw: st.DrawFn, asked: Sent, *answers: Callable[[Sent], Sent]) -> list[Sent]:
    answer = draw(st.sampled_from([None, *answers]))
    return [asked, answer(asked)] if answer else [asked]


def _session(asked: Sent) -> list[Sent]:
    """A connection that was opened, and closed with a proof."""
    return [asked, syn_ack(asked, seq=5000), rst_ack(asked, ack=5001)]


def _reset(asked: Sent) -> Sent:
    """How our stack answers a segment with ACK that belongs to nothing."""
    return dataclasses.replace(
        asked.later(0.001),
        src=asked.dst,
        dst=asked.src,
        payload=tcp("", "", asked.dest_port, asked.src_port, RST).payload,
    )


@st.composite
def conversations(
    draw: st.DrawFn, sources: tuple[str, ...] = _V4 + _V6, *, answers: bool = True, hosts: int = 1
) -> list[Sent]:
    """Packets of others to us, and what we answer, at random moments of a few minutes.

    Sequence numbers are the source's own: equal probes of two sources would be about both.
    """
    found = []
    for _ in range(draw(st.integers(1, 25))):
        src = draw(st.sampled_from(sources))
        seq = crc32(src.encode())
        at = draw(st.sampled_from([0.0, 0.2, 1.0, 3.0, 59.0, 60.0, 61.0, 130.0]))
        at += draw(st.integers(0, 99)) / 100
        port = draw(st.sampled_from(_PORTS))
        src_port = draw(st.sampled_from([53, 40_000, 40_001]))
        ours = (HOST6, *home_hosts(hosts - 1, family=6)) if ":" in src else (HOST, *home_hosts(hosts - 1))
        dst = draw(st.sampled_from(ours))
        kind = draw(st.sampled_from(["segment", "stray", "session", "datagram", "burst", "across", "other"]))
        if kind == "segment":
            flags = draw(st.sampled_from(_FLAGS))
            asked = tcp(src, dst, src_port, port, flags, at=at, seq=seq, ack=5001)
            conversation = _answered(draw, asked, syn_ack, rst, icmp_unreachable)
        elif kind == "stray":
            asked = tcp(src, dst, src_port, port, FIN | ACK, at=at, seq=seq, ack=5001)
            conversation = _answered(draw, asked, _reset)
        elif kind == "session":
            conversation = _session(tcp(src, dst, src_port, port, SYN, at=at, seq=seq, options=STACK_OPTIONS))
        elif kind == "datagram":
            (asked,) = udp(src, port, dst=dst, src_port=src_port, at=at)
            conversation = _answered(draw, asked, udp_reply, icmp_unreachable)
        elif kind == "burst":
            ports = range(100, 100 + draw(st.integers(3, 8)))
            conversation = syn(src, *ports, dst=dst, src_port=src_port, at=at, seq=seq)
        elif kind == "across":
            flags = draw(st.sampled_from([SYN, FIN]))
            conversation = [
                tcp(src, one, src_port, port, flags, at=at + nth / 100, seq=seq) for nth, one in enumerate(ours)
            ]
        else:
            asked = Sent(START_US + round(at * SECOND_US), src, dst, draw(st.sampled_from(_PROTOCOLS)), _ANY_PAYLOAD)
            conversation = _answered(draw, asked, icmp_unreachable)
        found += conversation if answers or kind in {"burst", "across"} else conversation[:1]
    return sorted(found, key=lambda packet: packet.time_us)


def every_kind(source: str, host: str, source6: str, host6: str) -> list[Sent]:
    """A packet of each kind, between two hosts of either family."""
    whole = syn(source, 22, dst=host)[0]
    plain = [
        *(syn(source, 22, dst=host)[0], syn(source6, 22, dst=host6)[0], *xmas(source, 80)),
        *(rst(whole), *connect(source6, 443, dst=host6), ping(source, host), ping(source6, host6)),
        *(*udp(source, 161, dst=host), *udp(source6, 161, dst=host6), *udp(source, 53, dst=host)),
        *(udp_reply(udp(source, 53, dst=host)[0]), icmp_unreachable(udp(source6, 161, dst=host6)[0])),
        *(tcp(source, host, 40_000, 22, ACK | PSH), tcp(source6, host6, 40_000, 22, ACK | PSH)),
        *(in_tunnel(whole, source, host), Sent(0, source, host, 132, bytes(16)), Sent(0, source6, host6, 0, bytes(40))),
    ]
    tagged = [dataclasses.replace(sent, vlan=7) for sent in plain]
    return [*plain, *tagged, *fragments(whole, ip_id=9)]
