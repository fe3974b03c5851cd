"""Slow: a sequential test over everything that a source probed."""

from functools import partial

import pytest

from portsentry_py.config.settings import Detectors, Limits, Settings, Slow
from portsentry_py.core.pipeline import Pipeline
from tests.support.build import (
    FRIEND,
    HOME,
    HOST,
    NO_HOME,
    SCANNER,
    US,
    Sent,
    across,
    home_hosts,
    micros,
    refused,
    scans,
    syn,
    visit,
    watch,
    watch_as,
)

slow = partial(scans, technique="slow")

HOUR = 3600


def apart(count: int, *, every: float = 600, at: float = 0) -> list[Sent]:
    """Probes of closed ports of one host, each some time after the other."""
    return refused(syn(SCANNER, *range(2001, 2001 + count), every=every, at=at))


@pytest.mark.parametrize(("ports", "hits"), [(7, 0), (8, 1)])
@pytest.mark.parametrize("every", [60, 3 * HOUR])
def test_eight_ports_of_one_host_are_enough_however_slow(ports: int, hits: int, every: float) -> None:
    found = slow(watch(Settings(), apart(ports, every=every)))
    assert [(scan.reason, scan.verdict, scan.ports) for scan in found] == [("likelihood", "ban", 8)] * hits


@pytest.mark.parametrize(("hosts", "hits"), [(4, 0), (5, 1)])
def test_five_hosts_are_enough(hosts: int, hits: int) -> None:
    found = slow(watch_as(HOME, refused(across(SCANNER, home_hosts(hosts), 22, every=HOUR))))
    assert [(scan.hosts, scan.ports) for scan in found] == [(5, 1)] * hits


@pytest.mark.parametrize(("every", "hits"), [(14.999, 0), (15, 1)])
def test_a_scan_of_less_than_a_minute_is_left_to_others(every: float, hits: int) -> None:
    assert len(slow(watch_as(HOME, across(SCANNER, home_hosts(5), 22, every=every)))) == hits


@pytest.mark.parametrize(
    ("opened", "closed", "hits"), [(1, 8, 0), (1, 9, 1), (2, 9, 0), (2, 10, 1), (3, 10, 1), (9, 10, 1)]
)
def test_up_to_two_served_ports_are_in_favour(opened: int, closed: int, hits: int) -> None:
    found = visit(SCANNER, *range(8001, 8001 + opened), at=1)
    assert len(slow(watch(Settings(), found, apart(closed, at=60)))) == hits


@pytest.mark.parametrize(("dead", "hits"), [(5, 0), (6, 1)])
def test_hosts_that_answer_are_in_favour(dead: int, hits: int) -> None:
    live, *others = home_hosts(1 + dead)
    found = visit(SCANNER, 22, dst=live)
    asked = refused(across(SCANNER, others, 22, every=HOUR, at=60))
    assert len(slow(watch_as(HOME, found, asked))) == hits


def test_a_visitor_of_many_hosts_may_try_a_few_in_vain() -> None:
    hosts = home_hosts(30)
    found = [packet for nth, host in enumerate(hosts[10:]) for packet in visit(FRIEND, 22, dst=host, at=nth)]
    assert scans(watch_as(HOME, found, refused(across(FRIEND, hosts[:7], 22, every=100, at=60)))) == []


@pytest.mark.parametrize("live", [20, 60])
@pytest.mark.parametrize(("dead", "hits"), [(9, 0), (10, 1)])
def test_no_number_of_hosts_that_answer_is_in_favour_of_more_than_five_that_do_not(
    live: int, dead: int, hits: int
) -> None:
    hosts = home_hosts(live + dead)
    found = [packet for nth, host in enumerate(hosts[dead:]) for packet in visit(SCANNER, 22, dst=host, at=nth)]
    asked = refused(across(SCANNER, hosts[:dead], 22, every=100, at=100))
    assert len(slow(watch_as(HOME, found, asked))) == hits


def test_the_operator_chooses_the_certainty() -> None:
    strict, lax = (Settings(detectors=Detectors(slow=Slow(alpha=alpha))) for alpha in (0.000_001, 0.1))
    assert slow(watch(strict, apart(15))) == []
    assert slow(watch(strict, apart(16)))
    assert slow(watch(lax, apart(2))) == []
    assert slow(watch(lax, apart(3)))


def test_forgotten_attempts_do_not_count() -> None:
    settings = Settings(limits=Limits(memory_hours=2))
    assert slow(watch(settings, apart(20, every=HOUR))) == []
    assert slow(watch(settings, apart(20, every=HOUR / 4)))


def test_a_slow_scan_ends_after_six_quiet_hours() -> None:
    pipeline = Pipeline(Settings(), US)
    events = watch(pipeline, apart(10, every=HOUR))
    assert [scan.state for scan in scans(events)] == ["new", "ongoing", "ongoing"]
    assert scans(pipeline.advance(micros(14 * HOUR))) == []
    (ended,) = scans(pipeline.advance(micros(16 * HOUR)))
    assert (ended.state, ended.technique, ended.ports) == ("ended", "slow", 10)


def test_without_a_home_the_ports_of_clients_do_not_count() -> None:
    servers = [f"198.51.100.{nth}" for nth in range(1, 60)]
    assert scans(watch_as(NO_HOME, across(HOST, servers, 443, every=100))) == []
    assert scans(watch_as(NO_HOME, across(HOST, servers, 51_413, every=100))) == []
    assert slow(watch_as(NO_HOME, across(SCANNER, servers, 23, every=100)))


def test_our_own_probes_are_not_judged() -> None:
    assert slow(watch(Settings(), refused(syn(HOST, *range(1, 40), dst=FRIEND, every=100)))) == []


def test_repeated_probes_of_one_port_count_once() -> None:
    knocks = [packet for nth in range(100) for packet in syn(SCANNER, 22, src_port=2000 + nth, at=60 * nth)]
    assert scans(watch(Settings(), knocks)) == []


def test_health_checks_of_ports_without_a_pod_are_watched_however_long_they_go_on() -> None:
    """Another port than a NodePort makes them an ordinary scan."""
    checks = refused(across(SCANNER, [HOST], *range(30_001, 30_012), every=600))
    assert {(scan.reason, scan.verdict) for scan in slow(watch(Settings(), checks))} == {("health_check", "watch")}
    others = refused(across(SCANNER, [HOST], *range(1001, 1012), every=600))
    assert {(scan.reason, scan.verdict) for scan in slow(watch(Settings(), others))} == {("likelihood", "ban")}
