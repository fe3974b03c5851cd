"""The way from a line of tshark to events."""

import dataclasses
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.config.settings import Bans, Detectors, Limits, Lines, PortScan, Settings, Slow, Traps
from portsentry_py.core.finding import Finding
from portsentry_py.core.host_state import HostState
from portsentry_py.core.known_scanners import KnownScanners
from portsentry_py.core.packet import ACK, FIN, PSH, URG
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.core.policy import Judgement
from portsentry_py.events.model import utc
from tests.support.build import (
    FRIEND,
    HOST,
    HOST6,
    SCANNER,
    SCANNER6,
    SECOND_US,
    US,
    Sent,
    connect,
    connections,
    evidence,
    fin_ack,
    icmp_unreachable,
    in_time,
    line,
    log_lines,
    micros,
    no_deadline,
    ping,
    records,
    refused,
    rst,
    rst_ack,
    scans,
    strict,
    syn,
    syn_ack,
    tcp,
    traps,
    udp,
    udp_reply,
    visit,
    watch,
    with_cells,
)


def test_the_same_lines_give_the_same_bytes() -> None:
    traffic = in_time(syn(SCANNER, *range(1, 300)), visit(FRIEND, 80, 443), udp(FRIEND, 53, 123))
    assert log_lines(watch(Settings(), traffic)) == log_lines(watch(Settings(), traffic))


def test_discarded_lines_are_counted() -> None:
    pipeline = Pipeline(strict(), US)
    garbage = [line(time="1.0", src="x", dst="y", proto="6"), "", line(time="1.0")]
    assert watch(pipeline, garbage, syn(SCANNER, 22)) == []
    assert pipeline.counts()["packets"] == 4
    assert pipeline.counts()["packets_malformed"] == 2


def test_the_last_time_is_that_of_the_last_packet() -> None:
    pipeline = Pipeline(strict(), US)
    assert pipeline.last_us == 0
    watch(pipeline, syn(SCANNER, 22, at=7))
    assert pipeline.last_us == micros(7)


@pytest.mark.parametrize(
    ("word", "outcomes"),
    [
        ("off", set[str]()),
        ("unserved", {"refused", "unanswered"}),
        ("all", {"refused", "unanswered", "answered", "served"}),
    ],
)
def test_the_setting_selects_the_connection_lines(word: str, outcomes: set[str]) -> None:
    answered, silent, closed = connect(FRIEND, 80, 81, 82)
    again = connect(FRIEND, 80, at=5)
    traffic = in_time([answered, syn_ack(answered), silent, closed, rst(closed)], again)
    events = watch(strict(connections=word), traffic)
    assert {event.outcome for event in connections(events)} == outcomes


def test_our_own_attempts_have_no_connection_line() -> None:
    assert connections(watch(strict(connections="all"), syn(HOST, 80, 81, dst=FRIEND))) == []


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


def test_a_scan_ends_when_it_has_been_quiet() -> None:
    pipeline = Pipeline(strict(), US)
    watch(pipeline, syn(SCANNER, 1, 2, 3, 4))
    assert scans(pipeline.advance(micros(59))) == []
    (ended,) = scans(pipeline.advance(micros(90)))
    assert (ended.state, ended.ports) == ("ended", 4)


def test_what_follows_an_ended_scan_is_a_new_scan_of_a_known_source() -> None:
    pipeline = Pipeline(strict(traps=Traps(tcp=frozenset())), US)
    watch(pipeline, syn(SCANNER, 1, 2, 3, 4))
    assert [scan.state for scan in scans(watch(pipeline, syn(SCANNER, 5, at=300)))] == ["ended"]
    (again,) = scans(watch(pipeline, syn(SCANNER, 6, 7, 8, at=301)))
    assert (again.state, again.technique, again.ports) == ("new", "port_scan", 8)


def test_the_first_detector_with_a_finding_names_the_scan() -> None:
    """A long fast scan satisfies the test for slow ones too, and yet ends when it is quiet."""
    pipeline = Pipeline(Settings(), US)
    events = [*watch(pipeline, refused(syn(SCANNER, *range(2000, 2200), every=1))), *pipeline.advance(micros(300))]
    *running, ended = scans(events)
    assert {(scan.technique, scan.reason) for scan in running} == {("port_scan", "ports_in_window")}
    assert (ended.technique, ended.state, ended.verdict, ended.reason) == ("port_scan", "ended", "watch", "ended")


@pytest.mark.parametrize("seconds", [0.5, 1.2, 59.7, 60.2, 60.7, 75, 99])
def test_a_tick_between_packets_changes_nothing(seconds: float) -> None:
    """The clock ticks live and not in a replay: the same packets must give the same lines."""
    settings = strict(traps=Traps(tcp=frozenset({11, 23})))
    before = in_time(syn(SCANNER, 1, 2, 3, 4, 11), syn(SCANNER, 11, src_port=41_000, at=59.5))
    after = syn(SCANNER, 23, 5, 6, 7, 8, at=100)
    replayed = Pipeline(settings, US)
    lines = [*watch(replayed, before, after), *replayed.finish()]
    live = Pipeline(settings, US)
    ticked = [*watch(live, before), *live.advance(micros(max(seconds, 59.5))), *watch(live, after), *live.finish()]
    assert records(ticked) == records(lines)


@no_deadline
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 7), st.booleans()), max_size=60))
def test_ticks_before_each_packet_change_nothing(packets: list[tuple[int, int, bool]]) -> None:
    """Most packets do not look whether anything is due: what is due must not wait for one that does."""
    traffic, now = list[Sent](), 0.0
    for pause, port, is_refused in packets:
        now += pause * pause / 20
        asked = syn(SCANNER, 100 + port, src_port=40_000 + len(traffic), at=now)
        traffic += [*asked, rst(asked[0])] if is_refused else visit(FRIEND, 80, at=now) if port == 0 else asked
    replayed, live = Pipeline(strict(), US), Pipeline(strict(), US)
    lines = [*watch(replayed, traffic), *replayed.finish()]
    ticked = [event for sent in traffic for event in (*live.advance(sent.time_us), *watch(live, sent))]
    assert records([*ticked, *live.finish()]) == records(lines)


def test_the_end_of_an_answered_connection_by_its_responder_tells_the_time_alone() -> None:
    pipeline = Pipeline(strict(), US)
    before = visit(FRIEND, 80)
    watch(pipeline, before)
    assert (pipeline.counts()["packets_decoded"], pipeline.counts()["packets_ignored"]) == (3, 1)
    assert pipeline.last_us == before[-1].time_us
    end = tcp(HOST, FRIEND, 80, 50_000, FIN | ACK, at=2)
    watch(pipeline, [with_cells(end.line, time="-1.0")])
    assert (pipeline.counts()["packets_malformed"], pipeline.last_us) == (1, before[-1].time_us)


def test_other_settings_keep_what_is_known() -> None:
    pipeline = Pipeline(strict(), US)
    watch(pipeline, syn(SCANNER, 1, 2, 3))
    ignoring = strict(ignore=(ip_network(f"{SCANNER}/32"),))
    pipeline.set_settings(ignoring)
    (scan,) = scans(watch(pipeline, syn(SCANNER, 4, at=1)))
    assert (scan.verdict, scan.reason, scan.ports) == ("ignore", "ignore_list", 4)


def test_another_table_of_known_scanners_counts_with_the_settings_that_come_next() -> None:
    pipeline = Pipeline(strict(), US)
    pipeline.set_known_scanners(KnownScanners([(ip_network(f"{SCANNER}/32"), "shodan")]))
    pipeline.set_settings(strict(known_scanners="watch"))
    (scan,) = scans(watch(pipeline, syn(SCANNER, 1, 2, 3, 4)))
    assert (scan.verdict, scan.reason, scan.src_known) == ("watch", "known_scanner", "shodan")


def test_other_addresses_of_ours_count_at_once() -> None:
    pipeline = Pipeline(strict(), HostState())
    assert evidence(watch(pipeline, syn(SCANNER, 1, 2, 3, 4))) == []
    pipeline.set_host(US)
    assert scans(watch(pipeline, syn(SCANNER, 5, 6, 7, 8, at=1)))


def test_the_host_outlives_a_change_of_settings() -> None:
    pipeline = Pipeline(strict(), HostState(own=US.own, listening_tcp=frozenset(range(1, 100))))
    pipeline.set_settings(strict(connections="all"))
    assert evidence(watch(pipeline, syn(SCANNER, *range(1, 30)))) == []


def test_evictions_are_counted() -> None:
    pipeline = Pipeline(strict(limits=Limits(max_sources=16, max_flows=64)), US)
    watch(pipeline, [packet for last in range(200) for packet in syn(f"203.0.113.{last}", 22, at=last / 1000)])
    counts = pipeline.counts()
    assert (counts["sources_evicted"], counts["flows_evicted"]) == (184, 136)


def test_ordinary_traffic_has_no_evidence_line() -> None:
    (question,) = udp(HOST, 53, dst="198.51.100.53")
    (call,) = connect(HOST, 443, dst="198.51.100.80")
    late_ends = [tcp(FRIEND, HOST, 443, port, 0x11, seq=5, ack=7, at=3) for port in range(33_000, 33_100)]
    backscatter = [tcp(SCANNER, HOST, 80, port, 0x12, seq=5, ack=7, at=4) for port in range(1, 200)]
    traffic = in_time(
        visit(FRIEND, *[80] * 30),
        [question, udp_reply(question), call, syn_ack(call), fin_ack(call)],
        late_ends,
        backscatter,
    )
    settings = dataclasses.replace(Settings(), connections="all")
    pipeline = Pipeline(settings, HostState(own=US.own, listening_tcp=frozenset({80})))
    events = [*watch(pipeline, traffic), *pipeline.finish()]
    assert evidence(events) == []
    assert {event.outcome for event in connections(events)} == {"served"}


def test_a_ban_still_names_its_evidence_when_the_scan_ends() -> None:
    """All its probes were answered in the end, so no evidence is left for a ban."""
    asked = connect(FRIEND, 8001, 8002, 8003, 8004)
    pipeline = Pipeline(strict(), US)
    events = [*watch(pipeline, asked, [syn_ack(one, after=0.2) for one in asked]), *pipeline.advance(micros(200))]
    for scan in scans(events):
        assert scan.verdict != "ban" or scan.ports >= 4, scan


def test_traps_and_scans_of_an_ignored_source_are_reported_and_never_banned() -> None:
    settings = strict(ignore=(ip_network("203.0.113.0/24"),))
    events = evidence(watch(settings, refused(syn(SCANNER, 11, 23, 1, 2, 3, 4))))
    assert {event.verdict for event in events} == {"ignore"}
    assert traps(events)
    assert scans(events)


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
    assert counts["packets_held"] > 5 * counts["probes_unjudged"]


def test_while_no_line_can_be_written_the_outcomes_of_datagrams_are_judged_now_and_then() -> None:
    """All of them come when a source has sent its last datagram, and its probes are as many as at a judgement."""
    limits, bans = Limits(new_sources_per_second=100), Bans(unverified_per_minute=1)
    pipeline, judged = Pipeline(Settings(lines=Lines(scans_per_second=1), bans=bans, limits=limits), US), 0
    judge = pipeline._policy.judge

    def counted(finding: Finding) -> Judgement:
        nonlocal judged
        judged += finding.record.source.startswith("198.18.1.")
        return judge(finding)

    pipeline._policy.judge = counted  # type: ignore[method-assign]
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


def test_of_very_many_scans_each_is_judged_when_it_has_doubled() -> None:
    """All of them are watched, for their addresses, so that the budget of bans is whole and none is ever done with."""
    pipeline, judged = Pipeline(Settings(limits=Limits(new_sources_per_second=20_000)), US), 0
    judge = pipeline._policy.judge

    def counted(finding: Finding) -> Judgement:
        nonlocal judged
        judged += 1
        return judge(finding)

    pipeline._policy.judge = counted  # type: ignore[method-assign]
    ports = range(2000, 2048)
    forged = [syn(f"::ffff:198.18.{nth}.7", *ports, every=0.001, dst=HOST6, seq=nth + 1) for nth in range(200)]
    scan = syn(SCANNER, *range(100, 120), at=0.04, every=0.0001)
    events = watch(pipeline, in_time(*forged, scan))
    # Without the bound, 41 for each and twice as many looks. At once 2,000 are found, which may be looked at twice.
    assert 200 * 3 <= judged <= 2 * (2_000 + 200 * 3)
    assert pipeline.counts()["probes_unjudged"] > 200 * 20
    assert {event.verdict for event in scans(events) if event.src_ip == SCANNER} == {"ban"}


def test_a_large_scan_that_is_watched_is_not_judged_at_each_probe() -> None:
    pipeline, judged = Pipeline(Settings(), US), 0
    judge = pipeline._policy.judge

    def counted(finding: Finding) -> Judgement:
        nonlocal judged
        judged += 1
        return judge(finding)

    pipeline._policy.judge = counted  # type: ignore[method-assign]
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


def test_a_scan_from_several_addresses_of_an_ipv6_network_is_one_scan() -> None:
    scan = [one for nth in range(8) for one in syn(f"2001:db8:bad::{nth + 1:x}", 1000 + nth, at=nth / 10)]
    (event,) = [one for one in scans(watch(strict(), refused(scan))) if one.state == "new"]
    assert (event.src_ip, event.src_net, event.verdict) == ("2001:db8:bad::4", "2001:db8:bad::/64", "ban")
    assert (event.ports, event.closed) == (4, 3)


def test_in_a_network_of_our_own_each_ipv6_address_is_a_source() -> None:
    scan = [one for nth in range(1, 9) for one in syn(f"2001:db8:1::{nth:x}", 1000 + nth, at=nth / 10)]
    assert scans(watch(strict(), scan)) == []


def test_a_source_that_an_open_trap_accepted_is_verified() -> None:
    """Its handshake was not captured: the kernel vouches for the address."""
    pipeline = Pipeline(strict(), HostState(own=US.own, open_traps=frozenset({11})))
    (asked,) = connect(SCANNER, 11)
    first = watch(pipeline, asked)
    assert not any(event.source_verified for event in evidence(first))
    assert list(pipeline.accepted(FRIEND, 50_000, HOST, 11, micros(0.1))) == [], "no probe was seen"
    touched = [*pipeline.accepted(SCANNER, asked.src_port, HOST, 11, micros(0.1)), *watch(pipeline, syn_ack(asked))]
    *_, line_about_it = traps(touched)
    assert (line_about_it.src_ip, line_about_it.source_verified) == (SCANNER, True)


def test_in_a_flood_a_source_that_an_open_trap_accepted_waits_no_longer() -> None:
    settings = dataclasses.replace(strict(), limits=Limits(new_sources_per_second=1))
    pipeline = Pipeline(settings, HostState(own=US.own, open_traps=frozenset({11})))
    watch(pipeline, [syn(f"198.18.0.{nth}", 1000, at=0)[0] for nth in range(1, 9)])
    (asked,) = connect(SCANNER, 11, at=0.1)
    assert watch(pipeline, asked, syn_ack(asked)) == []
    *_, line_about_it = traps(list(pipeline.accepted(SCANNER, asked.src_port, HOST, 11, micros(0.2))))
    assert (line_about_it.src_ip, line_about_it.source_verified) == (SCANNER, True)


def test_an_unseen_scan_is_reported_by_our_refusals_alone() -> None:
    (event,) = scans(watch(strict(), [rst(asked) for asked in syn(SCANNER, *range(1000, 1004))]))[:1]
    assert (event.src_ip, event.verdict, event.scan_type, event.ports) == (SCANNER, "ban", "unseen", 4)


def test_a_banned_source_that_is_still_answered_has_a_line_at_once() -> None:
    scan = refused(syn(SCANNER, *range(1000, 1060), every=0.5))
    states = [event.state for event in scans(watch(strict(), scan))]
    assert states[:3] == ["new", "answered", "answered"]
    silent = [packet for packet in scan if packet.src == SCANNER]
    assert "answered" not in [event.state for event in scans(watch(strict(), silent))]


def test_evidence_that_may_only_be_watched_hides_no_other() -> None:
    """A patient scanner of many flags is no OS detection, and one of many NodePorts no load balancer."""
    flags = [
        tcp(SCANNER, HOST, 50_000, 200 + nth, (0, FIN, FIN | PSH | URG)[nth % 3], at=301 * nth) for nth in range(30)
    ]
    assert "ban" in {event.verdict for event in scans(watch(Settings(), refused(flags)))}
    (first,) = connect(SCANNER, 30_080)
    ports = [one for nth in range(40) for one in connect(SCANNER, 30_081 + nth, at=1 + 2.1 * nth)]
    checks = watch(Settings(), first, syn_ack(first), rst_ack(first), refused(ports))
    assert {event.verdict for event in scans(checks)} == {"watch", "ban"}


def test_our_own_request_from_a_port_of_servers_is_a_question() -> None:
    """SIP goes from 5060 to 5060, and the provider's media to ports that the request names."""
    (asked,) = udp(HOST, 5060, dst=FRIEND, src_port=5060)
    session = [packet for nth in range(4) for packet in (asked.later(nth), udp_reply(asked.later(nth)))]
    media = udp(FRIEND, *range(16_384, 16_404, 2), src_port=17_000, at=10, every=0.1)
    assert scans(watch(Settings(), session, in_time(media, [icmp_unreachable(one) for one in media]))) == []


def test_the_network_of_an_address_that_we_called_is_not_banned_for_its_neighbour() -> None:
    (called,) = connect(HOST6, 443, dst="2001:db8:5::1")
    scan = refused(syn("2001:db8:5::2", *range(1000, 1012), at=5))
    events = scans(watch(Settings(), called, syn_ack(called), scan))
    assert {(event.verdict, event.reason) for event in events} == {("watch", "neighbour")}


def test_a_banned_source_that_uses_a_served_port_has_a_line_at_once() -> None:
    """A container's port behind the ban, or a ban that failed: the source need not go on scanning."""
    pipeline = Pipeline(strict(), US)
    watch(pipeline, refused(syn(SCANNER, *range(1000, 1010))))
    visits = [syn(SCANNER, 80, at=second, src_port=5000 + second)[0] for second in (1, 8, 10)]
    assert scans(watch(pipeline, visits[:1])) == [], "without an answer there is no line"
    events = [event for one in visits[1:] for event in watch(pipeline, [one, syn_ack(one)])]
    (again,) = scans(events)
    assert (again.state, again.verdict, again.dest_port) == ("answered", "ban", 80)


def test_the_end_of_the_input_records_what_was_counted_before_each_outcome() -> None:
    pipeline = Pipeline(strict(), US)
    watch(pipeline, refused(syn(SCANNER, *range(100, 140))), syn(FRIEND, 9, at=30))
    watch(pipeline, syn(SCANNER, *range(200, 220), at=30.1))
    list(pipeline.finish())
    assert pipeline._suppressed.ports == 0
    (known,) = [record for record in pipeline.state().known if record.source == SCANNER]
    assert known.ports == 60


def test_only_tcp_and_udp_from_outside_are_counted_on_the_fast_path() -> None:
    pipeline = Pipeline(strict(), US)
    sweep = [ping(HOST, f"198.18.0.{nth}", at=nth / 100) for nth in range(1, 60)]
    watch(pipeline, sweep, syn(HOST, *range(1, 200), dst=FRIEND, at=1, every=0.001))
    assert set(pipeline._suppressed.sources) == set()
    watch(pipeline, refused(syn(SCANNER, 100, 101, 102, 103, at=2)), ping(SCANNER, HOST, at=2.1))
    assert set(pipeline._suppressed.sources) == set(), "the last probe was a ping"
    watch(pipeline, syn(SCANNER, 104, at=2.2))
    assert set(pipeline._suppressed.sources) == {SCANNER}


def test_counted_lines_that_cannot_be_decoded_are_malformed() -> None:
    pipeline = Pipeline(strict(), US)
    watch(pipeline, refused(syn(SCANNER, 100, 101, 102, 103, 99)))
    broken = [with_cells(sent.line, id="zz") for sent in syn(SCANNER, 104, 105, 105, at=0.5)]
    assert watch(pipeline, broken) == []
    assert pipeline.counts()["packets_malformed"] == 0, "they were counted unread"
    list(pipeline.finish())
    assert pipeline.counts()["packets_malformed"] == 3


@pytest.mark.parametrize("cell", ["02:00:00:00:00:01", "fe80::1%eth0", "2001:db8::x", ""])
def test_a_cell_that_is_no_address_is_a_source_by_itself_and_none_of_ours(cell: str) -> None:
    pipeline = Pipeline(strict(), US)
    assert pipeline._source_of(cell) == cell
    assert not pipeline._is_home(cell)


def test_a_cell_is_read_in_any_spelling_and_again_when_the_host_changes() -> None:
    pipeline = Pipeline(strict(), US)
    assert pipeline._source_of("2001:DB8:BAD:0::9") == "2001:db8:bad::/64"
    assert pipeline._is_home("2001:DB8:1:0::10")
    pipeline.set_host(HostState(own=frozenset({SCANNER6})))
    assert pipeline._source_of("2001:DB8:BAD:0::9") == SCANNER6
    assert not pipeline._is_home("2001:DB8:1:0::10")


def test_packets_at_which_the_core_failed_count_as_malformed() -> None:
    pipeline = Pipeline(strict(), US)
    watch(pipeline, syn(SCANNER, 1, 2, 3))
    pipeline.count_faults(2)
    counts = pipeline.counts()
    assert (counts["packets"], counts["packets_decoded"], counts["packets_malformed"]) == (3, 1, 2)


def test_what_a_pipeline_knows_outlives_a_restart() -> None:
    before, after = Pipeline(strict(), US), Pipeline(strict(), US)
    watch(before, refused(syn(SCANNER, 1, 2, 3, 4)), visit(FRIEND, 80, at=1))
    assert before.settled_us == before.last_us - SECOND_US
    after.load(before.state(), before.last_us)
    assert after.state().learned == before.state().learned != []
    assert after.state().standing == before.state().standing
    assert [scan.last.finding.record.source for scan in after.state().scans] == [SCANNER]
    assert [event.state for event in scans(after.advance(micros(100)))] == ["ended"]


def test_what_is_older_than_the_memory_does_not_outlive_a_restart() -> None:
    before, after = Pipeline(strict(), US), Pipeline(strict(), US)
    watch(before, refused(syn(SCANNER, 1, 2, 3, 4)), visit(FRIEND, 80, at=1))
    after.load(before.state(), before.last_us + (Limits().memory_hours + 1) * 3600 * SECOND_US)
    state = after.state()
    assert (state.learned, state.scans) == ([], [])
    assert not any(record.unserved for record in (*state.known, *state.newcomers))


# ---- the host is read again before a ban over datagrams

EIGHT = tuple(range(1100, 1108))


class Reader:
    """Reads a host whose sockets others opened meanwhile."""

    def __init__(self, *hosts: HostState | None) -> None:
        self._hosts = list(hosts)
        self.times = 0

    def __call__(self) -> HostState | None:
        self.times += 1
        return self._hosts.pop(0) if self._hosts else None


def turned_down(datagrams: list[Sent]) -> list[Sent]:
    """Datagrams to closed ports."""
    return [packet for datagram in datagrams for packet in (datagram, icmp_unreachable(datagram))]


def opened(*ports: int) -> HostState:
    return HostState(own=US.own, listening_udp=frozenset(ports))


def test_datagrams_to_a_socket_that_is_open_by_now_take_their_count_back() -> None:
    reader = Reader(opened(1104))
    pipeline = Pipeline(Settings(), US, read_host=reader)
    datagrams = udp(SCANNER, *EIGHT)
    assert scans(watch(pipeline, turned_down(datagrams[:4]), datagrams[4:])) == []
    assert reader.times == 1
    (scan,) = scans(watch(pipeline, udp(SCANNER, 1200, at=1)))
    assert (scan.verdict, scan.ports, 1104 in scan.ports_sample) == ("ban", 8, False)


@pytest.mark.parametrize("host", [None, opened(9)], ids=["it cannot be read", "none of them is open"])
def test_datagrams_to_closed_ports_ban_after_a_look_at_the_host(host: HostState | None) -> None:
    reader = Reader(host)
    (scan,) = scans(watch(Pipeline(Settings(), US, read_host=reader), turned_down(udp(SCANNER, *EIGHT))))
    assert (scan.verdict, scan.ports, reader.times) == ("ban", 8, 1)


def test_a_peer_to_which_this_host_is_connected_by_now_is_not_banned() -> None:
    reader = Reader(HostState(own=US.own, contacts=frozenset({SCANNER})))
    (scan,) = scans(watch(Pipeline(Settings(), US, read_host=reader), refused(syn(SCANNER, *EIGHT))))
    assert (scan.verdict, scan.reason, reader.times) == ("watch", "friend", 1)


def test_segments_to_a_socket_that_is_open_by_now_count() -> None:
    reader = Reader(HostState(own=US.own, listening_tcp=frozenset(EIGHT)))
    (scan,) = scans(watch(Pipeline(Settings(), US, read_host=reader), refused(syn(SCANNER, *EIGHT))))
    assert (scan.verdict, scan.ports) == ("ban", 8)


def test_a_flood_of_forged_scanners_reads_the_host_once_in_two_seconds() -> None:
    reader = Reader()
    scanners = [turned_down(udp(f"198.18.{nth}.1", *EIGHT, at=nth * 0.1)) for nth in range(30)]
    watch(Pipeline(Settings(), US, read_host=reader), in_time(*scanners))
    assert reader.times == 2


def test_a_source_that_may_not_be_banned_is_no_reason_to_read_the_host() -> None:
    reader = Reader()
    settings = Settings(ignore=(ip_network(f"{SCANNER}/32"),))
    (scan,) = scans(watch(Pipeline(settings, US, read_host=reader), turned_down(udp(SCANNER, *EIGHT))))
    assert (scan.verdict, reader.times) == ("ignore", 0)
