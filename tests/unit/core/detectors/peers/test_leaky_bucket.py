"""Leaky bucket: CrowdSec's scenario for many ports."""

import pytest

from portsentry_py.config.settings import Settings
from portsentry_py.events.model import Event, ScanEvent
from tests.support.build import HOME, SCANNER, home_hosts, scans, syn, udp, watch, watch_as

CROWDSEC = Settings(profile="crowdsec")


def overflows(events: list[Event]) -> list[ScanEvent]:
    found = scans(events)
    assert {(scan.technique, scan.reason) for scan in found} <= {("port_scan", "bucket")}
    return found


@pytest.mark.parametrize(("count", "hits"), [(15, 0), (16, 1)])
def test_the_sixteenth_port_overflows(count: int, hits: int) -> None:
    found = overflows(watch(CROWDSEC, syn(SCANNER, *range(2000, 2000 + count))))
    assert [(scan.verdict, scan.ports) for scan in found] == [("ban", 16)] * hits


def test_one_port_in_five_seconds_never_overflows() -> None:
    assert overflows(watch(CROWDSEC, syn(SCANNER, *range(2000, 3000), every=5))) == []


@pytest.mark.parametrize(("count", "hits"), [(29, 0), (30, 1)])
def test_time_leaks_one_port_in_five_seconds(count: int, hits: int) -> None:
    """At two ports in five seconds the level grows by half a port with each."""
    found = overflows(watch(CROWDSEC, syn(SCANNER, *range(2000, 2000 + count), every=2.5)))
    assert len(found) == hits


def test_a_pause_empties_the_bucket() -> None:
    first, second = syn(SCANNER, *range(2000, 2015)), syn(SCANNER, *range(3000, 3015), at=100)
    assert overflows(watch(CROWDSEC, first, second)) == []


def test_a_repeated_probe_of_a_port_does_not_count() -> None:
    first = syn(SCANNER, *range(2000, 2015))
    assert overflows(watch(CROWDSEC, first, [one.at(1) for one in first])) == []


def test_hosts_and_transports_are_counted_apart() -> None:
    probes = [packet for host in home_hosts(5) for packet in syn(SCANNER, *range(2000, 2015), dst=host)]
    assert overflows(watch_as(HOME, probes, settings=CROWDSEC)) == []
    assert overflows(watch(CROWDSEC, udp(SCANNER, *range(2000, 2100)))) == []
