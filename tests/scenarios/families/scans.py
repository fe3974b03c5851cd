"""Scans, and what is certain about each."""

from zlib import crc32

from portsentry_py.core.packet import ACK, FIN, PSH, URG
from tests.scenarios.conversations import DAY_SECONDS, SIX, bare_reset, call, closed, flatten, served, syn_scan_of
from tests.scenarios.scenario import Named, scenario
from tests.support.build import (
    FRIEND,
    HOST,
    SCANNER,
    SCANNER6,
    Sent,
    connect,
    fragments,
    icmp_unreachable,
    in_time,
    rst,
    rst_ack,
    syn,
    syn_ack,
    tcp,
    udp,
    visit,
)


@scenario(Named(SCANNER, "ban", "port_scan", "syn", "ports_in_window"))
def syn_scan() -> list[Sent]:
    """A SYN scan (nmap -sS) over forty ports of which two answer, beside a visitor of the web server.

    The scanner is banned; the visitor is not named.
    """
    probes = syn(SCANNER, *range(20, 60), every=0.02)
    answers = [
        packet
        for probe in probes
        for packet in ((syn_ack(probe), rst_ack(probe, ack=0)) if probe.dest_port in {22, 80} else (rst(probe),))
    ]
    return in_time(visit(FRIEND, 80, 80, 80, every=0.3), probes, answers)


@scenario(Named(SCANNER6, "ban", "port_scan", "connect", "ports_in_window", verified=True))
def connect_scan_ipv6() -> list[Sent]:
    """Full connects (nmap -sT) to twenty ports over IPv6; the one that answers is closed with RST.

    The scanner is banned, and it is verified because it acknowledged the SYN-ACK.
    """
    probes = connect(SCANNER6, *range(75, 95), every=0.02)
    answers = [
        packet
        for probe in probes
        for packet in ((syn_ack(probe), rst_ack(probe)) if probe.dest_port == 80 else (rst(probe),))
    ]
    return in_time(probes, answers)


@scenario(Named(SCANNER, "ban", "port_scan", "syn", "ports_in_window"))
def fragmented_scan() -> list[Sent]:
    """A SYN scan in pieces (nmap -f): each SYN comes in three fragments of eight bytes.

    The scanner is banned as if the packets had come whole.
    """
    packets: list[Sent] = []
    for nth, packet in enumerate(syn_scan_of(SCANNER, range(20, 50))):
        cut = packet.src == SCANNER and len(packet.payload) == 24
        packets += fragments(packet, ip_id=nth + 1) if cut else [packet]
    return in_time(packets)


@scenario(Named(SCANNER, "ban", "slow", "syn", "likelihood"))
def scan_of_24_hours() -> list[Sent]:
    """One SYN every 36 minutes: forty ports in a day, of which one is served, beside a daily visitor.

    The scanner is banned by the technique `slow`; the visitor is not named.
    """
    ports = sorted(range(20, 60), key=lambda port: crc32(str(port).encode()))
    used = [served(call(FRIEND, 443, at=600 + nth * DAY_SECONDS / 8)) for nth in range(8)]
    return in_time(flatten(used), syn_scan_of(SCANNER, ports, every=DAY_SECONDS / 40, serves=(22,)))


@scenario(
    Named(SIX[0], "ban", "port_scan", "syn", "ports_in_window"),
    Named(SIX[1], "ban", "stealth", "fin", "impossible_flags"),
    Named(SIX[2], "ban", "stealth", "null", "impossible_flags"),
    Named(SIX[3], "ban", "stealth", "xmas", "impossible_flags"),
    Named(SIX[4], "ban", "port_scan", "ack", "ports_in_window"),
    Named(SIX[5], "ban", "port_scan", "udp", "ports_in_window"),
)
def six_scanners_at_once() -> list[Sent]:
    """Six scanners at the same time, each with a technique of its own: SYN, FIN, NULL, Xmas, ACK, UDP.

    Each is banned, each under its own type.
    """
    ports = range(20, 45)
    packets = syn_scan_of(SIX[0], ports, serves=(22,))
    for source, flags in zip(SIX[1:4], (FIN, 0, FIN | PSH | URG), strict=True):
        for nth, port in enumerate(ports):
            probe = tcp(source, HOST, 47_000, port, flags, at=0.01 + nth * 0.05, seq=crc32(source.encode()))
            packets += [probe] if port == 22 else closed(probe)
    for nth, port in enumerate(ports):
        probe = tcp(SIX[4], HOST, 48_000, port, ACK, at=0.02 + nth * 0.05, ack=4_000_000_123)
        packets += [probe, bare_reset(probe)]
    for nth, probe in enumerate(udp(SIX[5], *ports, src_port=49_000, at=0.03, every=0.05)):
        packets += [probe, icmp_unreachable(probe)] if nth < 6 else [probe]
    return in_time(packets)
