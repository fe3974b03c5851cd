"""Ordinary traffic that looks like a scan: no detector may report it."""

import dataclasses

import pytest

from portsentry_py.config.settings import Profile, Settings
from portsentry_py.core.detectors.profiles import PROFILES
from portsentry_py.core.host_state import HostState
from portsentry_py.core.packet import ACK, FIN, PSH, RST, SYN
from portsentry_py.events.model import Event
from tests.support.build import (
    FRIEND,
    HOME,
    HOST,
    HOST6,
    NO_HOME,
    US,
    Sent,
    connect,
    evidence,
    in_time,
    ping,
    refused,
    rst,
    rst_ack,
    syn_ack,
    tcp,
    udp,
    udp_reply,
    visit,
    watch_as,
)

FRIEND6 = "2001:db8:f::7"
HOSTS = {"live": US, "gateway": HOME, "untold replay": NO_HOME}
CALENDAR_PORTS = (4190, 5232, 8008, 8443, 8800, 8843)
MAIL_PORTS = (25, 110, 143, 465, 587, 993, 995)
SERVED = (22, 25, 53, 80, 110, 143, 443, 465, 587, 853, 993, 995, 8080, 8443, 64_738)

everywhere = pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
in_every_profile = pytest.mark.parametrize("profile", PROFILES)


def repeated(asked: list[Sent]) -> list[Sent]:
    """As a stack without an answer repeats them: after 1, 3, 7 and 15 seconds."""
    return [one.later(seconds) for one in asked for seconds in (0, 1, 3, 7, 15)]


def accused(host: HostState, *traffic: list[Sent], profile: Profile = "default") -> list[Event]:
    """The evidence lines of a sensor that watches everything."""
    return list(evidence(watch_as(host, in_time(*traffic), settings=Settings(profile=profile))))


@everywhere
@pytest.mark.parametrize("source", [FRIEND, FRIEND6])
@pytest.mark.parametrize("closed", [True, False])
def test_mail_autoconfiguration(host: HostState, source: str, closed: bool) -> None:
    """A mail program tries every port that a mail server may have, twice."""
    first = connect(source, *MAIL_PORTS)
    later = [dataclasses.replace(one, time_us=one.later(300).time_us) for one in first]
    tries = [refused(first), refused(later)] if closed else [repeated(first), repeated(later)]
    assert accused(host, *tries) == []


@everywhere
def test_mail_autoconfiguration_over_both_families(host: HostState) -> None:
    assert accused(host, repeated(connect(FRIEND, *MAIL_PORTS)), repeated(connect(FRIEND6, *MAIL_PORTS))) == []


@everywhere
def test_happy_eyeballs(host: HostState) -> None:
    """A client tries both families at once and drops the slower one; IPv6 may be closed here."""
    dropped = connect(FRIEND6, 443, 80, dst=HOST6)
    taken = visit(FRIEND, 443, 80)
    half = [packet for one in dropped for packet in (one, syn_ack(one), rst_ack(one, after=0.002))]
    assert accused(host, half, taken) == []
    assert accused(host, refused(dropped), taken) == []
    assert accused(host, repeated(dropped), taken) == []


@everywhere
def test_a_client_whose_ipv6_is_broken(host: HostState) -> None:
    """Its packets reach us and our answers do not reach it, so it tries all our sites again and again."""
    asked = [one for nth in range(20) for one in connect(FRIEND6, 443, dst=f"2001:db8:1::{10 + nth:x}", at=nth)]
    answers = [syn_ack(one, after=after) for one in asked for after in (0.001, 1, 3)]
    assert accused(host, repeated(asked), answers) == []


@in_every_profile
@everywhere
def test_dns_answers_to_three_hundred_ports(host: HostState, profile: Profile) -> None:
    """To queries that are older than our memory, or than the capture."""
    answers = udp("198.51.100.53", *range(40_000, 40_300), src_port=53)
    assert accused(host, answers, profile=profile) == []


@in_every_profile
@everywhere
def test_answers_to_our_own_queries(host: HostState, profile: Profile) -> None:
    questions = [one for nth in range(300) for one in udp(HOST, 53, dst=FRIEND, src_port=40_000 + nth, at=nth / 99)]
    assert accused(host, questions, [udp_reply(one, after=4) for one in questions], profile=profile) == []


@in_every_profile
@pytest.mark.parametrize("flags", [FIN | ACK, RST, RST | ACK, FIN | PSH | ACK, SYN | ACK])
def test_late_packets_of_servers(profile: Profile, flags: int) -> None:
    """Of connections that are older than the capture; our stack resets them."""
    late = [tcp(FRIEND, HOST, 443, port, flags, seq=7, ack=9, at=port / 1000) for port in range(33_000, 33_300)]
    resets = [dataclasses.replace(rst(one), payload=tcp("", "", one.dest_port, 443, RST).payload) for one in late]
    assert accused(US, late, resets, profile=profile) == []
    assert accused(NO_HOME, late, resets, profile=profile) == []


@in_every_profile
@everywhere
def test_two_hundred_sessions_of_a_server_that_was_restarted(host: HostState, profile: Profile) -> None:
    """The clients go on; the new server does not know them and resets each."""
    resets = [tcp(HOST, FRIEND, 443, port, RST, at=(port - 50_000) / 100) for port in range(50_000, 50_200)]
    assert accused(host, resets, profile=profile) == []


@in_every_profile
@everywhere
def test_a_traceroute(host: HostState, profile: Profile) -> None:
    way = udp(FRIEND, *range(33_434, 33_524), src_port=45_000, every=0.05)
    hops = [dataclasses.replace(packet, ttl=1 + nth // 3) for nth, packet in enumerate(way)]
    assert accused(host, hops, profile=profile) == []


@in_every_profile
@everywhere
def test_many_users_behind_one_address(host: HostState, profile: Profile) -> None:
    """Three hundred visits of fifteen services of ours from one address."""
    visits = [packet for nth in range(20) for packet in visit(FRIEND, *SERVED, at=nth, every=0.01)]
    assert accused(host, visits, profile=profile) == []


@in_every_profile
def test_peers_that_look_for_a_program_that_is_gone(profile: Profile) -> None:
    """A torrent was closed an hour ago, and its peers still probe its port."""
    peers = [
        packet
        for nth in range(300)
        for packet in (
            *udp(f"198.18.{nth // 250}.{nth % 250}", 51_413, src_port=6881, at=nth / 9),
            *connect(f"198.18.{nth // 250}.{nth % 250}", 51_413, at=nth / 9 + 1),
        )
    ]
    assert accused(US, peers, profile=profile) == []


@everywhere
def test_quic_beside_a_server_that_speaks_tcp_alone(host: HostState) -> None:
    browsers = [one for nth in range(50) for one in udp(f"198.18.7.{nth}", 443, src_port=50_000, at=1 + nth)]
    assert accused(host, visit(FRIEND, 443), browsers) == []


@everywhere
def test_a_load_balancer_that_checks_twelve_services(host: HostState) -> None:
    """Opened and closed at once, every two seconds, for ten minutes; one service is down."""
    checks = [
        packet
        for nth in range(300)
        for one in connect(FRIEND, *SERVED[:12], at=2 * nth)
        for packet in ((one, rst(one)) if one.dest_port == 25 else (one, syn_ack(one), rst_ack(one, after=0.002)))
    ]
    assert accused(host, checks) == []


@everywhere
def test_an_office_of_mail_programs(host: HostState) -> None:
    """Ten neighbours look for mail, calendars and contacts here."""
    programs = [
        one
        for nth in range(10)
        for one in connect(f"198.51.100.{60 + nth}", *MAIL_PORTS, 80, 443, *CALENDAR_PORTS, at=nth * 7)
    ]
    assert accused(host, refused(programs)) == []


@everywhere
@pytest.mark.parametrize("proto", ["udp", "tcp"])
def test_somebody_who_knocks_before_each_login(host: HostState, proto: str) -> None:
    """knockd: three closed ports, then a session, every eight hours for four days."""
    packets: list[Sent] = []
    for nth in range(12):
        at = nth * 8 * 3600.0
        knocks = connect(FRIEND, 7000, 8000, 9000, at=at) if proto == "tcp" else udp(FRIEND, 7000, 8000, 9000, at=at)
        packets += [*knocks, *visit(FRIEND, 22, at=at + 3)]
    assert accused(host, packets) == []


@everywhere
def test_a_monitor_of_a_web_server_that_is_down(host: HostState) -> None:
    """An uptime service asks from six places, each minute for a day; nothing answers."""
    packets: list[Sent] = []
    for nth in range(1440):
        place = f"198.51.{100 + nth % 6}.7"
        packets += [ping(place, HOST, at=nth * 60, number=nth), *connect(place, 80, 443, at=nth * 60 + 0.2)]
    assert accused(host, packets) == []


@everywhere
def test_a_monitor_of_twenty_services_of_which_seven_are_down(host: HostState) -> None:
    """Nagios or Prometheus's blackbox exporter, every minute for two hours."""
    services = SERVED[:13]
    packets: list[Sent] = []
    for nth in range(120):
        packets += visit(FRIEND, *services, at=nth * 60)
        packets += refused(connect(FRIEND, *range(9100, 9107), at=nth * 60 + 30))
    assert accused(host, packets) == []


@everywhere
def test_origin_checks_of_a_content_network(host: HostState) -> None:
    """Forty nodes of a network ask for two ports each minute; one of the ports is closed."""
    packets: list[Sent] = []
    for nth in range(400):
        node = f"198.51.100.{nth % 40 + 1}"
        packets += [*visit(node, 443, at=nth * 1.5), *refused(connect(node, 8443, at=nth * 1.5 + 0.5))]
    assert accused(host, packets) == []


@everywhere
def test_probes_of_the_route_in_all_their_modes(host: HostState) -> None:
    """The same port again and again (tcptraceroute, traceroute -U, paris), or rising ports (tracepath, mtr)."""
    packets: list[Sent] = []
    for nth in range(90):
        hops = 1 + nth // 3
        same = [
            *connect(FRIEND, 80, at=nth / 10),
            *connect(FRIEND, 443, at=nth / 10 + 0.01),
            *udp(FRIEND, 53, src_port=40_000 + nth, at=nth / 10 + 0.02),
            *udp(FRIEND, 33_457, src_port=33_456, at=nth / 10 + 0.03),
            ping(FRIEND, HOST, at=nth / 10 + 0.04, number=nth),
        ]
        rising = [
            *udp("198.51.100.8", 44_444 + nth, src_port=61_000, at=nth / 10 + 0.05),
            *udp("198.51.100.9", 33_000 + 9 * nth, src_port=61_000, at=nth / 10 + 0.06),
        ]
        packets += [dataclasses.replace(one, ttl=hops) for one in (*same, *rising)]
    assert accused(host, packets) == []
