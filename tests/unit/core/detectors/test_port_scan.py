"""Port scan: many unserved ports of one host within a window."""

from functools import partial

import pytest

from portsentry_py.config.settings import Settings
from portsentry_py.core.pipeline import Pipeline
from tests.support.build import (
    FRIEND,
    HOST,
    SCANNER,
    SCANNER6,
    US,
    Sent,
    connect,
    fin,
    icmp_unreachable,
    in_time,
    lines,
    micros,
    null,
    rst,
    scans,
    strict,
    syn,
    syn_ack,
    udp,
    visit,
    watch,
    xmas,
)

port_scans = partial(scans, technique="port_scan")

FOUR = (100, 200, 300, 400)


def test_the_probe_that_reaches_the_threshold_is_the_verdict() -> None:
    probes = syn(SCANNER, *FOUR)
    assert scans(watch(strict(), probes[:3])) == []
    (scan,) = scans(watch(strict(), probes))
    assert (scan.technique, scan.verdict, scan.reason, scan.state) == ("port_scan", "ban", "ports_in_window", "new")
    assert (scan.src_ip, scan.dest_ip, scan.dest_port) == (SCANNER, HOST, 400)
    assert (scan.ports, scan.ports_sample) == (4, FOUR)


@pytest.mark.parametrize(
    ("build", "scan_type"), [(syn, "syn"), (connect, "connect"), (null, "null"), (fin, "fin"), (xmas, "xmas")]
)
@pytest.mark.parametrize("source", [SCANNER, SCANNER6])
def test_every_tcp_type_counts_over_both_families(build: object, scan_type: str, source: str) -> None:
    assert callable(build)
    (scan,) = scans(watch(strict(), build(source, *FOUR)))
    assert (scan.src_ip, scan.scan_type) == (source, scan_type)


def test_repeated_probes_of_one_port_are_no_port_scan() -> None:
    knocks = [packet for at in range(50) for packet in syn(SCANNER, 22, src_port=1025 + at, at=at / 10)]
    assert scans(watch(strict(), knocks)) == []


def test_ports_touched_too_slowly_are_no_port_scan() -> None:
    assert port_scans(watch(strict(), syn(SCANNER, *range(100, 120), every=3.334))) == []
    assert port_scans(watch(strict(), syn(SCANNER, *range(100, 120), every=3.333)))


def test_the_default_threshold_is_eight_ports_in_a_minute() -> None:
    assert scans(watch(Settings(), syn(SCANNER, *range(100, 107)))) == []
    assert port_scans(watch(Settings(), syn(SCANNER, *range(100, 108), every=8.571)))
    assert port_scans(watch(Settings(), syn(SCANNER, *range(100, 108), every=8.572))) == []


def test_closed_ports_that_refuse_count_as_well() -> None:
    probes = syn(SCANNER, *FOUR)
    refused = [packet for probe in probes for packet in (probe, rst(probe))]
    assert [scan.verdict for scan in scans(watch(strict(), refused))] == ["ban"]


def test_ports_that_answer_are_no_evidence() -> None:
    asked = connect(FRIEND, *range(100, 120), every=0.1)
    answered = in_time(asked, [syn_ack(one) for one in asked])
    assert scans(watch(strict(), answered)) == []


def test_visits_of_served_ports_are_no_evidence() -> None:
    assert scans(watch(strict(), visit(FRIEND, *range(8000, 8040)))) == []


def test_ports_of_different_hosts_are_not_added_up() -> None:
    probes = [packet for last in range(1, 20) for packet in syn(SCANNER, 22, dst=f"192.0.2.{last}")]
    assert scans(watch(strict(), probes)) == []


def test_datagrams_count_like_segments() -> None:
    (scan,) = scans(watch(strict(), udp(SCANNER, *FOUR)))
    assert (scan.technique, scan.scan_type, scan.proto, scan.ports) == ("port_scan", "udp", "udp", 4)


def test_transports_are_not_added_up() -> None:
    assert scans(watch(strict(), syn(SCANNER, *FOUR[:3]), udp(SCANNER, *FOUR[:3], at=1))) == []


@pytest.mark.parametrize(("count", "hits"), [(4, 0), (5, 1)])
def test_five_protocols_are_a_scan_of_protocols(count: int, hits: int) -> None:
    asked = [Sent(micros(nth), SCANNER, HOST, 100 + nth, b"") for nth in range(count)]
    found = scans(watch(Settings(), asked))
    assert [(scan.scan_type, scan.proto, scan.ports) for scan in found] == [("ipproto", "ip", 5)] * hits


def test_icmp_requests_are_no_port_scan() -> None:
    asked = [
        Sent(micros(nth), SCANNER, HOST, 1, bytes([kind, 0, 0, 0, 0, 0, 0, 0]))
        for nth, kind in enumerate((8, 13, 15, 17))
    ]
    assert scans(watch(strict(), asked)) == []


def test_a_scan_of_two_types_is_mixed() -> None:
    (scan,) = scans(watch(strict(), syn(SCANNER, *FOUR[:2]), xmas(SCANNER, *FOUR[2:], at=1)))
    assert scan.scan_type == "mixed"


def test_a_repeated_port_counts_at_its_last_probe() -> None:
    first, *others = syn(SCANNER, *FOUR, every=9)
    assert port_scans(watch(strict(), first, in_time([first.at(26)], others))) == []
    assert port_scans(watch(strict(), first, in_time([first.at(26)], [one.at(19) for one in others])))


def test_a_peers_rule_may_count_some_types_alone() -> None:
    settings = Settings(profile="scanblocker")
    assert scans(watch(settings, fin(SCANNER, *FOUR))) == []
    assert port_scans(watch(settings, syn(SCANNER, *FOUR)))


def test_our_own_probes_are_no_port_scan() -> None:
    assert port_scans(watch(strict(), syn(HOST, *range(1, 60), dst=FRIEND))) == []


def test_datagrams_that_nobody_refuses_count_when_the_time_for_an_answer_is_over() -> None:
    """Before that, they may be the first ones of streams."""
    pipeline = Pipeline(strict(), US)
    assert scans(pipeline.feed(lines(udp(SCANNER, *FOUR, every=0.01)))) == []
    assert scans(pipeline.advance(micros(1.029))) == []
    (scan,) = scans(pipeline.advance(micros(1.03)))
    assert (scan.verdict, scan.scan_type, scan.ports) == ("ban", "udp", 4)


def test_datagrams_count_at_once_if_one_of_them_is_refused() -> None:
    first, *others = udp(SCANNER, *FOUR, every=0.01)
    (scan,) = scans(watch(strict(), [first, icmp_unreachable(first), *others]))
    assert (scan.verdict, scan.ports, scan.dest_port) == ("ban", 4, 400)


def test_the_silence_after_a_segment_is_no_new_verdict() -> None:
    assert len(scans(watch(strict(), syn(SCANNER, *FOUR), syn(FRIEND, 22, at=2)))) == 1


@pytest.mark.parametrize(("served", "needed"), [(0, 8), (35, 8), (40, 10), (64, 16), (90, 16)])
def test_who_finds_many_ports_served_is_refused_a_quarter_as_many(served: int, needed: int) -> None:
    asked = connect(SCANNER, *range(30_000, 30_000 + served))
    found = in_time(asked, [syn_ack(one) for one in asked])
    for missing in (needed - 1, needed):
        ports = range(2_000, 2_000 + missing)
        named = [one.reason for one in port_scans(watch(Settings(), found, connect(SCANNER, *ports, at=9)))]
        assert named == ["ports_in_window"] * (missing == needed)
