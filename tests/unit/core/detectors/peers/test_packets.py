"""Packets: psad's danger levels."""

import pytest

from portsentry_py.config.settings import Settings
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.events.model import Event, ScanEvent
from tests.support.build import SCANNER, US, scans, syn, udp, watch

PSAD = Settings(profile="psad")


def packets(events: list[Event]) -> list[ScanEvent]:
    found = scans(events)
    assert {(scan.technique, scan.reason) for scan in found} <= {("port_scan", "packets")}
    return found


@pytest.mark.parametrize(("count", "hits"), [(4, 0), (5, 1)])
def test_five_packets_are_reported_and_not_banned(count: int, hits: int) -> None:
    found = packets(watch(PSAD, syn(SCANNER, *range(2000, 2000 + count), every=100)))
    assert [scan.verdict for scan in found if scan.state == "new"] == ["watch"] * hits


def test_repetitions_count_as_packets() -> None:
    first, second = syn(SCANNER, 22, 23)
    again = [first.at(1), first.at(3)]
    assert packets(watch(PSAD, first, second, again)) == []
    assert packets(watch(PSAD, first, second, again, first.at(7)))


def test_one_port_is_no_range() -> None:
    knocks = [packet for nth in range(100) for packet in syn(SCANNER, 22, src_port=2000 + nth, at=nth)]
    assert packets(watch(PSAD, knocks)) == []


def test_datagrams_count_as_well() -> None:
    (scan,) = packets(watch(PSAD, udp(SCANNER, *range(2000, 2005))))
    assert scan.proto == "udp"


def test_the_fifth_danger_level_bans() -> None:
    pipeline = Pipeline(PSAD, US)
    events = watch(pipeline, syn(SCANNER, *range(1, 9_999), every=0.001), syn(SCANNER, 9_999, at=12))
    assert {scan.verdict for scan in packets(events)} == {"watch"}
    (ban,) = packets(watch(pipeline, syn(SCANNER, 10_000, at=14)))
    assert (ban.verdict, ban.state, ban.attempts) == ("ban", "changed", 10_000)
