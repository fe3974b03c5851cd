"""Open ports: scans of a host where everything answers."""

from functools import partial

import pytest

from tests.support.build import (
    FRIEND,
    HOME,
    HOST,
    SCANNER,
    US,
    Sent,
    connect,
    home_hosts,
    in_time,
    scans,
    syn,
    syn_ack,
    udp,
    udp_reply,
    visit,
    watch_as,
)

of_us = partial(watch_as, US)


def answered(asked: list[Sent]) -> list[Sent]:
    return in_time(asked, [syn_ack(one) for one in asked])


@pytest.mark.parametrize(("ports", "hits"), [(31, 0), (32, 1)])
def test_a_raw_scan_that_is_answered_at_32_ports_is_watched(ports: int, hits: int) -> None:
    found = scans(of_us(answered(syn(SCANNER, *range(5000, 5000 + ports), every=0.01))))
    assert [(scan.verdict, scan.reason, scan.scan_type, scan.ports, scan.open) for scan in found] == [
        ("watch", "served_ports", "syn", 0, 32)
    ] * hits


def test_ports_that_others_found_before_count_too() -> None:
    ports = range(5000, 5032)
    events = of_us(answered(connect(FRIEND, *ports)), answered(syn(SCANNER, *ports, at=60)))
    assert {scan.src_ip for scan in scans(events)} == {SCANNER}


@pytest.mark.parametrize(("well_known", "hits"), [(15, 0), (16, 1)])
def test_connects_count_if_sixteen_of_the_ports_are_well_known(well_known: int, hits: int) -> None:
    ports = [*range(100, 100 + well_known), *range(5000, 5040)]
    assert len(scans(of_us(answered(connect(SCANNER, *ports))))) == hits


def test_a_client_in_passive_mode_is_not_named() -> None:
    assert scans(of_us(visit(FRIEND, 21, *range(40_000, 40_060)))) == []


def test_a_monitor_of_twenty_services_is_not_named() -> None:
    services = (22, 25, 53, 80, 110, 111, 143, 389, 443, 465, 587, 636, 993, 995, 3306, 5432, 5666, 6379, 8080, 9100)
    assert scans(of_us([packet for turn in range(3) for packet in visit(FRIEND, *services, at=60 * turn)])) == []


def test_the_ports_of_one_host_count_and_datagrams_do_not() -> None:
    spread = [one for host in home_hosts(8) for one in syn(FRIEND, *range(5000, 5005), dst=host)]
    assert scans(watch_as(HOME, answered(in_time(spread)))) == []
    asked = udp(FRIEND, *range(5000, 5040), dst=HOST)
    assert scans(of_us(in_time(asked, [udp_reply(one) for one in asked]))) == []
