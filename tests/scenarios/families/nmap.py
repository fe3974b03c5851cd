"""Scans of nmap that consist of several kinds of probes, and their names."""

import dataclasses
from collections.abc import Iterable

from portsentry_py.core.packet import ACK, CWR, ECE, FIN, PSH, RST, SYN, URG
from tests.scenarios.conversations import SIX, bare_reset, half_open, syn_scan_of
from tests.scenarios.scenario import Named, scenario
from tests.support.build import (
    FRIEND,
    HOST,
    HOST6,
    MSS_OPTION,
    SCANNER6,
    SECOND_US,
    START_US,
    Sent,
    connect,
    icmp_unreachable,
    in_time,
    ping,
    pong,
    refused,
    rst,
    syn,
    tcp,
    udp,
)

_NMAP_STACK = bytes.fromhex("03030a0102040109080affffffff000000000402")
_ICMP_TIMESTAMP, _ICMP_TIMESTAMP_REPLY = 13, 14


def _host_discovery(src: str, at: float) -> list[Sent]:
    """What nmap asks before a scan: echo, SYN to 443, ACK to 80, timestamp (no ICMP here over IPv6)."""
    target = HOST6 if ":" in src else HOST
    to_443 = tcp(src, target, 50_000, 443, SYN, at=at, options=MSS_OPTION)
    to_80 = tcp(src, target, 50_000, 80, ACK, at=at + 0.001, ack=4_000_000_321)
    packets = [to_443, rst(to_443), to_80, bare_reset(to_80)]
    if ":" not in src:
        echo = ping(src, target, at=at - 0.001)
        packets += [echo, pong(echo), *_timestamps(echo.later(0.003))]
    return packets


def _timestamps(echo: Sent) -> list[Sent]:
    asked = dataclasses.replace(echo, payload=bytes([_ICMP_TIMESTAMP]) + echo.payload[1:] + bytes(4))
    answer = dataclasses.replace(pong(echo), payload=bytes([_ICMP_TIMESTAMP_REPLY]) + asked.payload[1:])
    return [asked, answer]


def _acks(src: str, ports: Iterable[int], at: float) -> list[Sent]:
    probes = [
        tcp(src, HOST, 48_000, port, ACK, at=at + nth * 0.04, ack=4_000_000_123) for nth, port in enumerate(ports)
    ]
    return [packet for probe in probes for packet in (probe, bare_reset(probe))]


@scenario(
    Named(SIX[0], "ban", "port_scan", "syn", "ports_in_window"),
    Named(SIX[1], "ban", "port_scan", "connect", "ports_in_window"),
    Named(SIX[2], "ban", "port_scan", "ack", "ports_in_window"),
    Named(SCANNER6, "ban", "port_scan", "syn", "ports_in_window"),
    Named(SIX[3], "ban", "port_scan", "mixed", "ports_in_window"),
)
def host_discovery_before_scans() -> list[Sent]:
    """Nmap without options, with -sT, with -sA and over IPv6, each behind its host discovery, which is refused.

    Each is banned under the type of its port probes. Beside them one source that asks as many ports with an ACK as
    with a SYN: mixed.
    """
    ports = range(20, 36)
    scans = [
        refused(syn(SIX[0], *ports, at=0.5, every=0.02)),
        refused(connect(SIX[1], *ports, at=10.5, every=0.02)),
        _acks(SIX[2], ports, at=20.5),
        refused(syn(SCANNER6, *ports, at=30.5, every=0.02)),
    ]
    sources = (*SIX[:3], SCANNER6)
    discoveries = [_host_discovery(source, at=0.1 + 10 * nth) for nth, source in enumerate(sources)]
    both = [*refused(syn(SIX[3], *ports[::2], at=40.5, every=0.04, seq=4000)), *_acks(SIX[3], ports[1::2], at=40.51)]
    return in_time(*discoveries, *scans, both)


def _os_detection(src: str, served_port: int, closed_port: int, at: float) -> list[Sent]:
    """The probes of nmap -O after its first six SYNs: a datagram, ECN, and T2 to T7."""
    sets = [
        (served_port, SYN | ECE | CWR),
        (served_port, 0),
        (served_port, SYN | FIN | PSH | URG),
        (served_port, ACK),
        (closed_port, SYN),
        (closed_port, ACK),
        (closed_port, FIN | PSH | URG),
    ]
    ecn, no_flag, odd, ack_to_served, to_closed, ack_to_closed, xmas_to_closed = (
        tcp(src, HOST, 45_990 + nth, port, flags, at=at + nth * 0.025, ack=900_866_628, options=_NMAP_STACK)
        for nth, (port, flags) in enumerate(sets)
    )
    (datagram,) = udp(src, 39_643, src_port=45_989, at=at - 0.025)
    return [
        *(datagram, icmp_unreachable(datagram), *half_open(ecn), no_flag, odd),
        *(ack_to_served, bare_reset(ack_to_served), to_closed, rst(to_closed)),
        *(ack_to_closed, bare_reset(ack_to_closed), xmas_to_closed, rst(xmas_to_closed)),
    ]


@scenario(
    Named(SIX[0], "watch", "stealth", "mixed", "impossible_flags"),
    Named(SIX[1], "ban", "port_scan", "syn", "ports_in_window"),
    Named(SIX[2], "ban", "stealth", "mixed", "impossible_flags"),
)
def os_detection() -> list[Sent]:
    """OS detection (nmap -O -p 22,9999), the same after a scan of thirty ports, and its odd sets to three closed ports.

    Alone, it is watched: three packets that anybody can forge, to ports of which one is served. After a scan, it is a
    part of that scan. To closed ports alone it is a stealth scan.
    """
    alone = [*syn_scan_of(SIX[0], (22, 9999)), *_os_detection(SIX[0], 22, 9999, at=0.7)]
    with_scan = [*syn_scan_of(SIX[1], range(20, 50), at=10), *_os_detection(SIX[1], 22, 49, at=12)]
    to_closed = [
        packet
        for nth, flags in enumerate((0, SYN | FIN | PSH | URG, FIN | PSH | URG))
        for packet in refused(syn(SIX[2], 9000 + nth, flags=flags, at=20 + nth / 10))
    ]
    return in_time(alone, with_scan, to_closed)


def _protocol(src: str, number: int, at: float) -> list[Sent]:
    """A probe of nmap -sO: a whole packet of ICMP, TCP, UDP or SCTP, an empty one of any other protocol."""
    empty = Sent(START_US + round(at * SECOND_US), src, HOST, number, b"")
    if number == 1:
        echo = ping(src, HOST, at=at)
        return [echo, pong(echo)]
    if number == 6:
        segment = tcp(src, HOST, 50_000, 80, ACK, at=at, ack=77)
        return [segment, bare_reset(segment)]
    if number == 17:
        (datagram,) = udp(src, 40_125, src_port=50_000, at=at)
        return [datagram, icmp_unreachable(datagram)]
    if number == 132:
        init = bytes.fromhex("c3500050000000000000000001000014") + bytes(16)
        empty = dataclasses.replace(empty, payload=init)
    return [empty, icmp_unreachable(empty, code=2)]


@scenario(*(Named(source, "ban", "port_scan", "ipproto", "ports_in_window") for source in SIX[:3]))
def protocol_scans() -> list[Sent]:
    """IP protocol scans (nmap -sO) in three orders: protocols with a header of their own come first, last, or between.

    Each is banned as `ipproto`.
    """
    others = [2, 3, 8, 9, 37, 46, 88, 89, 103, 112]
    own = [1, 6, 17, 132]
    between = [number for pair in zip(own, others[:4], strict=True) for number in pair] + others[4:]
    return in_time(
        *(
            _protocol(SIX[scan], number, at=10 * scan + nth / 10)
            for scan, order in enumerate((own + others, others + own, between))
            for nth, number in enumerate(order)
        )
    )


@scenario(*(Named(source, "ban", "stealth", "odd_flags", "impossible_flags") for source in SIX[:4]))
def odd_flag_scans() -> list[Sent]:
    """Scans with sets that no stack sends (nmap --scanflags): SYN and RST, all flags, FIN and RST, PSH alone.

    Each is banned. One such packet alone names nobody, nor do the ends of lost connections (FIN, RST and ACK).
    """
    packets: list[Sent] = []
    for nth, flags in enumerate((SYN | RST, 0xFF, FIN | RST, PSH)):
        probes = syn(SIX[nth], 100, 101, 102, 103, flags=flags, at=2.0 * nth, every=0.1, seq=4000 + nth)
        packets += refused(probes) if flags == PSH else probes
    lone = syn(SIX[4], 100, flags=SYN | RST, at=10)
    late = [tcp(FRIEND, HOST, 443, 40_000 + nth, FIN | RST | ACK, at=12 + nth / 10, ack=5001) for nth in range(8)]
    return in_time(packets, lone, late)
