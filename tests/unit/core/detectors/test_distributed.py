"""Distributed: sources of one network cover the ports of a host together."""

from functools import partial

import pytest

from portsentry_py.config.settings import Detectors, Distributed, Limits, Settings
from portsentry_py.core.pipeline import Pipeline
from tests.support.build import FRIEND, HOST, US, Sent, connect, in_time, ping, scans, syn, syn_ack, udp, watch

together = partial(scans, technique="distributed")

SOURCES = ("203.0.113.1", "203.0.113.2", "203.0.113.3")
# Networks of one /56, and of one /48 alone: an IPv6 source is its /64.
SOURCES6 = ("2001:db8:bad:1::1", "2001:db8:bad:2::2", "2001:db8:bad:3::3")
SOURCES48 = ("2001:db8:bad:1::1", "2001:db8:bad:200::2", "2001:db8:bad:300::3")


def shared(*counts: int, sources: tuple[str, ...] = SOURCES, every: float = 10, tool: bool = True) -> list[Sent]:
    """Each source probes ports of its own, as many as its count, slower than a port scan."""
    found, first = [], 2000
    for nth, (source, count) in enumerate(zip(sources, counts, strict=True)):
        ports = range(first, first + count)
        if tool:  # the builder's raw SYNs look like nmap's
            found.append(syn(source, *ports, at=nth, every=every, seq=nth + 1))
        else:
            found.append(connect(source, *ports, at=nth, every=every))
        first += count
    return in_time(*found)


@pytest.mark.parametrize(
    ("sources", "group"),
    [(SOURCES, "203.0.113.0/24"), (SOURCES6, "2001:db8:bad::/56"), (SOURCES48, "2001:db8:bad::/48")],
)
@pytest.mark.parametrize(("counts", "hits"), [((5, 5, 5), 0), ((6, 5, 5), 1)])
def test_sixteen_ports_of_three_sources_are_enough(
    sources: tuple[str, ...], group: str, counts: tuple[int, ...], hits: int
) -> None:
    found = together(watch(Settings(), shared(*counts, sources=sources)))
    assert [(scan.src_ip, scan.reason, scan.verdict, scan.group_net) for scan in found] == [
        (sources[0], "network_together", "ban", group)
    ] * hits


def test_each_source_is_reported_at_its_next_probe() -> None:
    found = together(watch(Settings(), shared(7, 7, 7)))
    assert {scan.src_ip for scan in found} == set(SOURCES)
    assert {scan.src_net for scan in found} == {"203.0.113.0/24"}


def test_two_sources_are_not_enough() -> None:
    assert together(watch(Settings(), shared(9, 9, sources=SOURCES[:2], every=30))) == []


@pytest.mark.parametrize(("counts", "hits"), [((4, 3, 1), 1), ((5, 2, 1), 0)])
def test_no_source_may_have_more_than_half(counts: tuple[int, ...], hits: int) -> None:
    """That source would be a scanner by itself, and the others its neighbours."""
    settings = Settings(detectors=Detectors(distributed=Distributed(min_ports=8)))
    assert len(together(watch(settings, shared(*counts, every=15)))) == hits


@pytest.mark.parametrize(("every", "hits"), [(119.8, 1), (120.2, 0)])
def test_the_ports_must_be_probed_within_ten_minutes(every: float, hits: int) -> None:
    """Six ports of the first source, the last five steps after the first."""
    assert len(together(watch(Settings(), shared(6, 5, 5, every=every)))) == hits


def test_sources_of_other_networks_do_not_count() -> None:
    far = ("203.0.113.1", "203.0.114.2", "203.0.115.3")
    far6 = ("2001:db8:bad:1::1", "2001:db8:bae:1::2", "2001:db8:baf:1::3")
    assert together(watch(Settings(), shared(6, 6, 6, sources=far, tool=False))) == []
    assert together(watch(Settings(), shared(6, 6, 6, sources=far6, tool=False))) == []


def test_sources_that_share_a_tools_fingerprint_count_wherever_they_are() -> None:
    far = ("203.0.113.1", "203.0.114.2", "203.0.115.3")
    found = together(watch(Settings(), shared(6, 6, 6, sources=far, every=8)))
    assert {(one.verdict, one.reason, one.tool) for one in found} == {("watch", "tool_together", "nmap")}
    assert together(watch(Settings(), shared(6, 6, 6, sources=far, every=15))) == []


def test_a_lone_packet_of_a_tool_is_watched_during_a_scan() -> None:
    far = ("203.0.113.1", "203.0.114.2", "203.0.115.3")
    late = syn(FRIEND, 4000, at=45, seq=9)
    found = together(watch(Settings(), in_time(shared(6, 6, 6, sources=far, every=8), late)))
    assert [scan.verdict for scan in found if scan.src_ip == FRIEND] == ["watch"]


def test_addresses_of_one_ipv6_64_are_one_source() -> None:
    """One owner has them all."""
    one = ("2001:db8:bad:1::1", "2001:db8:bad:1::2", "2001:db8:bad:1:f::3")
    assert together(watch(Settings(), shared(6, 6, 6, sources=one))) == []


def test_a_source_of_a_lone_packet_is_watched_during_a_scan_of_its_network() -> None:
    late = syn("203.0.113.4", 4000, at=61, seq=9)
    found = together(watch(Settings(), in_time(shared(7, 7, 7), late)))
    assert [scan.verdict for scan in found if scan.src_ip == "203.0.113.4"] == ["watch"]


def test_neighbours_that_probe_the_same_are_no_scan() -> None:
    """A mail server has moved: all customers of a provider try its seven ports."""
    found = [
        connect(source, 25, 110, 143, 465, 587, 993, 995, at=nth * 5)
        for nth, source in enumerate(f"203.0.113.{last}" for last in range(1, 80))
    ]
    assert scans(watch(Settings(), in_time(*found))) == []


def test_ports_that_answer_are_retracted() -> None:
    probes = shared(6, 5, 5)
    first = probes[0]
    assert together(watch(Settings(), in_time(probes, [syn_ack(first)]))) == []


def test_datagrams_count_as_well() -> None:
    found = [
        udp(source, *range(2000 + 10 * nth, 2006 + 10 * nth), at=nth, every=10) for nth, source in enumerate(SOURCES)
    ]
    assert {scan.proto for scan in together(watch(Settings(), in_time(*found)))} == {"udp"}


def test_echo_requests_do_not_count() -> None:
    asked = [ping(source, HOST, at=nth) for nth, source in enumerate(SOURCES * 7)]
    assert together(watch(Settings(), asked)) == []


def test_our_own_probes_are_not_counted() -> None:
    ours = [syn(HOST, *range(2000, 2007), dst=FRIEND, every=10)]
    assert together(watch(Settings(), *ours)) == []


def test_a_reload_in_the_middle_forgets_nothing() -> None:
    pipeline, probes = Pipeline(Settings(), US), shared(6, 5, 5)
    found = watch(pipeline, probes[:8])
    pipeline.set_settings(Settings())
    assert together([*found, *watch(pipeline, probes[8:])])


def test_the_operator_chooses_the_numbers() -> None:
    sections = Detectors(distributed=Distributed(min_ports=4, min_sources=2, window_seconds=30))
    settings = Settings(detectors=sections)
    assert together(watch(settings, shared(2, 2, sources=SOURCES[:2])))
    assert together(watch(settings, shared(2, 2, sources=SOURCES[:2], every=60))) == []


def test_networks_are_bounded_and_the_least_recently_used_goes() -> None:
    settings = Settings(limits=Limits(max_sources=16))
    others = [syn(f"10.0.{nth}.1", 80, at=1000, seq=nth + 1) for nth in range(20)]
    scan = shared(6, 5, 5)
    assert together(watch(settings, scan[:-1], in_time(*others), [scan[-1].at(1001)])) == []
    assert together(watch(Settings(), scan[:-1], [scan[-1].at(100)]))
