"""From packets to verdicts: what is evidence, what names a scan, and what ends it."""

import dataclasses
from ipaddress import ip_network

from portsentry_py.config.settings import Settings, Traps
from portsentry_py.core.host_state import HostState
from portsentry_py.core.packet import FIN, PSH, URG
from portsentry_py.core.pipeline import Pipeline
from tests.support.build import (
    FRIEND,
    HOST,
    HOST6,
    SCANNER,
    US,
    connect,
    connections,
    evidence,
    fin_ack,
    icmp_unreachable,
    in_time,
    micros,
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
)


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
