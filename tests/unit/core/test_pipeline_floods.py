"""The pipeline in floods and large scans: few lines, few judgements, and no scanner that is hidden."""

import dataclasses
from collections.abc import Callable

import pytest

from portsentry_py.config.settings import Bans, Detectors, Limits, Lines, PortScan, Settings, Slow
from portsentry_py.core import judging
from portsentry_py.core.finding import Finding
from portsentry_py.core.host_state import HostState
from portsentry_py.core.packet import FIN, RST
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.core.policy import Judgement
from portsentry_py.events.model import utc
from tests.support.build import (
    HOST,
    HOST6,
    SCANNER,
    US,
    Sent,
    connect,
    connections,
    evidence,
    in_time,
    micros,
    refused,
    scans,
    strict,
    syn,
    syn_ack,
    tcp,
    traps,
    udp,
    watch,
)


def test_a_large_scan_costs_few_lines() -> None:
    events = watch(Settings(), refused(syn(SCANNER, *range(1, 12_000), every=0.0001)))
    assert len(events) < 100
    assert [event.state for event in scans(events)] == ["new"]


def test_a_long_scan_costs_few_lines() -> None:
    events = watch(Settings(), refused(syn(SCANNER, *range(1000, 8_200), every=0.5)))
    assert len(scans(events)) < 3600 / 60 + 10


def test_a_flood_cannot_hide_a_scanner() -> None:
    flood = [
        packet for number in range(3000) for packet in syn(f"10.{number // 250}.{number % 250}.1", 80, at=number / 1000)
    ]
    events = watch(Settings(), in_time(flood, syn(SCANNER, *range(100, 120), at=1)))
    assert [(scan.src_ip, scan.verdict) for scan in scans(events)] == [(SCANNER, "ban")]
    assert len(connections(events)) < 400


def test_the_next_line_counts_suppressed_lines() -> None:
    quiet = Detectors(port_scan=PortScan(min_ports=500), slow=Slow(min_seconds=86_400))
    settings = strict(lines=Lines(per_source_per_minute=2), detectors=quiet)
    pipeline = Pipeline(settings, US)
    first = watch(pipeline, refused(syn(SCANNER, *range(100, 110))))
    (later,) = watch(pipeline, refused(syn(SCANNER, 200, at=600)))
    assert [event.suppressed for event in connections(first)] == [0, 0]
    assert connections([later])[0].suppressed == 8
    assert pipeline.counts()["lines_suppressed"] == 8


def test_evictions_are_counted() -> None:
    pipeline = Pipeline(strict(limits=Limits(max_sources=16, max_flows=64)), US)
    watch(pipeline, [packet for last in range(200) for packet in syn(f"203.0.113.{last}", 22, at=last / 1000)])
    counts = pipeline.counts()
    assert (counts["sources_evicted"], counts["flows_evicted"]) == (184, 136)


def test_a_flood_of_forged_scans_does_not_hide_a_scanner_for_long() -> None:
    """Sources of five networks spend the limit on lines; those of one would first spend their bans."""
    forged = in_time(
        *(
            syn(
                f"198.{18 + nth % 5}.{nth // 250}.{nth % 250}",
                *range(1000, 1010),
                at=nth * 0.001,
                every=0.001,
                seq=nth + 2,
            )
            for nth in range(2000)
        )
    )
    pipeline = Pipeline(strict(), US)
    events = watch(pipeline, in_time(forged, syn(SCANNER, *range(2000, 2400), at=1, every=0.002)))
    reported = evidence(events)
    limit = Settings().lines.scans_per_second
    assert len(reported) <= 10 * limit + 2 * limit
    (ours,) = [event for event in reported if event.src_ip == SCANNER]
    assert ours.verdict == "ban"
    counts = pipeline.counts()
    assert counts["packets_held"] + counts["probes_unjudged"] > 15_000
    # Most of them cost no more than a line that waits.
    assert counts["packets_held"] > 1.5 * counts["probes_unjudged"]


@pytest.mark.interpreted
def test_while_no_line_can_be_written_the_outcomes_of_datagrams_are_judged_now_and_then() -> None:
    """All of them come when a source has sent its last datagram, and its probes are as many as at a judgement."""
    limits, bans = Limits(new_sources_per_second=100), Bans(unverified_per_minute=1)
    pipeline, judged = Pipeline(Settings(lines=Lines(scans_per_second=1), bans=bans, limits=limits), US), 0
    judge = pipeline._detection._policy.judge

    def counted(finding: Finding) -> Judgement:
        nonlocal judged
        judged += finding.record.source.startswith("198.18.1.")
        return judge(finding)

    pipeline._detection._policy.judge = counted  # type: ignore[method-assign]
    silent = [udp(f"198.18.1.{nth}", *range(2000, 2032), every=0.0001) for nth in range(5)]
    forged = [syn(f"198.{20 + nth % 5}.0.{nth}", *range(99), at=0.1 + nth * 0.01, seq=nth + 2) for nth in range(100)]
    events = [*watch(pipeline, in_time(*silent), in_time(*forged)), *pipeline.advance(micros(6))]
    assert not [event for event in evidence(events) if event.src_ip.startswith("198.18.1.")]
    assert 5 <= judged <= 5 * 5


@pytest.mark.parametrize("source", [SCANNER, "::ffff:192.0.2.7"])
def test_a_fast_scan_by_datagrams_that_nobody_refuses_is_found_while_it_goes_on(source: str) -> None:
    """It sends more than are judged before the first of them is known to be silent."""
    probes = udp(source, *range(2000, 4000), every=0.001, dst=HOST6 if ":" in source else HOST)
    (scan, *_) = scans(watch(Pipeline(Settings(), US), probes))
    assert (scan.scan_type, scan.technique) == ("udp", "port_scan")
    assert scan.timestamp < utc(micros(1.3))


@pytest.mark.interpreted
def test_of_very_many_scans_each_is_judged_when_it_has_doubled() -> None:
    """All of them are watched, for their addresses, so that the budget of bans is whole and none is ever done with."""
    pipeline, judged = Pipeline(Settings(limits=Limits(new_sources_per_second=20_000)), US), 0
    judge = pipeline._detection._policy.judge

    def counted(finding: Finding) -> Judgement:
        nonlocal judged
        judged += 1
        return judge(finding)

    pipeline._detection._policy.judge = counted  # type: ignore[method-assign]
    ports = range(2000, 2048)
    forged = [syn(f"::ffff:198.18.{nth}.7", *ports, every=0.001, dst=HOST6, seq=nth + 1) for nth in range(200)]
    scan = syn(SCANNER, *range(100, 120), at=0.04, every=0.0001)
    events = watch(pipeline, in_time(*forged, scan))
    # Without the bound, 41 for each and twice as many looks. At once 2,000 are found, which may be looked at twice.
    assert 200 * 3 <= judged <= 2 * (2_000 + 200 * 3)
    assert pipeline.counts()["probes_unjudged"] > 200 * 20
    assert {event.verdict for event in scans(events) if event.src_ip == SCANNER} == {"ban"}


@pytest.mark.interpreted
def test_a_large_scan_that_is_watched_is_not_judged_at_each_probe() -> None:
    pipeline, judged = Pipeline(Settings(), US), 0
    judge = pipeline._detection._policy.judge

    def counted(finding: Finding) -> Judgement:
        nonlocal judged
        judged += 1
        return judge(finding)

    pipeline._detection._policy.judge = counted  # type: ignore[method-assign]
    events = watch(pipeline, syn("::ffff:192.0.2.7", *range(2000, 4000), every=0.001, dst=HOST6))
    assert {scan.reason for scan in scans(events)} == {"mapped_source"}
    assert judged < 400


def test_forged_scanners_that_go_on_for_long_do_not_keep_out_one_that_begins() -> None:
    """Each of 300 sources has sent FINs to a hundred ports when the scanner comes, which proves nothing."""
    forged = [
        tcp(f"198.{18 + nth % 90}.7.{nth % 300 // 90 + 1}", HOST, 40_000, 1000 + nth // 300, FIN, at=nth / 3000)
        for nth in range(33_000)
    ]
    scan = syn(SCANNER, *range(2000, 2100), at=10, every=0.01)
    pipeline = Pipeline(Settings(limits=Limits(new_sources_per_second=10)), US)
    named = [event for event in evidence(watch(pipeline, in_time(forged, scan))) if event.src_ip == SCANNER]
    assert next(event.timestamp for event in named if event.verdict == "ban") < utc(micros(10.2))


def test_in_a_flood_a_source_that_an_open_trap_accepted_waits_no_longer() -> None:
    settings = dataclasses.replace(strict(), limits=Limits(new_sources_per_second=1))
    pipeline = Pipeline(settings, HostState(own=US.own, open_traps=frozenset({11})))
    watch(pipeline, [syn(f"198.18.0.{nth}", 1000, at=0)[0] for nth in range(1, 9)])
    (asked,) = connect(SCANNER, 11, at=0.1)
    assert watch(pipeline, asked, syn_ack(asked)) == []
    *_, line_about_it = traps(list(pipeline.accepted(SCANNER, asked.src_port, HOST, 11, micros(0.2))))
    assert (line_about_it.src_ip, line_about_it.source_verified) == (SCANNER, True)


@pytest.mark.parametrize("probes", [syn, udp])
def test_a_flood_of_sources_that_go_on_leaves_room_to_one_that_begins(
    monkeypatch: pytest.MonkeyPatch, probes: Callable[..., list[Sent]]
) -> None:
    """Each forged source has a network of its own, and all have one stack: they are judged, and mostly not banned."""
    monkeypatch.setattr(judging, "_WORK_PER_SECOND", 40)
    engine = Pipeline(Settings(limits=Limits(new_sources_per_second=20)), US)
    flood = [
        packet
        for nth in range(150)
        for packet in probes(f"10.{nth}.0.1", *range(1_000, 1_064), at=nth * 0.02, every=0.0003, src_port=2_000 + nth)
    ]
    mine = syn(SCANNER, *range(2_000, 2_060), at=2, every=0.01, options=b"")
    scans = [event for event in evidence(watch(engine, in_time(flood, mine))) if event.src_ip == SCANNER]
    assert [(scan.verdict, scan.timestamp < utc(micros(2.2))) for scan in scans[:1]] == [("ban", True)]
    assert engine.counts()["packets_held"] > 5_000


def test_sources_that_go_on_before_the_outcome_is_known_are_not_all_examined(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is found of datagrams before their second is over: a forger could have each of them examined."""
    monkeypatch.setattr(judging, "_WORK_PER_SECOND", 100)
    engine = Pipeline(Settings(), US)
    watch(engine, in_time(*(udp(f"10.{nth}.0.1", *range(1_000, 1_500), every=0.001) for nth in range(8))))
    assert engine.counts()["packets_held"] > 2_400
    assert {scan.src_ip for scan in scans(list(engine.advance(micros(60))))} == {f"10.{nth}.0.1" for nth in range(8)}


def test_a_flood_of_acks_is_held_and_a_scan_with_them_is_found_in_it() -> None:
    """Plain ACKs stay in the kernel: our resets are all that is seen of them."""
    engine = Pipeline(Settings(limits=Limits(new_sources_per_second=20)), US)
    flood = [
        tcp(HOST, f"198.{18 + nth % 90}.{nth // 90 % 250}.7", 80, 1_024 + nth, RST, seq=nth + 1, at=nth / 5_000)
        for nth in range(10_000)
    ]
    scan = [tcp(HOST, SCANNER, port, 40_000, RST, seq=9, at=1 + port / 1_000) for port in range(1, 41)]
    (call,) = syn(HOST, 443, dst="192.0.2.99", at=1.1)
    ours = [call, syn_ack(call), tcp(HOST, "192.0.2.99", call.src_port, 443, RST, seq=1_001, at=1.2)]
    events = watch(engine, in_time(flood, scan, ours))
    assert [(one.src_ip, one.scan_type) for one in scans(events)][:1] == [(SCANNER, "ack")]
    assert 8_000 < engine.counts()["packets_held"] < 10_000
