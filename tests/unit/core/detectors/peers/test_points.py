"""Points: the rules of scanlogd, xt_psd and the Sophos slides."""

import pytest

from portsentry_py.config.settings import Settings
from portsentry_py.events.model import Event, ScanEvent
from tests.support.build import (
    FRIEND,
    HOME,
    SCANNER,
    connect,
    home_hosts,
    refused,
    scans,
    syn,
    syn_ack,
    udp,
    visit,
    watch,
    watch_as,
    xmas,
)

SCANLOGD = Settings(profile="scanlogd")
XT_PSD = Settings(profile="xt_psd")
SOPHOS = Settings(profile="sophos")


def points(events: list[Event]) -> list[ScanEvent]:
    found = scans(events)
    assert {(scan.technique, scan.reason) for scan in found} <= {("port_scan", "points")}
    return found


@pytest.mark.parametrize("settings", [SCANLOGD, XT_PSD])
@pytest.mark.parametrize(
    ("ports", "hits"),
    [
        (range(100, 106), 0),
        (range(100, 107), 1),
        (range(2000, 2020), 0),
        (range(2000, 2021), 1),
        ([*range(100, 106), 2000, 2001], 0),
        ([*range(100, 106), 2000, 2001, 2002], 1),
        ([1023] * 30, 0),
        (range(1018, 1024), 0),
        (range(1017, 1024), 1),
    ],
)
def test_seven_privileged_or_twenty_one_other_ports(settings: Settings, ports: range | list[int], hits: int) -> None:
    assert len(points(watch(settings, refused(syn(SCANNER, *ports))))) == hits


@pytest.mark.parametrize(("every", "hits"), [(3, 1), (3.000001, 0)])
def test_no_pause_may_be_longer_than_three_seconds(every: float, hits: int) -> None:
    assert len(points(watch(SCANLOGD, syn(SCANNER, *range(100, 107), every=every)))) == hits


def test_after_a_pause_the_points_start_at_zero() -> None:
    first = syn(SCANNER, *range(100, 106))
    assert points(watch(SCANLOGD, first, syn(SCANNER, *range(200, 206), at=3.2))) == []
    assert points(watch(SCANLOGD, first, syn(SCANNER, 200, at=3.04)))


def test_any_tcp_packet_counts_and_nothing_else() -> None:
    (scan,) = points(watch(SCANLOGD, xmas(SCANNER, *range(100, 107))))
    assert scan.scan_type == "xmas"
    assert points(watch(SCANLOGD, udp(SCANNER, *range(100, 160)))) == []


def test_hosts_are_counted_apart() -> None:
    probes = [packet for host in home_hosts(30) for packet in syn(SCANNER, 22, 23, dst=host)]
    assert points(watch_as(HOME, probes, settings=SCANLOGD)) == []


def test_served_ports_do_not_count() -> None:
    asked = connect(FRIEND, *range(100, 120), every=0.001)
    answered = [packet for one in asked for packet in (one, syn_ack(one, after=0.0001))]
    assert points(watch(SCANLOGD, visit(FRIEND, *range(200, 240), at=9), answered)) == []


@pytest.mark.parametrize(
    ("ports", "hits"), [((11, 12), 0), ((11, 12, 2000), 1), ((11, 12, 13), 1), ((11, 2000, 3000), 1), ((11, 2000), 0)]
)
def test_ports_of_trojan_horses_weigh_ten(ports: tuple[int, ...], hits: int) -> None:
    assert len(points(watch(SOPHOS, syn(SCANNER, *ports)))) == hits


@pytest.mark.parametrize(("every", "hits"), [(0.05, 1), (0.050001, 0)])
def test_all_ports_must_lie_within_300_ms(every: float, hits: int) -> None:
    assert len(points(watch(SOPHOS, syn(SCANNER, *range(100, 107), every=every)))) == hits
