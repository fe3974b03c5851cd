"""Rejects: Snort's port_scan inspector."""

import pytest

from portsentry_py.config.settings import Settings
from portsentry_py.events.model import Event, ScanEvent
from tests.support.build import SCANNER, icmp_unreachable, refused, scans, syn, udp, watch

LOW = Settings(profile="snort-low")
MEDIUM = Settings(profile="snort-medium")
HIGH = Settings(profile="snort-high")


def rejects(events: list[Event]) -> list[ScanEvent]:
    found = scans(events)
    assert {(scan.technique, scan.reason) for scan in found} <= {("port_scan", "rejects")}
    return found


@pytest.mark.parametrize(
    ("settings", "closed", "silent", "hits"),
    [
        (LOW, 4, 0, 0),
        (LOW, 5, 0, 1),
        (LOW, 4, 100, 0),
        (MEDIUM, 14, 0, 0),
        (MEDIUM, 15, 0, 1),
        (MEDIUM, 9, 20, 0),
        (MEDIUM, 10, 4, 0),
        (MEDIUM, 10, 5, 1),
        (HIGH, 9, 0, 0),
        (HIGH, 10, 0, 1),
        (HIGH, 4, 20, 0),
        (HIGH, 5, 4, 0),
        (HIGH, 5, 5, 1),
    ],
)
def test_enough_refusals_over_enough_ports_are_a_scan(settings: Settings, closed: int, silent: int, hits: int) -> None:
    asked = [*syn(SCANNER, *range(3000, 3000 + silent)), *refused(syn(SCANNER, *range(2000, 2000 + closed), at=5))]
    found = rejects(watch(settings, asked))
    assert [(scan.verdict, scan.scan_type) for scan in found if scan.state == "new"] == [("ban", "syn")] * hits


@pytest.mark.parametrize(
    ("settings", "count", "every", "hits"),
    [
        (LOW, 5, 14.99, 1),
        (LOW, 5, 15.01, 0),
        (MEDIUM, 15, 6.42, 1),
        (MEDIUM, 15, 6.43, 0),
        (HIGH, 10, 66.6, 1),
        (HIGH, 10, 66.7, 0),
    ],
)
def test_the_refusals_must_lie_within_the_window(settings: Settings, count: int, every: float, hits: int) -> None:
    asked = refused(syn(SCANNER, *range(2000, 2000 + count), every=every))
    assert len(rejects(watch(settings, asked))) == hits


@pytest.mark.parametrize(("settings", "hits"), [(LOW, 0), (MEDIUM, 1), (HIGH, 1)])
def test_two_hundred_silent_ports_are_enough_but_for_low(settings: Settings, hits: int) -> None:
    assert rejects(watch(settings, syn(SCANNER, *range(2000, 2199)))) == []
    assert len(rejects(watch(settings, syn(SCANNER, *range(2000, 2200))))) == hits


def test_refused_datagrams_count_as_well() -> None:
    asked = udp(SCANNER, *range(2000, 2005))
    traffic = [packet for one in asked for packet in (one, icmp_unreachable(one))]
    (scan,) = rejects(watch(LOW, traffic))
    assert (scan.proto, scan.closed) == ("udp", 5)
