"""Outbound: this host itself probes many others for what they do not serve."""

from functools import partial

import pytest

from portsentry_py.config.settings import Detectors, Outbound, Settings
from tests.support.build import (
    FRIEND,
    HOST,
    HOST6,
    SCANNER,
    US,
    Sent,
    across,
    connect,
    in_time,
    ping,
    refused,
    scans,
    syn,
    syn_ack,
    udp,
    udp_reply,
    watch,
    watch_as,
)

alarms = partial(scans, technique="outbound")


def others(count: int) -> list[str]:
    return [f"198.51.{100 + nth // 250}.{1 + nth % 250}" for nth in range(count)]


def online() -> list[Sent]:
    """Now and then somebody answers us."""
    asked = [packet for nth in range(12) for packet in udp(HOST, 53, dst=FRIEND, src_port=2000 + nth, at=nth * 10)]
    return in_time(asked, [udp_reply(one) for one in asked])


@pytest.mark.parametrize(("count", "hits"), [(29, 0), (30, 1)])
@pytest.mark.parametrize("closed", [True, False])
def test_thirty_unanswered_pairs_are_an_alarm_and_never_a_ban(count: int, hits: int, closed: bool) -> None:
    asked = across(HOST, others(count), 445)
    found = scans(watch(Settings(), refused(asked) if closed else asked))
    assert [(scan.technique, scan.verdict, scan.reason, scan.direction) for scan in found] == [
        ("outbound", "watch", "outbound", "outbound")
    ] * hits
    assert [scan.src_ip for scan in found] == [HOST] * hits


@pytest.mark.parametrize(("count", "hits"), [(29, 0), (30, 1)])
@pytest.mark.parametrize("first", [200, 30_000])
def test_ports_of_one_host_count_as_well(first: int, count: int, hits: int) -> None:
    found = scans(watch(Settings(), refused(connect(HOST, *range(first, first + count), dst=FRIEND))))
    assert [(scan.hosts, scan.ports) for scan in found] == [(1, 30)] * hits


@pytest.mark.parametrize(("count", "hits"), [(29, 0), (30, 1)])
def test_a_raw_syn_to_many_hosts_is_an_alarm_whatever_the_port(count: int, hits: int) -> None:
    asked = [packet for nth, host in enumerate(others(count)) for packet in syn(HOST, 80, dst=host, at=nth / 10)]
    assert len(alarms(watch(Settings(), asked))) == hits


@pytest.mark.parametrize(
    ("port", "spread", "count", "hits"),
    [(443, 1, 59, 0), (443, 1, 60, 1), (443, 7, 239, 0), (443, 7, 240, 1), (4001, 7, 119, 0), (4001, 7, 120, 1)],
)
@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_one_port_of_many_hosts_asked_in_vain_is_an_alarm(
    proto: str, port: int, spread: int, count: int, hits: int
) -> None:
    """Fewer are enough in one network, more are needed on a port that every client uses."""
    hosts = [f"198.51.{nth * spread // 250}.{1 + nth * spread % 250}" for nth in range(count)]
    asked = across(HOST, hosts, port, every=0.1)
    if proto == "udp":
        asked = [packet for nth, host in enumerate(hosts) for packet in udp(HOST, port, dst=host, at=nth / 10)]
    assert len(alarms(watch(Settings(), in_time(online(), asked)))) == hits


@pytest.mark.parametrize(("answers", "hits"), [(3, 1), (4, 0)])
def test_a_few_answers_make_it_a_program_of_peers(answers: int, hits: int) -> None:
    hosts = [f"198.51.{nth * 7 // 250}.{1 + nth * 7 % 250}" for nth in range(130)]
    asked = across(HOST, hosts, 4001, every=0.1)
    answered = [syn_ack(one) for one in asked[10 : 10 + answers]]
    assert len(alarms(watch(Settings(), in_time(asked, answered)))) == hits


@pytest.mark.parametrize(("names", "hits"), [(7, 1), (30, 0)])
def test_a_client_that_asked_for_the_names_of_its_servers_is_no_alarm(names: int, hits: int) -> None:
    asked = across(HOST, others(240), 25, every=0.1, at=1)
    questions = [packet for nth in range(names) for packet in udp(HOST, 53, dst=FRIEND, src_port=2000 + nth)]
    answers = [udp_reply(one) for one in questions]
    assert len(alarms(watch(Settings(), in_time(questions, answers, asked)))) == hits


@pytest.mark.parametrize(("mixed", "hits"), [(29, 1), (31, 0)])
def test_a_program_of_peers_asks_for_many_ports(mixed: int, hits: int) -> None:
    hosts = [f"198.51.{nth * 7 // 250}.{1 + nth * 7 % 250}" for nth in range(120)]
    others_asked = [
        one for nth, host in enumerate(others(mixed)) for one in across(HOST, [host], 30_000 + nth, at=nth / 50)
    ]
    asked = across(HOST, hosts, 4001, every=0.1, at=2)
    assert len(alarms(watch(Settings(), in_time(online(), others_asked, asked)))) == hits


@pytest.mark.parametrize(("answering", "hits"), [(60, 1), (61, 0)])
def test_a_monitor_of_which_most_hosts_answer_is_no_alarm(answering: int, hits: int) -> None:
    asked = across(HOST, others(answering + 30), 22, every=0.1)
    answers = [syn_ack(one) for one in asked[:answering]]
    assert len(alarms(watch(Settings(), in_time(asked, answers)))) == hits


def test_pings_that_nobody_ever_answered_are_a_broken_network() -> None:
    echoes = [ping(HOST, host, at=nth / 10) for nth, host in enumerate(others(60))]
    assert alarms(watch(Settings(), echoes)) == []
    assert len(alarms(watch(Settings(), in_time(online(), echoes)))) == 1


def test_in_a_broken_network_only_raw_packets_and_the_ports_of_one_host_are_an_alarm() -> None:
    called = connect(HOST, 443, dst=FRIEND)
    before = [*called, syn_ack(called[0])]
    asked = [across(HOST, others(200), port, at=100 + port / 1e4, every=0.2) for port in (22, 443, 4001)]
    assert alarms(watch(Settings(), in_time(before, *asked))) == []
    assert (
        len(alarms(watch(Settings(), in_time(before, *asked, syn(HOST, *range(2000, 2040), dst=FRIEND, at=101))))) == 1
    )


@pytest.mark.parametrize(("every", "hits"), [(2.068, 1), (2.069, 0)])
def test_the_pairs_must_stay_unanswered_within_a_minute(every: float, hits: int) -> None:
    asked = refused(across(HOST, others(30), 445, every=every))
    assert len(alarms(watch(Settings(), asked))) == hits


def test_probes_without_an_outcome_do_not_count() -> None:
    asked = across(HOST, others(200), 445, every=0.001)
    assert scans(watch(Settings(), in_time(asked, [syn_ack(one, after=0.9) for one in asked]))) == []


def test_a_browser_a_crawler_and_a_resolver_are_no_alarm() -> None:
    traffic = [across(HOST, others(300), port, every=0.05, at=port / 1000) for port in (443, 80, 25)]
    questions = [packet for host in others(200) for packet in udp(HOST, 53, dst=host)]
    assert scans(watch(Settings(), in_time(*traffic, questions))) == []


def test_a_client_whose_ipv6_is_broken_is_no_alarm() -> None:
    servers = [f"2001:db8:f::{nth:x}" for nth in range(1, 200)]
    assert scans(watch(Settings(), across(HOST6, servers, 443, every=0.1))) == []


def test_a_peer_of_many_peers_is_no_alarm() -> None:
    """Most peers that a tracker names are gone, and all listen on high ports."""
    ports = [6881, 16_881, 51_413, 40_000, 49_001, 30_303]
    asked = [
        packet for nth, host in enumerate(others(400)) for packet in across(HOST, [host], ports[nth % 6], at=nth / 20)
    ]
    pings = [packet for nth, host in enumerate(others(400)) for packet in udp(HOST, 6881, dst=host, at=nth / 20)]
    assert scans(watch(Settings(), in_time(asked, pings))) == []


def test_answered_probes_are_no_alarm() -> None:
    questions = udp(HOST, *range(100, 160), dst=FRIEND)
    calls = connect(HOST, *range(100, 160), dst=SCANNER)
    answers: list[Sent] = [*map(udp_reply, questions), *map(syn_ack, calls)]
    assert scans(watch(Settings(), in_time(questions, calls, answers))) == []


def test_probes_of_others_are_not_outbound() -> None:
    assert alarms(watch(Settings(), refused(syn(SCANNER, *range(100, 200))))) == []


def test_the_operator_chooses_the_numbers() -> None:
    settings = Settings(detectors=Detectors(outbound=Outbound(min_pairs=3, window_seconds=5)))
    assert len(alarms(watch_as(US, refused(across(HOST, others(3), 22)), settings=settings))) == 1
