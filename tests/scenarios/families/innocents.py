"""Makes the captures of tests/scenarios from builders, and the lines expected of them, for review.

`python -m tests.scenarios.families.innocents [NAME...]` writes them anew; `git diff` shows what changed. What a scenario
must say about whom stands beside its traffic (`Named`), written by hand: lines that contradict it are printed
and not recorded.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from portsentry_py.capture.toolchain import find_tools
from portsentry_py.config import loader
from portsentry_py.config.settings import Settings
from portsentry_py.core.packet import ACK, FIN, PSH, RST, SYN, URG
from portsentry_py.sensor.replay import Replay
from tests.support.build import (
    FRIEND,
    HOST,
    HOST6,
    MSS_OPTION,
    SCANNER,
    SCANNER6,
    STACK_OPTIONS,
    Sent,
    connect,
    fin_ack,
    fragments,
    icmp_unreachable,
    in_time,
    in_tunnel,
    log_lines,
    ping,
    pong,
    refused,
    rst,
    rst_ack,
    syn,
    syn_ack,
    tcp,
    udp,
    udp_reply,
    visit,
    write_pcap,
)

FOLDER = Path(__file__).parents[1] / "cases"

OFFICE = "198.51.100.40"
RESOLVER = "198.51.100.53"
TIME_SERVER = "198.51.100.123"
GATEWAY = "192.0.2.1"
WEB_SERVER = "198.51.100.80"
# Six sources of six networks.
SIX = ("203.0.113.9", "198.51.100.20", "198.18.3.3", "198.18.4.4", "198.18.5.5", "198.18.6.6")
SERVED_BYTES = 1200
DAY_SECONDS = 86_400


class Named(NamedTuple):
    """What `scan` and `trap` lines say about a source."""

    source: str
    verdict: str
    technique: str
    scan_type: str
    reason: str
    verified: bool = False
    direction: str = "inbound"


@dataclass(frozen=True)
class Scenario:
    """What is in a capture, what the sensor is told beside it, and what it must say.

    Attributes:
        about: what happens, what must and must not come out.
        traffic: makes the packets.
        names: all that is said about sources, and nobody else is named.
        home: the networks that are ours; empty: the replay is not told.
        config: the configuration file, if there is one.
        quiet: there is no connection line either.
        committed: whether the capture is small enough to be kept; otherwise it is made when it is needed.
    """

    about: str
    traffic: Callable[[], list[Sent]]
    names: frozenset[Named]
    home: str
    config: str
    quiet: bool
    committed: bool


SCENARIOS: dict[str, Scenario] = {}


def scenario(
    *names: Named,
    home: str = f"{HOST} {HOST6}",
    config: str = "",
    quiet: bool = False,
    committed: bool = True,
) -> Callable[[Callable[[], list[Sent]]], Callable[[], list[Sent]]]:
    """Keep the scenario that a function makes, under its name; its docstring is the README."""

    def keep(traffic: Callable[[], list[Sent]]) -> Callable[[], list[Sent]]:
        about = inspect.getdoc(traffic) or ""
        SCENARIOS[traffic.__name__] = Scenario(
            about, traffic, frozenset(names), home, config, quiet, committed
        )
        return traffic

    return keep


# Conversations.


def call(
    src: str,
    port: int,
    *,
    at: float,
    dst: str = HOST,
    src_port: int = 0,
    options: bytes = STACK_OPTIONS,
    ttl: int = 57,
) -> Sent:
    """A SYN with a sequence number of its own, as a stack sends it."""
    chosen = crc32(f"{src} {dst} {port} {at}".encode())
    return tcp(
        src, dst, src_port or 32_768 + chosen % 28_000, port, SYN, at=at, seq=chosen, options=options, ttl=ttl
    )


def served(asked: Sent, *, read: int = SERVED_BYTES, lasts: float = 0.2) -> list[Sent]:
    """The session that a SYN opens: SYN-ACK, and FIN from both sides once so much was read."""
    closed = fin_ack(asked, ack=5001 + read, after=lasts)
    last = tcp(asked.dst, asked.src, asked.dest_port, asked.src_port, FIN | ACK, seq=5001 + read)
    return [asked, syn_ack(asked), closed, dataclasses.replace(last, time_us=closed.time_us + 900)]


def closed(asked: Sent) -> list[Sent]:
    """A SYN and the RST of a closed port."""
    return [asked, rst(asked)]


def half_open(asked: Sent) -> list[Sent]:
    """A SYN to a served port from somebody whose kernel knows nothing of it: it resets the SYN-ACK."""
    reset = tcp(asked.src, asked.dst, asked.src_port, asked.dest_port, RST, seq=asked.seq + 1, ttl=asked.ttl)
    return [asked, syn_ack(asked), dataclasses.replace(reset, time_us=asked.later(0.03).time_us)]


def syn_scan_of(
    src: str,
    ports: Iterable[int],
    *,
    at: float = 0.0,
    every: float = 0.05,
    serves: tuple[int, ...] = (22, 443),
    ttl: int = 44,
) -> list[Sent]:
    """Nmap's SYN scan: one source port, one sequence number, and what the host answers."""
    src_port, seq = 33_000 + crc32(src.encode()) % 30_000, crc32(f"{src} {at}".encode())
    packets: list[Sent] = []
    for nth, port in enumerate(ports):
        probe = tcp(src, HOST, src_port, port, SYN, at=at + nth * every, seq=seq, options=MSS_OPTION, ttl=ttl)
        packets += half_open(probe) if port in serves else closed(probe)
    return packets


def bare_reset(asked: Sent, *, after: float = 0.001) -> Sent:
    """How a stack answers a segment with ACK that belongs to nothing: RST, with the number acknowledged."""
    acknowledged = int.from_bytes(asked.payload[8:12], "big")
    answer = tcp(asked.dst, asked.src, asked.dest_port, asked.src_port, RST, seq=acknowledged)
    return dataclasses.replace(answer, time_us=asked.later(after).time_us)


def flatten(conversations: Iterable[list[Sent]]) -> list[Sent]:
    """All packets of the conversations."""
    return [packet for some in conversations for packet in some]


def client_port(nth: int, lowest: int = 1024) -> int:
    """Ports spread as clients choose them, no two alike."""
    return lowest + nth * 7919 % (64_000 - lowest + 1023)


def peer(nth: int) -> str:
    """Some host of the Internet, each of a network of its own."""
    return f"198.18.{nth % 256}.{nth * 37 % 250 + 1}"


# The first four.


@scenario(Named(SCANNER, "ban", "port_scan", "syn", "ports_in_window"))
def syn_scan() -> list[Sent]:
    """A SYN scan (nmap -sS) over forty ports of which two answer, beside a visitor of the web server.

    The scanner is banned; the visitor is not named.
    """
    probes = syn(SCANNER, *range(20, 60), every=0.02)
    answers = [
        packet
        for probe in probes
        for packet in (
            (syn_ack(probe), rst_ack(probe, ack=0)) if probe.dest_port in {22, 80} else (rst(probe),)
        )
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


@scenario(quiet=True)
def web_visitor() -> list[Sent]:
    """A busy browser: thirty sessions on two served ports, QUIC beside TCP, and names asked for by us.

    Nobody is named, and there is no connection line.
    """
    questions = udp(HOST, *[53] * 6, dst=RESOLVER, every=0.2)
    names = [packet for question in questions for packet in (question, udp_reply(question))]
    (quic,) = udp(FRIEND, 443, src_port=51_000, at=0.01)
    return in_time(visit(FRIEND, *[443, 80] * 15), names, [quic, udp_reply(quic)])


@scenario(
    Named(SCANNER, "watch", "trap", "syn", "decoy_port"),
    Named(SCANNER, "ban", "trap", "syn", "decoy_port"),
    Named(FRIEND, "watch", "trap", "syn", "decoy_port"),
    config="# The second touch is a ban, whatever the default will be.\ntraps:\n  ban_on: second\n",
)
def trap_touch() -> list[Sent]:
    """One source touches two decoy ports, another touches one.

    The first touch is watched, the second is a ban; one touch alone stays watched.
    """
    first, second = syn(SCANNER, 11, 70, every=5)
    (once,) = syn(FRIEND, 19, at=2)
    return in_time(refused([first], [second]), refused([once]))


# Ordinary traffic that others mistake for a scan.


@scenario(quiet=True)
def resolver_replies() -> list[Sent]:
    """300 late DNS answers to as many client ports of ours; the host answers some with port unreachable.

    Nobody is named: these are answers, although nobody waits for them any more.
    """
    answers = [
        udp(RESOLVER, client_port(nth), src_port=53, at=nth * 0.05, data=b"\0\x2a\x81\x80")[0]
        for nth in range(300)
    ]
    return in_time(answers, [icmp_unreachable(answer) for answer in answers[::20]])


@scenario(quiet=True)
def ddos_backscatter() -> list[Sent]:
    """Somebody floods three servers in our name: their SYN-ACKs and RSTs reach any port; our host resets.

    Nobody is named: the servers answer what they believe that we asked.
    """
    packets: list[Sent] = []
    for nth in range(168):
        server = peer(nth % 3)
        port = client_port(nth, lowest=1)
        if nth % 3 == 2:
            packets.append(tcp(server, HOST, 443, port, RST | ACK, at=nth * 0.02, seq=0, ack=nth * 977))
            continue
        answer = tcp(server, HOST, 80, port, SYN | ACK, at=nth * 0.02, seq=nth * 31 + 7, ack=nth * 977)
        packets += [answer, bare_reset(answer)]
    return in_time(packets)


@scenario()
def ftp_passive() -> list[Sent]:
    """A client fetches thirty files in passive mode: port 21, and a data port of ours for each file.

    Nobody is named: the data ports answer, and two that had gone already are not enough.
    """
    control = served(call(FRIEND, 21, at=0), lasts=20)
    files = [served(call(FRIEND, client_port(nth, 40_000), at=0.5 + nth * 0.6)) for nth in range(30)]
    gone = [closed(call(FRIEND, port, at=12 + nth)) for nth, port in enumerate((61_001, 61_002))]
    return in_time(control, flatten(files), flatten(gone))


@scenario()
def ftp_active() -> list[Sent]:
    """Active mode both ways: our server calls a client back, and a server calls thirty ports of ours.

    Nobody is named: who listens for data answers, and one call that came too late is not enough.
    """
    asked = served(call(FRIEND, 21, at=0), lasts=20)
    sent = [
        served(call(HOST, client_port(nth, 40_000), at=1 + nth * 0.5, dst=FRIEND, src_port=20))
        for nth in range(10)
    ]
    ours = served(call(HOST, 21, at=0.1, dst=WEB_SERVER), lasts=20)
    fetched = [
        served(call(WEB_SERVER, client_port(nth, 33_000), at=1 + nth * 0.1, src_port=20)) for nth in range(30)
    ]
    late = closed(call(WEB_SERVER, 39_999, at=19, src_port=20))
    return in_time(asked, flatten(sent), ours, flatten(fetched), late)


@scenario()
def happy_eyeballs() -> list[Sent]:
    """Twelve browsers try IPv6, which refuses, and then IPv4; others race both and drop the slower one.

    Nobody is named: each asks for one or two ports, and gets them in the end.
    """
    packets: list[Sent] = []
    for nth in range(12):
        six, four, at = f"2001:db8:c::{nth + 1:x}", f"198.51.100.{nth + 60}", nth * 0.7
        for port, start in ((80, at), (443, at + 0.1)):
            first = call(six, port, dst=HOST6, at=start)
            if nth % 3:
                packets += closed(first)
            else:
                packets += [first, syn_ack(first, after=0.3), rst_ack(first, after=0.35)]
            packets += served(call(four, port, at=start + 0.25))
    return in_time(packets)


@scenario()
def http3_beside_closed_443_udp() -> list[Sent]:
    """443/tcp is served and 443/udp is not: six browsers try QUIC again and again and are refused.

    Nobody is named: the sibling of a served port counts for nothing, even where QUIC came first.
    """
    packets: list[Sent] = []
    for nth in range(6):
        browser = f"198.51.100.{nth + 60}"
        packets += served(call(browser, 443, at=0.2 + nth))
        for turn in range(10):
            (quic,) = udp(browser, 443, src_port=client_port(turn, 50_000), at=nth + turn * 1.5)
            packets += [quic, icmp_unreachable(quic)]
    return in_time(packets)


@scenario()
def mail_autoconfiguration() -> list[Sent]:
    """A mail program looks for its server on seven ports, of which two are served, five times in 5 minutes.

    Nobody is named: seven well-known ports, however often, are no scan.
    """
    packets: list[Sent] = []
    for turn in range(5):
        for nth, port in enumerate((143, 993, 110, 995, 587, 465, 25)):
            asked = call(FRIEND, port, at=turn * 70 + nth * 0.02)
            packets += served(asked) if port in {993, 587} else [*closed(asked), *closed(asked.later(1))]
    return in_time(packets)


@scenario(home="192.0.2.0/28")
def load_balancer_checks() -> list[Sent]:
    """Two load balancers check two ports of six backends every five seconds; one backend is down.

    Nobody is named: checks are half open and never end, but nearly all are answered.
    """
    packets: list[Sent] = []
    for turn in range(7):
        for nth in range(6):
            for port in (80, 8443):
                backend = f"192.0.2.{nth + 5}"
                asked = call(peer(turn % 2), port, dst=backend, at=turn * 5 + nth * 0.01, ttl=60)
                if nth == 4:
                    packets += [asked]
                elif nth == 3 and port == 8443:
                    packets += closed(asked)
                else:
                    packets += half_open(asked)
    return in_time(packets)


@scenario(home="")
def torrent_peers() -> list[Sent]:
    """A torrent program calls many peers, most in vain, and is called by others; nobody said who "we" are.

    Nobody is named, neither the program's host nor a peer.
    """
    listens = (51_413, 6881, 6889, 16_881, 8080, 443, 45_682, 58_846, 80, 29_034, 9000)
    packets: list[Sent] = []
    for nth in range(44):
        asked = call(HOST, listens[nth % len(listens)], dst=peer(nth), at=nth * 2, ttl=64)
        if nth % 3 == 0:
            packets += served(asked)
        elif nth % 3 == 1:
            packets += closed(asked)
        else:
            packets += [asked, asked.later(1)]
    for nth in range(44, 74):
        (asked,) = udp(HOST, client_port(nth), dst=peer(nth), src_port=51_413, at=nth)
        packets += [asked, udp_reply(asked, after=0.1)] if nth % 2 else [asked]
    for nth in range(80, 92):
        packets += served(call(peer(nth), 51_413, at=nth - 60))
        packets += closed(call(peer(nth + 20), 6881, at=nth - 59))
        (asked,) = udp(peer(nth + 40), 51_413, src_port=client_port(nth), at=nth - 58)
        packets += [asked, udp_reply(asked)]
    return in_time(packets)


@scenario(quiet=True)
def traceroute() -> list[Sent]:
    """Somebody traces the way to us, and we trace the way to a server: rising UDP ports, few hops left.

    Nobody is named, and there is no connection line.
    """
    packets: list[Sent] = []
    for nth in range(54):
        (probe,) = udp(
            FRIEND, 33_434 + 36 + nth, src_port=client_port(nth, 40_000), at=nth * 0.03, data=b"@" * 32
        )
        reached = dataclasses.replace(probe, ttl=1 + nth // 3)
        packets += [reached, icmp_unreachable(reached)] if nth % 6 < 5 else [reached]
    for nth in range(36):
        (probe,) = udp(
            HOST, 33_434 + nth, dst=WEB_SERVER, src_port=client_port(nth, 40_000), at=5 + nth * 0.03
        )
        ours = dataclasses.replace(probe, ttl=1 + nth // 3)
        expired = icmp_unreachable(ours, code=0, router=f"198.18.0.{1 + nth // 3}")
        packets.append(ours)
        if nth < 30:
            packets.append(dataclasses.replace(expired, payload=b"\x0b" + expired.payload[1:]))
        else:
            packets.append(icmp_unreachable(ours))
    return in_time(packets)


@scenario()
def midstream_start() -> list[Sent]:
    """The capture begins while sixty connections are open, both ways: only how they end is seen.

    Nobody is named: late FINs and RSTs, and the RSTs of our host to them, are no probes.
    """
    packets: list[Sent] = []
    for nth in range(60):
        ends, eph = nth // 3, 33_000 + nth * 411
        if nth % 3 == 0:
            last = tcp(peer(nth), HOST, eph, (443, 22, 993)[ends % 3], FIN | ACK, at=nth * 0.1, ack=nth)
        elif nth % 3 == 1:
            last = tcp(WEB_SERVER, HOST, (443, 5432)[ends % 2], eph, FIN | ACK, at=nth * 0.1, ack=nth)
        else:
            last = tcp(OFFICE, HOST, eph, (443, 80, 22, 993)[ends % 4], FIN | ACK, at=nth * 0.1, ack=nth)
        if ends % 4 == 0:
            last = tcp(last.src, HOST, last.src_port, last.dest_port, RST, at=nth * 0.1)
            packets.append(last)
        elif ends % 4 == 1:
            packets += [last, bare_reset(last)]
        elif ends % 4 == 2:
            packets += [last, rst(last)]
        else:
            answer = tcp(HOST, last.src, last.dest_port, last.src_port, FIN | ACK, at=nth * 0.1 + 0.001)
            packets += [last, answer]
    return in_time(packets)


@scenario()
def nat_many_users() -> list[Sent]:
    """Forty users behind one address use what we serve for ten minutes; four ports are asked for in vain.

    Nobody is named: all that was asked for in vain is little beside what was used.
    """
    wanted = (443, 80, 443, 993, 587)
    used = [served(call(OFFICE, wanted[nth % 5], at=nth * 11, ttl=50)) for nth in range(56)]
    vain = [
        closed(call(OFFICE, port, at=37 + nth * 140, ttl=50))
        for nth, port in enumerate((8080, 5222, 21, 8443))
    ]
    return in_time(flatten(used), flatten(vain))


@scenario()
def server_restart_200_sessions() -> list[Sent]:
    """A server restarts under 200 sessions: it resets their data, refuses calls for a second, serves again.

    Nobody is named: the ten clients only went on with what they had.
    """
    packets: list[Sent] = []
    clients = [f"198.51.100.{nth + 60}" for nth in range(10)]
    for nth in range(200):
        data = tcp(
            clients[nth % 10],
            HOST,
            client_port(nth, 33_000),
            (443, 80)[nth // 10 % 2],
            PSH | ACK,
            at=nth * 0.004,
            ack=nth * 977,
            data=b"hello",
        )
        packets += [data, bare_reset(data)] if nth < 10 else [bare_reset(data)]
    for nth, client in enumerate(clients):
        packets += closed(call(client, 443, at=0.1 + nth * 0.08))
        packets += served(call(client, 443, at=1.5 + nth * 0.01))
    return in_time(packets)


@scenario(home="192.0.2.0/24")
def monitor_many_hosts() -> list[Sent]:
    """A monitor pings forty live hosts of ours at once and then connects to all of them at once.

    Nobody is named: every host answers, the farthest after 150 ms.
    """
    packets: list[Sent] = []
    for nth in range(40):
        host, far = f"192.0.2.{nth + 50}", 0.03 + nth * 0.003
        echo = ping(FRIEND, host, at=nth * 0.0005, number=nth)
        packets += [echo, pong(echo, after=far)]
        asked = call(FRIEND, 443, dst=host, at=1 + nth * 0.0005)
        packets += [asked, syn_ack(asked, after=far), fin_ack(asked, ack=5001 + SERVED_BYTES, after=1)]
    return in_time(packets)


# Forged sources.


@scenario(Named(FRIEND, "watch", "port_scan", "syn", "friend"))
def forged_scan_of_a_friend() -> list[Sent]:
    """A friend uses five sessions; then somebody sends a SYN scan in its name.

    The scan is watched, the reason is `friend`, and nobody is banned.
    """
    used = [served(call(FRIEND, port, at=nth)) for nth, port in enumerate((443, 443, 22, 443, 22))]
    return in_time(flatten(used), syn_scan_of(FRIEND, range(20, 60), at=10))


@scenario(
    Named(GATEWAY, "ignore", "port_scan", "syn", "ignore_list"),
    config=f"ignore:\n  - {GATEWAY}\n",
    quiet=False,
)
def forged_scan_of_the_gateway() -> list[Sent]:
    """Somebody sends a SYN scan in the name of our gateway, which the operator has put on the ignore list.

    The scan is told with the verdict `ignore`: nobody is banned or watched.
    """
    return syn_scan_of(GATEWAY, range(20, 60))


@scenario(
    Named(RESOLVER, "ignore", "port_scan", "syn", "resolver"),
    Named(TIME_SERVER, "ignore", "port_scan", "syn", "ntp_server"),
)
def forged_scan_of_a_resolver() -> list[Sent]:
    """We ask a resolver and a time server, they answer; then SYN scans come in their names.

    Both scans are told with the verdict `ignore`, with the reasons `resolver` and `ntp_server`.
    """
    names = udp(HOST, *[53] * 4, dst=RESOLVER, src_port=41_000, every=0.3)
    times = udp(HOST, *[123] * 2, dst=TIME_SERVER, src_port=123, every=0.3)
    asked = flatten([question, udp_reply(question)] for question in (*names, *times))
    scans = syn_scan_of(RESOLVER, range(20, 50), at=5), syn_scan_of(TIME_SERVER, range(20, 50), at=6)
    return in_time(asked, *scans)


@scenario(*(Named(source, "watch", "port_scan", "syn", "decoy_source") for source in SIX[:5]))
def decoys() -> list[Sent]:
    """A scan with decoys (nmap -D): five sources send the same probes, and one is the scanner.

    All five are watched with the reason `decoy_source`; nobody is banned, because four are innocent.
    """
    packets: list[Sent] = []
    for nth, port in enumerate(range(20, 46)):
        for which, source in enumerate(SIX[:5]):
            at = nth * 0.05 + which * 0.0001
            probe = tcp(source, HOST, 45_000, port, SYN, at=at, seq=987_654, options=MSS_OPTION, ttl=44)
            packets += half_open(probe) if port == 22 else closed(probe)
    return in_time(packets)


@scenario(Named(SCANNER, "watch", "port_scan", "syn", "tunnelled"))
def tunnelled_scan() -> list[Sent]:
    """A SYN scan arrives inside IP-in-IP packets, whose inner source can be anybody.

    The inner source is watched with the reason `tunnelled`; nobody is banned, and the outer one is not named.
    """
    return [
        in_tunnel(packet, peer(9)) if packet.src == SCANNER else packet
        for packet in syn_scan_of(SCANNER, range(20, 50), serves=())
    ]


# Scans.


@scenario(
    Named(SCANNER, "ban", "port_scan", "syn", "ports_in_window"),
    config="limits:\n  max_sources: 2000\n  max_flows: 4096\nlines:\n  per_second: 1\n",
    committed=False,
)
def scan_in_a_flood() -> list[Sent]:
    """A SYN scan of 100 ports hides in SYNs from 50,000 sources to one port; only 2,000 are remembered.

    The scanner is banned and nobody else is named. The capture is large: it is made when it is needed.
    """
    flood = [
        tcp(
            str(ip_address(0x01000000 + nth * 7919 % 50_000 * 74_207)),
            HOST,
            1024 + nth * 7919 % 64_000,
            80,
            SYN,
            at=nth * 0.0004,
            seq=nth * 74_207,
            options=MSS_OPTION,
        )
        for nth in range(50_000)
    ]
    return in_time(flood, syn_scan_of(SCANNER, range(100, 200), every=0.2))


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


@scenario(Named(SCANNER, "ban", "slow", "syn", "likelihood"))
def scan_of_24_hours() -> list[Sent]:
    """One SYN every 36 minutes: forty ports in a day, of which one is served, beside a daily visitor.

    The scanner is banned by the technique `slow`; the visitor is not named.
    """
    ports = sorted(range(20, 60), key=lambda port: crc32(str(port).encode()))
    used = [served(call(FRIEND, 443, at=600 + nth * DAY_SECONDS / 8)) for nth in range(8)]
    return in_time(flatten(used), syn_scan_of(SCANNER, ports, every=DAY_SECONDS / 40, serves=(22,)))


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


@scenario(Named(HOST, "watch", "outbound", "connect", "outbound", direction="outbound"))
def outbound_sweep() -> list[Sent]:
    """Our own host sweeps port 445 of sixty hosts outside; few answer or refuse.

    That is an alarm: watched, direction `outbound`, never a ban.
    """
    packets: list[Sent] = []
    for nth in range(60):
        asked = call(HOST, 445, dst=peer(nth), at=nth * 0.1, ttl=64)
        if nth % 10 == 3:
            packets += closed(asked)
        elif nth % 20 == 7:
            packets += served(asked)
        else:
            packets.append(asked)
    return in_time(packets)


@scenario(
    *(Named(f"203.0.113.{nth}", "ban", "distributed", "syn", "network_together") for nth in range(101, 109))
)
def distributed_scan() -> list[Sent]:
    """Eight sources of one network take turns: three ports each within three minutes, 24 together.

    All eight are banned by the technique `distributed`.
    """
    return in_time(
        *(
            syn_scan_of(f"203.0.113.{101 + nth % 8}", (20 + nth,), at=nth * 7, serves=(22, 80))
            for nth in range(26)
            if 20 + nth not in {22, 80}
        )
    )


@scenario(
    Named(SCANNER, "watch", "trap", "connect", "decoy_port"),
    Named(SCANNER, "ban", "trap", "connect", "decoy_port", verified=True),
    Named(FRIEND, "watch", "trap", "syn", "decoy_port"),
    config="traps:\n  listen: true\n",
)
def trap_listen() -> list[Sent]:
    """A decoy port is open: one visitor completes the handshake and reads, another SYN is forged.

    Who completed it is banned, verified; the friend in whose name the other SYN came is only watched.
    """
    forged = call(FRIEND, 15, at=2, options=MSS_OPTION, ttl=44)
    return in_time(
        served(call(SCANNER, 11, at=0), read=20), half_open(forged), served(call(OFFICE, 443, at=3))
    )


# Making and checking.


def named(lines: Iterable[bytes]) -> frozenset[Named]:
    """What the lines say about sources, less what differs from line to line of one scan."""
    return frozenset(
        Named(
            record["src_ip"],
            record["verdict"],
            record["technique"],
            record["scan_type"],
            record["reason"],
            record["source_verified"],
            record["direction"],
        )
        for record in map(json.loads, lines)
        if record["event_type"] in {"scan", "trap"}
    )


def contradictions(name: str, lines: list[bytes]) -> list[str]:
    """How the lines differ from what the scenario must say; empty if they do not."""
    wanted, said = SCENARIOS[name].names, named(lines)
    found = [f"not said: {one}" for one in sorted(wanted - said)]
    found += [f"said: {one}" for one in sorted(said - wanted)]
    if SCENARIOS[name].quiet and any(json.loads(line)["event_type"] == "connection" for line in lines):
        found.append("said: a connection line")
    return found


def replayed(folder: Path, capture: Path) -> list[bytes]:
    """The lines that the sensor writes about a scenario."""
    given = folder / "config.yaml"
    settings = loader.load(given) if given.exists() else Settings()
    home = (folder / "home").read_text(encoding="utf-8").split() if (folder / "home").exists() else []
    networks = tuple(ip_network(text) for text in home)
    player = Replay(settings, networks, find_tools(), lambda _path, _packets: None)
    return log_lines(player.events([capture]))


def write_capture(name: str, path: Path) -> Path:
    """The capture of a scenario."""
    return write_pcap(path, SCENARIOS[name].traffic())


def _make(name: str) -> list[str]:
    made, folder = SCENARIOS[name], FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "README.md": f"{made.about}\n\nMade by tests/scenario_make.py.\n",
        "home": made.home and made.home + "\n",
        "config.yaml": made.config,
    }
    for file, text in texts.items():
        if text:
            (folder / file).write_text(text, encoding="utf-8")
    with tempfile.TemporaryDirectory() as elsewhere:
        place = folder if made.committed else Path(elsewhere)
        lines = replayed(folder, write_capture(name, place / "capture.pcap"))
    found = contradictions(name, lines)
    if not found:
        (folder / "expected.jsonl").write_bytes(b"".join(lines))
    return found


if __name__ == "__main__":
    for wanted in sys.argv[1:] or SCENARIOS:
        for problem in _make(wanted):
            print(f"{wanted}: {problem}")
