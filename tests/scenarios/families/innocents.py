"""Ordinary clients and servers whose traffic looks like a scan to others: nobody is named."""

import dataclasses

from portsentry_py.core.packet import ACK, FIN, PSH, RST, SYN
from tests.scenarios.conversations import (
    OFFICE,
    RESOLVER,
    WEB_SERVER,
    bare_reset,
    call,
    client_port,
    closed,
    flatten,
    peer,
    served,
)
from tests.scenarios.scenario import scenario
from tests.support.build import (
    FRIEND,
    HOST,
    HOST6,
    Sent,
    icmp_unreachable,
    in_time,
    rst_ack,
    syn_ack,
    tcp,
    udp,
    udp_reply,
    visit,
)


@scenario(quiet=True)
def web_visitor() -> list[Sent]:
    """A busy browser: thirty sessions on two served ports, QUIC beside TCP, and names asked for by us.

    Nobody is named, and there is no connection line.
    """
    questions = udp(HOST, *[53] * 6, dst=RESOLVER, every=0.2)
    names = [packet for question in questions for packet in (question, udp_reply(question))]
    (quic,) = udp(FRIEND, 443, src_port=51_000, at=0.01)
    return in_time(visit(FRIEND, *[443, 80] * 15), names, [quic, udp_reply(quic)])


@scenario(quiet=True)
def resolver_replies() -> list[Sent]:
    """300 late DNS answers to as many client ports of ours; the host answers some with port unreachable.

    Nobody is named: these are answers, although nobody waits for them any more.
    """
    answers = [
        udp(RESOLVER, client_port(nth), src_port=53, at=nth * 0.05, data=b"\0\x2a\x81\x80")[0] for nth in range(300)
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
        served(call(HOST, client_port(nth, 40_000), at=1 + nth * 0.5, dst=FRIEND, src_port=20)) for nth in range(10)
    ]
    ours = served(call(HOST, 21, at=0.1, dst=WEB_SERVER), lasts=20)
    fetched = [served(call(WEB_SERVER, client_port(nth, 33_000), at=1 + nth * 0.1, src_port=20)) for nth in range(30)]
    late = closed(call(WEB_SERVER, 39_999, at=19, src_port=20))
    return in_time(asked, flatten(sent), ours, flatten(fetched), late)


@scenario()
def happy_eyeballs() -> list[Sent]:
    """Twelve browsers try IPv6, which mostly refuses, and then IPv4; others race both and drop the slower one.

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


@scenario(quiet=True)
def traceroute() -> list[Sent]:
    """Somebody traces the way to us, and we trace the way to a server: rising UDP ports, few hops left.

    Nobody is named, and there is no connection line.
    """
    packets: list[Sent] = []
    for nth in range(54):
        (probe,) = udp(FRIEND, 33_434 + 36 + nth, src_port=client_port(nth, 40_000), at=nth * 0.03, data=b"@" * 32)
        reached = dataclasses.replace(probe, ttl=1 + nth // 3)
        packets += [reached, icmp_unreachable(reached)] if nth % 6 < 5 else [reached]
    for nth in range(36):
        (probe,) = udp(HOST, 33_434 + nth, dst=WEB_SERVER, src_port=client_port(nth, 40_000), at=5 + nth * 0.03)
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
            packets += [
                last,
                tcp(HOST, last.src, last.dest_port, last.src_port, RST | ACK, at=nth * 0.1 + 0.001, seq=nth),
            ]
        else:
            answer = tcp(HOST, last.src, last.dest_port, last.src_port, FIN | ACK, at=nth * 0.1 + 0.001)
            packets += [last, answer]
    return in_time(packets)


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
