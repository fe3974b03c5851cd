"""The flow table: who spoke first, and how it was answered."""

import dataclasses
import struct
from collections.abc import Iterable
from ipaddress import ip_network

import pytest

from portsentry_py.config.settings import Limits, Served
from portsentry_py.core.flows import SETTLE_US, FlowTable
from portsentry_py.core.host_state import HostState
from portsentry_py.core.packet import ACK, FIN, ICMP, ICMPV6, PSH, RST, SCTP, SYN, UDP, Quoted
from portsentry_py.core.sighting import Kind, Sighting
from tests.support.build import (
    FRIEND,
    HOST,
    HOST6,
    SCANNER,
    SCANNER6,
    US,
    Sent,
    connect,
    fin_ack,
    icmp_unreachable,
    micros,
    rst,
    rst_ack,
    syn,
    syn_ack,
    tcp,
    udp,
    udp_reply,
)

Step = tuple[Kind, str, int]
PROOFS = {Kind.PROVEN, Kind.SESSION}


def table(host: HostState = US, limits: Limits | None = None) -> FlowTable:
    flows = FlowTable(limits or Limits())
    flows.set_host(host)
    return flows


def sightings(flows: FlowTable, *traffic: Sent | Iterable[Sent]) -> list[Sighting]:
    """All sightings of the traffic, with those of the time before each packet."""
    seen: list[Sighting] = []
    for some in traffic:
        for sent in [some] if isinstance(some, Sent) else some:
            seen += flows.advance(sent.time_us)
            seen += flows.observe(sent.packet)
    return seen


def steps(flows: FlowTable, *traffic: Sent | Iterable[Sent]) -> list[Step]:
    return [(one.kind, one.source, one.port) for one in sightings(flows, *traffic)]


def kinds(flows: FlowTable, *traffic: Sent | Iterable[Sent]) -> list[Kind]:
    return [kind for kind, _, _ in steps(flows, *traffic)]


def silent(seen: Iterable[Sighting]) -> set[int]:
    return {one.port for one in seen if one.kind is Kind.SILENT}


def test_a_clock_that_was_ahead_delays_no_outcome() -> None:
    """Attempts from the time ahead settle at once, and no other waits behind them."""
    flows = table()
    seen = sightings(flows, syn(SCANNER, 1, at=3600), syn(SCANNER, 2, 3, at=1))
    assert silent([*seen, *flows.advance(micros(5))]) == {1, 2, 3}


@pytest.mark.parametrize("step", [3600, -3600])
def test_no_outcome_is_left_at_the_end_whatever_the_clock_did(step: int) -> None:
    flows = table()
    seen = sightings(flows, syn(SCANNER, 1, at=0), syn(SCANNER, 2, at=step), syn(SCANNER, 3, at=0.5))
    assert silent([*seen, *flows.finish()]) == {1, 2, 3}


def icmp(src: str, dst: str, kind: int, *, at: float = 0) -> Sent:
    """An ICMP or ICMPv6 message without a quotation."""
    return Sent(micros(at), src, dst, ICMPV6 if ":" in src else ICMP, bytes([kind, 0, 0, 0, 0, 0, 0, 0]))


def sctp(src: str, dst: str, src_port: int, dest_port: int, chunk: int, *, at: float = 0) -> Sent:
    """An SCTP packet whose first chunk is of that type."""
    head = struct.pack("!HHII", src_port, dest_port, 0, 0)
    return Sent(micros(at), src, dst, SCTP, head + bytes([chunk, 0, 0, 4]))


def test_a_syn_to_us_is_a_probe() -> None:
    (probe,) = sightings(table(), syn(SCANNER, 22))
    assert probe.kind is Kind.PROBE
    assert (probe.source, probe.target, probe.port, probe.proto) == (SCANNER, HOST, 22, "tcp")
    assert (probe.scan_type, probe.direction, probe.home_known) == ("syn", "inbound", True)


def test_a_syn_from_us_is_outbound() -> None:
    (probe,) = sightings(table(), syn(HOST, 443, dst=FRIEND))
    assert (probe.kind, probe.source, probe.direction) == (Kind.PROBE, HOST, "outbound")


def test_a_syn_between_others_is_not_about_us() -> None:
    assert steps(table(), syn(SCANNER, 22, dst=FRIEND)) == []


def test_home_networks_count_as_us() -> None:
    flows = table(HostState(home=(ip_network("198.51.100.0/24"),)))
    assert steps(flows, syn(SCANNER, 22, dst=FRIEND)) == [(Kind.PROBE, SCANNER, 22)]
    assert steps(flows, syn(SCANNER, 22, dst=HOST)) == []


def test_without_a_home_any_target_is_home() -> None:
    (probe,) = sightings(table(HostState(home_known=False)), syn(SCANNER, 22, dst=FRIEND))
    assert (probe.direction, probe.home_known) == ("inbound", False)


@pytest.mark.parametrize("answer", [rst, icmp_unreachable])
def test_a_refusal_is_about_the_probe(answer: object) -> None:
    (asked,) = syn(SCANNER, 22)
    assert callable(answer)
    probe, refusal = sightings(table(), asked, answer(asked))
    assert (refusal.kind, refusal.source, refusal.target, refusal.port) == (Kind.REFUSED, SCANNER, HOST, 22)
    assert refusal.packet == probe.packet
    assert refusal.time_us == asked.later(0.001).time_us


def test_an_icmp_error_of_a_router_is_about_the_packet_that_it_quotes() -> None:
    (asked,) = udp(SCANNER, 161)
    assert steps(table(), asked, icmp_unreachable(asked, router="192.0.2.1")) == [
        (Kind.PROBE, SCANNER, 161),
        (Kind.REFUSED, SCANNER, 161),
    ]


def test_an_icmp_error_about_an_unknown_packet_is_ignored() -> None:
    (asked,) = udp(SCANNER, 161)
    assert steps(table(), icmp_unreachable(asked)) == []
    assert steps(table(), icmp_unreachable(udp(SCANNER6, 161)[0])) == []


@pytest.mark.parametrize("kind", [4, 5, 9, 10, 30])
def test_other_icmp_messages_are_ignored(kind: int) -> None:
    assert steps(table(), icmp(SCANNER, HOST, kind)) == []
    assert steps(table(), icmp(SCANNER6, HOST6, 130 + kind)) == []


def test_a_second_refusal_is_ignored() -> None:
    (asked,) = syn(SCANNER, 22)
    assert len(steps(table(), asked, rst(asked), rst(asked, after=0.002))) == 2


def test_silence_is_noticed_after_the_settling_time() -> None:
    flows = table()
    (asked,) = syn(SCANNER, 22)
    sightings(flows, asked)
    assert list(flows.advance(asked.time_us + SETTLE_US - 1)) == []
    (silence,) = flows.advance(asked.time_us + 60 * SETTLE_US)
    assert (silence.kind, silence.time_us) == (Kind.SILENT, asked.time_us + SETTLE_US)


def test_the_end_of_the_input_is_silence() -> None:
    flows = table()
    sightings(flows, syn(SCANNER, 22, 23))
    assert [one.kind for one in flows.finish()] == [Kind.SILENT, Kind.SILENT]
    assert list(flows.finish()) == []


def test_an_answered_attempt_is_never_silent() -> None:
    flows = table()
    (asked,) = syn(SCANNER, 22)
    assert steps(flows, asked, syn_ack(asked)) == [(Kind.PROBE, SCANNER, 22), (Kind.ANSWERED, SCANNER, 22)]
    assert list(flows.finish()) == []


def test_an_answer_teaches_that_the_port_is_served() -> None:
    flows = table()
    (asked,) = syn(FRIEND, 22)
    sightings(flows, asked, syn_ack(asked))
    assert steps(flows, syn(SCANNER, 22, at=1)) == [(Kind.SERVED, SCANNER, 22)]
    assert steps(flows, syn(SCANNER6, 22, at=1)) == [(Kind.PROBE, SCANNER6, 22)], "another address of ours"


def test_a_served_port_is_served_over_the_sibling_transport() -> None:
    flows = table()
    (asked,) = syn(FRIEND, 443)
    sightings(flows, asked, syn_ack(asked))
    assert steps(flows, udp(SCANNER, 443, at=1)) == [(Kind.SERVED, SCANNER, 443)]


def test_our_syn_ack_to_an_older_probe_teaches_the_same() -> None:
    flows = table()
    assert steps(flows, syn_ack(syn(FRIEND, 8080)[0])) == []
    assert steps(flows, syn(SCANNER, 8080, at=1)) == [(Kind.SERVED, SCANNER, 8080)]


def test_an_outsider_cannot_teach_us_a_served_port() -> None:
    flows = table()
    forged = syn_ack(syn(HOST, 22, dst=SCANNER)[0])
    sightings(flows, forged, udp(SCANNER, 9, src_port=22))
    assert (Kind.PROBE, FRIEND, 22) in steps(flows, syn(FRIEND, 22, at=1))


@pytest.mark.parametrize("host", [HOST, HOST6])
def test_listening_sockets_and_named_ports_are_served(host: str) -> None:
    source = SCANNER if host == HOST else SCANNER6
    flows = table(HostState(own=US.own, listening_tcp=frozenset({22}), listening_udp=frozenset({53})))
    flows.served.set_named(Served(tcp=frozenset({8443})))
    assert {kind for kind, _, _ in steps(flows, connect(source, 22, 53, 8443))} == {Kind.SERVED}
    assert steps(flows, syn(source, 23)) == [(Kind.PROBE, source, 23)]


@pytest.mark.parametrize("flags", [SYN | ACK, RST, RST | ACK, FIN | ACK, FIN | PSH | ACK])
def test_backscatter_and_late_ends_are_never_probes(flags: int) -> None:
    flows = table()
    packets = [tcp(SCANNER, HOST, 80, port, flags, seq=7, ack=9) for port in range(40_000, 40_050)]
    assert steps(flows, packets) == []
    assert list(flows.finish()) == []


def test_replies_to_us_are_never_probes() -> None:
    flows = table()
    (asked,) = connect(HOST, 443, dst=FRIEND)
    (question,) = udp(HOST, 53, dst=FRIEND)
    kinds = steps(flows, asked, syn_ack(asked), question, udp_reply(question), udp_reply(question, after=0.5))
    assert [(kind, source) for kind, source, _ in kinds] == [
        (Kind.PROBE, HOST),
        (Kind.ANSWERED, HOST),
        (Kind.PROBE, HOST),
        (Kind.ANSWERED, HOST),
    ]


def test_a_late_reply_of_a_service_is_never_a_probe() -> None:
    assert steps(table(), udp("198.51.100.53", *range(40_000, 40_050), src_port=53)) == []


def test_a_reply_of_ours_over_udp_teaches_that_the_port_is_served() -> None:
    flows = table()
    (asked,) = udp(FRIEND, 5060)
    assert steps(flows, asked, udp_reply(asked)) == [(Kind.PROBE, FRIEND, 5060), (Kind.ANSWERED, FRIEND, 5060)]
    assert steps(flows, udp(SCANNER, 5060, at=1)) == [(Kind.SERVED, SCANNER, 5060)]


def test_further_datagrams_of_an_answered_flow_are_ignored() -> None:
    flows = table()
    (asked,) = udp(FRIEND, 5060)
    sightings(flows, asked, udp_reply(asked))
    assert steps(flows, asked.later(2), asked.later(3)) == []


def test_a_retransmission_is_the_same_attempt() -> None:
    flows = table()
    (asked,) = syn(SCANNER, 22)
    assert steps(flows, asked, asked.later(0.5)) == [(Kind.PROBE, SCANNER, 22), (Kind.REPEAT, SCANNER, 22)]
    assert steps(flows, asked.later(30)) == [(Kind.SILENT, SCANNER, 22), (Kind.REPEAT, SCANNER, 22)]


def test_other_flags_from_the_same_port_are_another_attempt() -> None:
    (asked,) = syn(SCANNER, 22)
    (other,) = syn(SCANNER, 22, flags=FIN, at=0.1)
    assert [one.scan_type for one in sightings(table(), asked, other)] == ["syn", "fin"]


def test_a_reused_port_after_an_answer_is_a_new_attempt() -> None:
    (asked,) = syn(SCANNER, 22)
    kinds = [kind for kind, _, _ in steps(table(), asked, syn_ack(asked), rst_ack(asked), asked.later(90))]
    assert kinds == [Kind.PROBE, Kind.ANSWERED, Kind.PROVEN, Kind.SERVED]


@pytest.mark.parametrize("dst", ["224.0.0.251", "255.255.255.255", "0.0.0.0", "ff02::1"])
def test_only_unicast_can_be_probed(dst: str) -> None:
    everything = HostState(home=(ip_network("0.0.0.0/0"), ip_network("::/0")))
    source = SCANNER6 if ":" in dst else SCANNER
    assert steps(table(everything), syn(source, 22, dst=dst), udp(source, 5353, dst=dst)) == []


@pytest.mark.parametrize("close", [fin_ack, rst_ack])
@pytest.mark.parametrize("ack", [5001, 5002])
def test_a_source_that_acknowledges_our_sequence_number_is_proven(close: object, ack: int) -> None:
    flows = table()
    (asked,) = syn(SCANNER, 22)
    assert callable(close)
    *_, proof = sightings(flows, asked, syn_ack(asked, seq=5000), close(asked, ack=ack))
    assert (proof.kind, proof.source, proof.packet) == (Kind.PROVEN, SCANNER, asked.packet)
    assert list(flows.advance(micros(100))) == [], "it is steps once"


def test_a_source_that_acknowledges_more_used_the_connection() -> None:
    (asked,) = connect(FRIEND, 80)
    assert steps(table(), asked, syn_ack(asked, seq=5000), fin_ack(asked, ack=5003))[-1][0] is Kind.SESSION


def test_a_syn_ack_that_is_not_repeated_completes_a_handshake() -> None:
    """The ACK that completes it stays in the kernel; without it a stack would send its SYN-ACK again."""
    flows = table()
    (asked,) = connect(FRIEND, 80)
    answer = syn_ack(asked)
    sightings(flows, asked, answer)
    assert list(flows.advance(answer.later(2.999).time_us)) == []
    (session,) = flows.advance(answer.later(3).time_us)
    assert (session.kind, session.source, session.time_us) == (Kind.SESSION, FRIEND, answer.later(3).time_us)
    assert steps(flows, fin_ack(asked, ack=9000, after=60))[-1:] == [(Kind.SESSION, FRIEND, 80)]


def test_a_syn_ack_that_is_repeated_completes_none() -> None:
    flows = table()
    (asked,) = syn(SCANNER, 80)
    sightings(flows, asked, syn_ack(asked), syn_ack(asked, after=1))
    assert list(flows.advance(micros(60))) == []


def test_a_handshake_that_is_reset_without_proof_is_no_session() -> None:
    flows = table()
    (asked,) = syn(SCANNER, 80)
    bare = tcp(SCANNER, HOST, asked.src_port, 80, RST, seq=1001, at=0.01)
    assert [kind for kind, _, _ in steps(flows, asked, syn_ack(asked), bare)] == [Kind.PROBE, Kind.ANSWERED]
    assert list(flows.advance(micros(60))) == []


def test_a_handshake_that_we_reset_is_no_session() -> None:
    flows = table()
    (asked,) = connect(FRIEND, 80)
    sightings(flows, asked, syn_ack(asked), rst(asked, after=0.5))
    assert list(flows.advance(micros(60))) == []


def test_the_end_of_the_input_completes_no_handshake() -> None:
    flows = table()
    (asked,) = connect(FRIEND, 80)
    sightings(flows, asked, syn_ack(asked))
    assert list(flows.finish()) == []


@pytest.mark.parametrize("ack", [0, 5000, 4999, 5001 + (1 << 21)])
def test_a_wrong_acknowledgement_is_no_proof(ack: int) -> None:
    (asked,) = syn(SCANNER, 22)
    assert PROOFS.isdisjoint(kinds(table(), asked, syn_ack(asked, seq=5000), fin_ack(asked, ack=ack)))


def test_only_the_first_acknowledgement_can_be_proof() -> None:
    """A forger that guesses has only one guess."""
    (asked,) = syn(SCANNER, 22)
    guesses = [fin_ack(asked, ack=number, after=0.01) for number in (1, 5001, 5002)]
    assert PROOFS.isdisjoint(kinds(table(), asked, syn_ack(asked, seq=5000), guesses))


def test_an_acknowledgement_of_what_we_never_sent_is_no_proof() -> None:
    (asked,) = syn(SCANNER, 22)
    assert kinds(table(), asked, fin_ack(asked)) == [Kind.PROBE]
    assert kinds(table(), fin_ack(syn(SCANNER, 25)[0])) == []


def test_a_reset_without_acknowledgement_is_no_proof() -> None:
    (asked,) = syn(SCANNER, 22)
    bare = tcp(SCANNER, HOST, asked.src_port, 22, RST, seq=1001, ack=5001, at=0.01)
    assert PROOFS.isdisjoint(kinds(table(), asked, syn_ack(asked, seq=5000), bare))


def test_a_server_that_closes_what_we_opened_proves_nothing() -> None:
    (asked,) = connect(HOST, 443, dst=FRIEND)
    answer = syn_ack(asked, seq=5000)
    assert PROOFS.isdisjoint(kinds(table(), asked, answer, fin_ack(asked, ack=9000)))


def test_a_sequence_number_may_wrap_around() -> None:
    (asked,) = syn(SCANNER, 22)
    told_of = kinds(table(), asked, syn_ack(asked, seq=0xFFFFFFFF), fin_ack(asked, ack=0))
    assert told_of[-1] is Kind.PROVEN


def test_an_open_trap_answers_and_serves_nobody() -> None:
    flows = table(HostState(own=US.own, open_traps=frozenset({23})))
    asked, other = connect(SCANNER, 23, 24)
    assert kinds(flows, asked, syn_ack(asked), rst_ack(asked)) == [Kind.PROBE, Kind.TRAPPED, Kind.PROVEN]
    assert kinds(flows, connect(FRIEND, 23, at=1)) == [Kind.PROBE]
    assert kinds(flows, udp(SCANNER, 23, at=1)) == [Kind.PROBE], "nor does it over UDP"
    assert kinds(flows, other, syn_ack(other)) == [Kind.PROBE, Kind.ANSWERED]


def test_a_scanner_cannot_retract_its_probes_with_a_fin() -> None:
    (asked,) = syn(SCANNER, 22)
    assert kinds(table(), asked, fin_ack(asked)) == [Kind.PROBE]


def test_in_a_capture_of_one_direction_a_fin_means_an_answer() -> None:
    (asked,) = syn(SCANNER, 22)
    nobody = HostState(home_known=False)
    assert kinds(table(nobody), asked, fin_ack(asked)) == [Kind.PROBE, Kind.ANSWERED]
    assert kinds(table(nobody), asked, fin_ack(asked, after=5)) == [Kind.PROBE, Kind.SILENT, Kind.ANSWERED]
    assert kinds(table(nobody), asked, rst(asked), fin_ack(asked)) == [Kind.PROBE, Kind.REFUSED]


@pytest.mark.parametrize(("flags", "scan_type"), [(ACK, "ack"), (FIN | ACK, "maimon")])
@pytest.mark.parametrize("source", [SCANNER, SCANNER6])
def test_a_segment_with_ack_that_we_reset_was_a_probe(flags: int, scan_type: str, source: str) -> None:
    """Plain ACKs stay in the kernel; the RST that answers them shows them."""
    host = HOST6 if ":" in source else HOST
    stray = tcp(source, host, 40_000, 22, flags, ack=77)
    reset = tcp(host, source, 22, 40_000, RST, seq=77, at=0.001)
    seen = sightings(table(), *([stray] if flags & FIN else []), reset)
    assert [(one.kind, one.source, one.port, one.scan_type) for one in seen] == [
        (Kind.PROBE, source, 22, scan_type),
        (Kind.REFUSED, source, 22, scan_type),
    ]
    assert {one.time_us for one in seen} == {reset.time_us}


def test_a_segment_that_we_reset_keeps_interface_and_vlan() -> None:
    reset = tcp(HOST, SCANNER, 22, 40_000, RST, vlan=7)
    assert {one.packet.vlan for one in sightings(table(), reset)} == {7}


def test_a_reset_of_the_initiator_is_no_answer_of_ours() -> None:
    assert steps(table(), tcp(SCANNER, HOST, 40_000, 22, RST)) == []


def test_a_reset_of_backscatter_or_of_a_late_packet_is_no_probe() -> None:
    flows = table()
    flood = tcp(SCANNER, HOST, 80, 40_000, SYN | ACK, seq=5, ack=77)
    assert steps(flows, flood, tcp(HOST, SCANNER, 40_000, 80, RST, seq=77, at=0.001)) == []
    assert steps(flows, tcp(HOST, FRIEND, 40_001, 443, RST, seq=78, at=1)) == []


def test_a_reset_with_ack_answers_a_syn_and_no_ack_probe() -> None:
    assert steps(table(), rst(syn(SCANNER, 22)[0])) == []


@pytest.mark.parametrize(("chunk", "scan_type"), [(1, "sctp_init"), (10, "sctp_cookie")])
def test_what_opens_an_association_is_a_probe(chunk: int, scan_type: str) -> None:
    asked = sctp(SCANNER, HOST, 40_000, 2905, chunk)
    abort = sctp(HOST, SCANNER, 2905, 40_000, 6, at=0.001)
    probe, refusal = sightings(table(), asked, abort)
    assert (probe.kind, probe.proto, probe.scan_type, probe.port) == (Kind.PROBE, "sctp", scan_type, 2905)
    assert refusal.kind is Kind.REFUSED


@pytest.mark.parametrize("chunk", [2, 11])
def test_an_association_that_is_accepted_is_served(chunk: int) -> None:
    flows = table()
    asked = sctp(SCANNER, HOST, 40_000, 2905, 1)
    answer = sctp(HOST, SCANNER, 2905, 40_000, chunk, at=0.001)
    assert kinds(flows, asked, answer) == [Kind.PROBE, Kind.ANSWERED]
    assert kinds(flows, sctp(FRIEND, HOST, 40_000, 2905, 1, at=1)) == [Kind.SERVED]
    assert kinds(flows, syn(FRIEND, 2905, at=1)) == [Kind.PROBE], "TCP has ports of its own"


@pytest.mark.parametrize("chunk", [0, 3, 7, 14])
def test_chunks_of_a_running_association_are_ignored(chunk: int) -> None:
    assert steps(table(), sctp(SCANNER, HOST, 40_000, 2905, chunk)) == []


@pytest.mark.parametrize(
    ("source", "request_type", "reply"),
    [(SCANNER, 8, 0), (SCANNER, 13, 14), (SCANNER, 15, 16), (SCANNER, 17, 18), (SCANNER6, 128, 129)],
)
def test_icmp_requests_are_attempts_that_we_answer_or_not(source: str, request_type: int, reply: int) -> None:
    flows = table()
    host = HOST6 if ":" in source else HOST
    (probe,) = sightings(flows, icmp(source, host, request_type))
    assert (probe.kind, probe.scan_type, probe.port) == (Kind.PROBE, "icmp", request_type)
    assert probe.proto == ("icmpv6" if ":" in source else "icmp")
    assert kinds(flows, icmp(host, source, reply, at=0.001)) == [Kind.ANSWERED]
    other = FRIEND if host == HOST else "2001:db8:f::7"
    assert kinds(flows, icmp(other, host, request_type, at=2)) == [Kind.SERVED]


def test_an_icmp_error_refuses_the_request_that_it_quotes() -> None:
    asked = icmp(SCANNER, HOST, 13)
    assert kinds(table(), asked, icmp_unreachable(asked, code=13)) == [Kind.PROBE, Kind.REFUSED]


def test_an_echo_reply_without_a_request_is_ignored() -> None:
    assert steps(table(), icmp(SCANNER, HOST, 0), icmp(SCANNER6, HOST6, 129)) == []


def test_our_own_ping_is_outbound() -> None:
    asked = icmp(HOST, FRIEND, 8)
    told_of = steps(table(), asked, icmp(FRIEND, HOST, 0, at=0.01))
    assert told_of == [(Kind.PROBE, HOST, 8), (Kind.ANSWERED, HOST, 8)]


def test_any_other_protocol_is_an_attempt_on_its_number() -> None:
    flows = table()
    asked = Sent(micros(0), SCANNER, HOST, 47, b"")
    (probe,) = sightings(flows, asked)
    assert (probe.kind, probe.proto, probe.scan_type, probe.port) == (Kind.PROBE, "ip", "ipproto", 47)
    assert kinds(flows, icmp_unreachable(asked, code=2)) == [Kind.REFUSED]


def test_a_protocol_that_we_speak_is_served() -> None:
    flows = table()
    asked, answer = (Sent(micros(at), src, dst, 89, b"") for at, src, dst in ((0, SCANNER, HOST), (1, HOST, SCANNER)))
    assert kinds(flows, asked, answer)[-1] is Kind.ANSWERED
    assert kinds(flows, Sent(micros(5), FRIEND, HOST, 89, b"")) == [Kind.SERVED]


def test_an_icmpv6_error_is_about_the_latest_attempt_of_that_transport() -> None:
    """Tshark prints too little of it to know the quoted port."""
    (first,), (second,) = udp(SCANNER6, 161), udp(SCANNER6, 162, at=0.1)
    assert steps(table(), first, second, icmp_unreachable(second))[-1] == (Kind.REFUSED, SCANNER6, 162)


def test_an_icmpv6_error_that_shows_the_port_is_about_that_port() -> None:
    (first,), (second,) = udp(SCANNER6, 161), udp(SCANNER6, 162, at=0.1)
    error = icmp_unreachable(first, after=0.2)
    quoted = Quoted(UDP, SCANNER6, HOST6, first.src_port, 161)
    flows = table()
    sightings(flows, first, second)
    (refusal,) = flows.observe(error.packet._replace(quoted=quoted))
    assert (refusal.kind, refusal.port) == (Kind.REFUSED, 161)


def test_a_udp_traceroute_is_no_probe() -> None:
    """A traceroute probes ports from 33434 on, with few hops left."""
    way = [
        dataclasses.replace(packet, ttl=1 + nth // 3)
        for nth, packet in enumerate(udp(FRIEND, *range(33_434, 33_524), src_port=50_000))
    ]
    assert steps(table(), way) == []
    assert kinds(table(), udp(SCANNER, 33_434, src_port=50_000)) == [Kind.PROBE], "hops to spare"


@pytest.mark.parametrize(
    ("port", "reason"), [(53, "resolver"), (67, "dhcp_server"), (123, "ntp_server"), (547, "dhcp_server")]
)
def test_servers_that_answer_us_are_remembered(port: int, reason: str) -> None:
    flows = table()
    (asked,) = udp(HOST, port, dst=FRIEND)
    sightings(flows, asked)
    assert flows.server(FRIEND) is None
    sightings(flows, udp_reply(asked))
    assert flows.server(FRIEND) == reason


def test_a_source_cannot_make_itself_a_server() -> None:
    flows = table()
    sightings(flows, udp(SCANNER, 40_000, src_port=53), udp(SCANNER, 53), connect(HOST, 53, dst=SCANNER))
    asked = connect(HOST, 53, dst=FRIEND, at=1)[0]
    sightings(flows, asked, syn_ack(asked))
    assert (flows.server(SCANNER), flows.server(FRIEND)) == (None, None)


def test_awaited_answers_are_bounded() -> None:
    flows = table(limits=Limits(max_flows=64))
    asked = connect(FRIEND, *range(1, 201), every=0.0001)
    seen = sightings(flows, [packet for one in asked for packet in (one, syn_ack(one, after=0.00001))])
    assert len(seen) == 400
    assert len([one for one in flows.advance(micros(60)) if one.kind is Kind.SESSION]) == 64


def test_both_directions_are_bounded_and_count_evictions() -> None:
    flows = table(limits=Limits(max_flows=64))
    sightings(flows, syn(SCANNER, *range(1, 101)))
    assert flows.evicted == 36
    sightings(flows, syn(HOST, *range(1, 101), dst=FRIEND, at=2))
    assert flows.evicted == 72


def test_a_flood_cannot_push_out_the_flows_that_we_opened() -> None:
    flows = table(limits=Limits(max_flows=64))
    (asked,) = connect(HOST, 443, dst=FRIEND)
    sightings(flows, asked, syn(SCANNER, *range(1, 1000), at=0.1, every=0.0001))
    assert steps(flows, syn_ack(asked, after=0.5)) == [(Kind.ANSWERED, HOST, 443)]
