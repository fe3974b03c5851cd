"""What this host asks others: scans by a compromised server, and the programs that look like them."""

import dataclasses
from collections.abc import Iterable

from portsentry_py.core.packet import SYN
from tests.scenarios.conversations import RESOLVER, TIME_SERVER, call, closed, flatten, served
from tests.scenarios.scenario import Named, scenario
from tests.support.build import HOST, HOST6, Sent, icmp_unreachable, in_time, ping, pong, tcp, udp, udp_reply

HANDSET = "10.8.0.2"


def stranger(nth: int) -> str:
    """A host of the Internet, in no order and mostly of a network of its own."""
    mixed = nth * 2_654_435_761 % (1 << 32)
    return f"{60 + (mixed >> 24) % 60}.{mixed >> 16 & 255}.{mixed >> 8 & 255}.{1 + mixed % 250}"


def calls(port: int, hosts: Iterable[str], *, at: float = 0.0, every: float, src: str = HOST) -> list[Sent]:
    return [call(src, port, dst=host, at=at + nth * every, ttl=64) for nth, host in enumerate(hosts)]


def strangers(first: int, count: int) -> list[str]:
    return [stranger(nth) for nth in range(first, first + count)]


def repeated(asked: Sent) -> list[Sent]:
    """A SYN that nobody answers, as a stack repeats it."""
    return [asked, asked.later(1), asked.later(3)]


def asked_by_udp(port: int, hosts: Iterable[str], *, src_port: int, every: float, at: float = 0.0) -> list[Sent]:
    return [
        packet
        for nth, host in enumerate(hosts)
        for packet in udp(HOST, port, dst=host, src_port=src_port, at=at + nth * every)
    ]


def names_asked(count: int, *, every: float, at: float = 0.0) -> list[Sent]:
    """Questions to the resolver, answered."""
    questions = [
        packet
        for nth in range(count)
        for packet in udp(HOST, 53, dst=RESOLVER, src_port=20_000 + nth, at=at + nth * every)
    ]
    return [packet for question in questions for packet in (question, udp_reply(question))]


def alarm(scan_type: str) -> Named:
    return Named(HOST, "watch", "outbound", scan_type, "outbound", direction="outbound")


@scenario(alarm("syn"), committed=False)
def outbound_zmap() -> list[Sent]:
    """Zmap asks 10,000 hosts for port 80 from our host; one in fifty answers.

    That is an alarm after a second, although 80 is a port that every client uses.
    """
    packets: list[Sent] = []
    for nth in range(10_000):
        probe = tcp(HOST, stranger(nth), 40_000 + nth % 9000, 80, SYN, at=nth * 0.001, seq=nth, ttl=255)
        probe = dataclasses.replace(probe, ip_id=54_321)
        packets += served(probe)[:2] if nth % 50 == 7 else [probe]
    return in_time(packets)


@scenario(alarm("connect"))
def outbound_neighbours() -> list[Sent]:
    """A script on our host connects to port 443 of a /24, address after address; two of them answer.

    That is an alarm: no client asks sixty dead hosts of one network.
    """
    asked = calls(443, [f"203.0.113.{nth}" for nth in range(1, 120)], every=0.2)
    return in_time(flatten(served(one) if nth in {12, 80} else [one] for nth, one in enumerate(asked)))


@scenario(alarm("connect"))
def outbound_ports_of_one_host() -> list[Sent]:
    """A program on our host connects to forty high ports of one host, which refuses all but two.

    That is an alarm.
    """
    asked = [call(HOST, 30_000 + 11 * nth, dst=stranger(3), at=nth * 0.3, ttl=64) for nth in range(40)]
    return in_time(flatten(served(one) if nth in {4, 30} else closed(one) for nth, one in enumerate(asked)))


@scenario(alarm("udp"), committed=False)
def outbound_udp_sweep() -> list[Sent]:
    """A program on our host asks 300 hosts for UDP port 47808; two answer, some refuse.

    That is an alarm: peers of a peer-to-peer program listen on many ports, and more of them answer.
    """
    asked = asked_by_udp(47_808, strangers(0, 300), src_port=47_808, every=0.1)
    packets = names_asked(3, every=9)
    for nth, one in enumerate(asked):
        packets += [one, udp_reply(one)] if nth % 150 == 5 else [one, icmp_unreachable(one)] if nth % 9 == 0 else [one]
    return in_time(packets)


@scenario(quiet=True, committed=False)
def outgoing_browser() -> list[Sent]:
    """A browser opens pages for two minutes: prefetches, trackers that are blocked, QUIC, IPv6 that is broken.

    Nobody is named.
    """
    packets = names_asked(240, every=0.5)
    for nth, asked in enumerate(calls(443, strangers(0, 400), every=0.3)):
        packets += repeated(asked) if nth % 15 == 0 else served(asked)
    for nth, asked in enumerate(calls(80, strangers(400, 60), every=2)):
        packets += repeated(asked) if nth % 4 == 0 else served(asked)
    for nth, asked in enumerate(asked_by_udp(443, strangers(0, 200), src_port=50_443, every=0.6)):
        packets += [asked] if nth % 3 == 0 else [asked, udp_reply(asked)]
    happy = calls(443, [f"2001:db8:{nth:x}::1" for nth in range(400)], src=HOST6, every=0.3)
    return in_time(packets, flatten(map(repeated, happy)))


@scenario(quiet=True, committed=False)
def outgoing_mail_queue() -> list[Sent]:
    """A mail server works off its queue: 400 servers in two minutes, and three in four of them are dead.

    Nobody is named: no program that delivers mail chooses whom it asks.
    """
    packets = names_asked(400, every=0.3)
    for nth, asked in enumerate(calls(25, strangers(0, 400), at=0.1, every=0.3)):
        packets += served(asked) if nth % 4 == 0 else closed(asked) if nth % 4 == 1 else repeated(asked)
    return in_time(packets)


@scenario(quiet=True, committed=False)
def outgoing_resolver() -> list[Sent]:
    """A recursive resolver asks 1,500 name servers in two minutes; a third of them never answers, some over TCP.

    Nobody is named.
    """
    packets: list[Sent] = []
    for nth in range(1500):
        (asked,) = udp(HOST, 53, dst=stranger(nth), src_port=1024 + nth * 41 % 60_000, at=nth * 0.08)
        packets += [asked, asked.later(0.8)] if nth % 3 == 0 else [asked, udp_reply(asked, after=0.05)]
    for nth, asked in enumerate(calls(53, strangers(0, 60), every=2)):
        packets += repeated(asked) if nth % 2 else served(asked)
    return in_time(packets)


@scenario(quiet=True, committed=False)
def outgoing_torrent() -> list[Sent]:
    """A torrent program asks 900 peers over TCP and 2,000 nodes of its hash table over UDP; most are gone.

    Nobody is named: they listen on many ports, and those that are there answer.
    """
    listens = (6881, 51_413, 6881, 16_881, 8999, 49_001, 6889, 27_015, 30_303, 41_221)
    packets: list[Sent] = []
    for nth in range(900):
        port = listens[nth % 10] if nth % 2 else 10_000 + nth * 53 % 50_000
        asked = call(HOST, port, dst=stranger(nth), at=nth * 0.15, ttl=64)
        packets += served(asked) if nth % 8 == 0 else closed(asked) if nth % 8 == 1 else repeated(asked)
    for nth in range(2000):
        port = 6881 if nth % 3 == 0 else 1024 + nth * 31 % 60_000
        (node,) = udp(HOST, port, dst=stranger(nth + 5000), src_port=51_413, at=nth * 0.06)
        packets += [node, udp_reply(node, after=0.1)] if nth % 9 == 0 else [node]
    return in_time(packets)


@scenario(quiet=True, committed=False)
def outgoing_crawler() -> list[Sent]:
    """A crawler fetches from 3,000 sites in two minutes; one in four is dead.

    Nobody is named.
    """
    asked = calls(443, strangers(0, 3000), every=0.04)
    return in_time(
        names_asked(600, every=0.2),
        flatten(repeated(one) if nth % 4 == 0 else served(one) for nth, one in enumerate(asked)),
    )


@scenario(quiet=True, committed=False)
def outgoing_monitor() -> list[Sent]:
    """A monitor checks 200 hosts of a remote site by ping, SSH and SNMP each minute; then the site is cut off.

    Nobody is named, neither before nor after: the hosts have answered, and what they no longer do is no scan.
    """
    hosts = [f"198.51.100.{nth}" for nth in range(20, 220)]
    packets = names_asked(24, every=10)
    for minute in range(4):
        for nth, host in enumerate(hosts):
            at, is_up = minute * 60 + nth * 0.25, minute < 2
            echo = ping(HOST, host, at=at, number=nth)
            ssh = call(HOST, 22, dst=host, at=at + 0.02, ttl=64)
            (snmp,) = udp(HOST, 161, dst=host, src_port=40_161, at=at + 0.04)
            packets += (
                [echo, pong(echo), *served(ssh), snmp, udp_reply(snmp)] if is_up else [echo, *repeated(ssh), snmp]
            )
    return in_time(packets)


@scenario(quiet=True, committed=False)
def outgoing_outage() -> list[Sent]:
    """The uplink of our host fails: browser, mail, a torrent program and a monitor ask for four minutes in vain.

    Nobody is named: nobody answers anything.
    """
    packets = [one for nth in range(300) for one in udp(HOST, 53, dst=RESOLVER, src_port=20_000 + nth, at=nth * 0.8)]
    for port, first in ((443, 0), (25, 1000), (6881, 2000), (22, 3000), (5666, 4000)):
        packets += flatten(map(repeated, calls(port, strangers(first, 240), every=1.0, at=port / 1e5)))
    echoes = [ping(HOST, stranger(nth), at=nth * 0.5, number=nth) for nth in range(400)]
    return in_time(packets, echoes, asked_by_udp(6881, strangers(7000, 1200), src_port=6881, every=0.2))


@scenario(quiet=True, home=f"{HOST} {HANDSET}", committed=False)
def outgoing_roaming() -> list[Sent]:
    """A laptop roams with its tunnel: time servers of a pool, key exchange, and all asked again from a new address.

    Nobody is named, although nobody answers the new address.
    """
    packets = names_asked(40, every=3)
    for nth, asked in enumerate(asked_by_udp(123, strangers(0, 24), src_port=123, every=4)):
        packets += [asked] if nth % 4 == 0 else [asked, udp_reply(asked)]
    for port in (500, 4500, 51_820):
        packets += asked_by_udp(port, [stranger(90)] * 8, src_port=port, every=5)
    packets += flatten(served(one) for one in calls(443, strangers(0, 80), every=0.7))
    packets += flatten(repeated(one) for one in calls(443, strangers(0, 80), at=60, every=0.2, src=HANDSET))
    packets += flatten(repeated(one) for one in calls(5223, strangers(90, 20), at=60, every=0.5, src=HANDSET))
    return in_time(packets, [TIME_SERVER_ASKED, udp_reply(TIME_SERVER_ASKED)])


(TIME_SERVER_ASKED,) = udp(HOST, 123, dst=TIME_SERVER, src_port=123, at=2)
