"""The flow table: who spoke first, and how it was answered."""

import dataclasses
import struct
from collections.abc import Callable, Iterable
from ipaddress import IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.config.settings import Limits, Served
from portsentry_py.core.columns import head_of
from portsentry_py.core.flows import SETTLE_US, FlowTable
from portsentry_py.core.host_state import HostState
from portsentry_py.core.packet import (
    ACK,
    DCCP,
    FIN,
    ICMP,
    ICMPV6,
    PSH,
    RST,
    SCTP,
    SYN,
    TCP,
    UDP,
    UDPLITE,
    URG,
    Packet,
    Quoted,
)
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
    no_deadline,
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
NETWORK6 = "2001:db8:bad::/64"
NEIGHBOUR6 = "2001:db8:bad::77"
REFUSED_PROBE = [Kind.PROBE, Kind.REFUSED]
REPLAY = HostState(own=US.own, peers_known=False)


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
    assert steps(flows, syn(SCANNER6, 22, at=1)) == [(Kind.PROBE, NETWORK6, 22)], "another address of ours"


def test_a_served_port_is_served_over_the_sibling_transport() -> None:
    flows = table()
    (asked,) = syn(FRIEND, 443)
    sightings(flows, asked, syn_ack(asked))
    assert steps(flows, udp(SCANNER, 443, at=1)) == [(Kind.SERVED, SCANNER, 443)]


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
    assert kinds(flows, syn(source, 23)) == [Kind.PROBE]


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
    assert list(flows.advance(micros(100))) == [], "it is said once"


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
    assert kinds(table(), asked, syn_ack(asked, seq=0xFFFFFFFF), fin_ack(asked, ack=0))[-1] is Kind.PROVEN


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
    assert [(one.kind, one.packet.src, one.port, one.scan_type) for one in seen] == [
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


def test_an_abort_without_an_attempt_is_ignored() -> None:
    assert steps(table(), sctp(HOST, SCANNER, 2905, 40_000, 6), sctp(SCANNER, HOST, 40_000, 2905, 6)) == []


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
    answer = icmp(FRIEND, HOST, 0, at=0.01)
    assert steps(table(), asked, answer) == [(Kind.PROBE, HOST, 8), (Kind.ANSWERED, HOST, 8)]


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
    assert steps(table(), first, second, icmp_unreachable(second))[-1] == (Kind.REFUSED, NETWORK6, 162)


def test_the_latest_attempts_are_bounded() -> None:
    flows = table()
    asked = [one for nth in range(4097) for one in udp(f"2001:db8:bad::{nth + 1:x}", 161, every=0)]
    sightings(flows, asked)
    assert kinds(flows, icmp_unreachable(asked[0])) == []
    assert kinds(flows, icmp_unreachable(asked[1])) == [Kind.REFUSED]


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


# ---- proof and contacts


@pytest.mark.parametrize("received", [3, 4, 1 << 20])
def test_only_an_exact_acknowledgement_is_proof_and_one_of_more_is_a_session(received: int) -> None:
    """A blind forger hits two numbers in 2**32 with a proof, and one in 4096 with a session."""
    (asked,) = connect(FRIEND, 80)
    assert kinds(table(), asked, syn_ack(asked, seq=5000), fin_ack(asked, ack=5000 + received))[-1] is Kind.SESSION


@given(st.integers(0, (1 << 32) - 1), st.integers(0, (1 << 32) - 1))
def test_an_acknowledgement_is_proof_only_by_its_distance_from_our_number(seq: int, ack: int) -> None:
    (asked,) = connect(FRIEND, 80)
    seen = kinds(table(), asked, syn_ack(asked, seq=seq), fin_ack(asked, ack=ack))
    received = (ack - seq) % (1 << 32)
    assert (Kind.PROVEN in seen) is (received in {1, 2})
    assert (Kind.SESSION in seen) is (2 < received <= 1 << 20)


@pytest.mark.parametrize("host", [US, REPLAY])
def test_silence_completes_no_handshake(host: HostState) -> None:
    flows = table(host)
    (asked,) = connect(SCANNER, 80)
    sightings(flows, asked, syn_ack(asked))
    assert list(flows.advance(micros(60))) == []
    assert list(flows.finish()) == []


@pytest.mark.parametrize(("host", "contact"), [(REPLAY, True), (US, False)])
def test_in_a_replay_a_connection_that_lasts_ten_seconds_is_a_contact(host: HostState, contact: bool) -> None:
    """A live sensor reads the socket table instead."""
    flows = table(host)
    (asked,) = connect(FRIEND, 80)
    sightings(flows, asked, syn_ack(asked, after=0), syn_ack(asked, after=0.2))
    assert list(flows.advance(micros(10) - 1)) == []
    assert not flows.expected.is_contact(FRIEND, micros(10))
    assert list(flows.advance(micros(10))) == []
    assert flows.expected.is_contact(FRIEND, micros(10)) is contact


@pytest.mark.parametrize(
    "then",
    [
        lambda asked: syn_ack(asked, after=1),
        lambda asked: fin_ack(asked, after=5),
        lambda asked: tcp(asked.src, asked.dst, asked.src_port, asked.dest_port, RST, at=5),
        lambda asked: rst(asked, after=5),
    ],
    ids=["the SYN-ACK is sent again", "a FIN", "a reset", "a reset of ours"],
)
def test_a_connection_that_is_not_acknowledged_or_ends_soon_is_no_contact(then: Callable[[Sent], Sent]) -> None:
    flows = table(REPLAY)
    (asked,) = connect(SCANNER, 80)
    sightings(flows, asked, syn_ack(asked, after=0), then(asked))
    assert list(flows.advance(micros(60))) == []
    assert not flows.expected.is_contact(SCANNER, micros(10))


def test_the_end_of_the_input_makes_no_contact() -> None:
    flows = table(REPLAY)
    (asked,) = connect(FRIEND, 80)
    sightings(flows, asked, syn_ack(asked))
    assert list(flows.finish()) == []
    assert list(flows.advance(micros(60))) == []
    assert not flows.expected.is_contact(FRIEND, micros(10))


def test_connections_that_may_become_contacts_are_bounded() -> None:
    flows = table(REPLAY, Limits(max_flows=64))
    asked = [one for nth in range(200) for one in connect(f"198.18.0.{nth}", 80, at=nth / 10_000)]
    sightings(flows, [packet for one in asked for packet in (one, syn_ack(one, after=0.00001))])
    assert list(flows.advance(micros(15))) == []
    assert sum(flows.expected.is_contact(one.src, micros(15)) for one in asked) == 64


def test_an_answer_to_our_connection_makes_a_contact_and_its_end_prolongs_it() -> None:
    flows = table()
    (asked,) = connect(HOST, 443, dst=FRIEND)
    sightings(flows, asked)
    assert flows.expected.is_queried(FRIEND)
    sightings(flows, syn_ack(asked))
    assert flows.expected.is_contact(FRIEND, micros(600))
    sightings(flows, fin_ack(asked, after=500))
    assert flows.expected.is_contact(FRIEND, micros(1100))


def test_a_syn_ack_that_does_not_acknowledge_our_syn_answers_nothing() -> None:
    """Who forges it has not seen our SYN."""
    flows = table()
    (asked,) = connect(HOST, 443, dst=SCANNER)
    forged = tcp(SCANNER, HOST, 443, asked.src_port, SYN | ACK, ack=asked.seq + 2, at=0.01)
    assert kinds(flows, asked, forged) == [Kind.PROBE]
    assert kinds(flows, syn_ack(asked, after=0.02)) == [Kind.ANSWERED]


def test_a_call_that_is_refused_makes_no_contact() -> None:
    """Nor does an answer in the name of its receiver, by somebody who has not seen it."""
    flows = table()
    (asked,) = connect(HOST, 443, dst=SCANNER)
    forged = tcp(SCANNER, HOST, 443, asked.src_port, SYN | ACK, ack=asked.seq + 2, at=0.01)
    assert kinds(flows, asked, forged, rst(asked, after=0.02)) == REFUSED_PROBE
    assert not flows.expected.is_contact(SCANNER, micros(0))


def test_our_sequence_number_may_wrap_around_in_the_answer() -> None:
    asked = tcp(HOST, FRIEND, 50_000, 443, SYN, seq=(1 << 32) - 1)
    assert kinds(table(), asked, tcp(FRIEND, HOST, 443, 50_000, SYN | ACK, ack=0, at=0.01)) == [
        Kind.PROBE,
        Kind.ANSWERED,
    ]


@pytest.mark.parametrize("first", ["capture", "kernel"])
def test_what_an_open_trap_accepted_is_proof_in_either_order(first: str) -> None:
    flows = table(HostState(own=US.own, open_traps=frozenset({23})))
    (asked,) = connect(SCANNER, 23)
    found = sightings(flows, asked, syn_ack(asked)) if first == "capture" else []
    found += flows.accepted(SCANNER, asked.src_port, HOST, 23, micros(1))
    found += sightings(flows, asked, syn_ack(asked)) if first == "kernel" else []
    assert [one.kind for one in found] == [Kind.PROBE, Kind.TRAPPED, Kind.PROVEN]
    assert (found[-1].source, found[-1].port) == (SCANNER, 23)


@pytest.mark.parametrize("port", [50_001, 0])
def test_what_an_open_trap_accepted_without_a_probe_says_nothing(port: int) -> None:
    flows = table(HostState(own=US.own, open_traps=frozenset({23})))
    (asked,) = connect(SCANNER, 23)
    sightings(flows, asked)
    assert list(flows.accepted(SCANNER, port, HOST, 23, micros(1))) == []
    assert [one.kind for one in sightings(flows, syn_ack(asked))] == [Kind.TRAPPED]


def test_a_server_whose_answer_was_not_captured_answered_if_it_closes() -> None:
    (asked,) = connect(HOST, 443, dst=FRIEND)
    close = tcp(FRIEND, HOST, 443, asked.src_port, FIN | ACK, at=0.5)
    assert kinds(table(), asked, close, close.later(0.1)) == [Kind.PROBE, Kind.ANSWERED]


def test_a_server_that_answers_a_query_is_known_as_one() -> None:
    flows = table()
    (question,) = udp(HOST, 53, dst=FRIEND)
    assert flows.expected.server(FRIEND, micros(0)) is None
    sightings(flows, question, udp_reply(question))
    assert flows.expected.server(FRIEND, micros(0)) == "resolver"


def test_a_source_cannot_make_itself_queried_a_contact_or_a_server() -> None:
    flows = table()
    sightings(
        flows,
        [*udp(SCANNER, 40_000, src_port=53), *udp(SCANNER, 53), *connect(SCANNER, 80), *connect(HOST, 53, dst=FRIEND)],
        [tcp(SCANNER, HOST, 53, 50_000, flags, ack=1001, at=1) for flags in (SYN | ACK, FIN | ACK, RST | ACK)],
        icmp(SCANNER, HOST, 0, at=1),
    )
    assert not flows.expected.is_queried(SCANNER)
    assert not flows.expected.is_contact(SCANNER, micros(1))
    assert flows.expected.server(SCANNER, micros(1)) is None


# ---- what this host refuses


def test_a_reset_of_ours_without_a_probe_is_an_unseen_probe_of_its_receiver() -> None:
    reset = rst(syn(SCANNER, 22)[0])
    seen = sightings(table(), reset)
    assert [(one.kind, one.source, one.target, one.port, one.scan_type) for one in seen] == [
        (Kind.PROBE, SCANNER, HOST, 22, "unseen"),
        (Kind.REFUSED, SCANNER, HOST, 22, "unseen"),
    ]
    assert {one.time_us for one in seen} == {reset.time_us}


@pytest.mark.parametrize("asked", [*syn(SCANNER, 22), *udp(SCANNER, 161)])
def test_a_probe_that_comes_after_its_refusal_is_no_second_probe(asked: Sent) -> None:
    refusal = rst(asked) if asked.proto == TCP else icmp_unreachable(asked)
    flows = table()
    _, refused, recognized = sightings(flows, refusal, asked)
    assert (refused.kind, recognized.kind) == (Kind.REFUSED, Kind.REPEAT)
    assert recognized.scan_type == ("syn" if asked.proto == TCP else "udp")
    assert not list(flows.finish()), "nothing is awaited"


def test_another_probe_than_the_one_that_was_refused_is_a_second_probe() -> None:
    asked = syn(SCANNER, 22)[0]
    other = dataclasses.replace(asked, payload=asked.payload[:4] + bytes(4) + asked.payload[8:])
    assert kinds(table(), rst(asked), other) == [*REFUSED_PROBE, Kind.PROBE]


@pytest.mark.parametrize("asked", [*syn(SCANNER, 22), *udp(SCANNER, 161), *udp(SCANNER6, 161)])
@pytest.mark.parametrize("proto", [TCP, UDP, UDPLITE, DCCP, SCTP])
def test_an_unreachable_of_ours_without_a_probe_is_an_unseen_probe_of_what_it_quotes(asked: Sent, proto: int) -> None:
    error = icmp_unreachable(dataclasses.replace(asked, proto=proto, vlan=7))
    packet = error.packet._replace(quoted=Quoted(proto, asked.src, asked.dst, asked.src_port, asked.dest_port))
    flows = table()
    seen = list(flows.observe(packet._replace(vlan=7, in_iface="eth7")))
    assert [one.kind for one in seen] == REFUSED_PROBE
    assert {(one.packet.src, one.target, one.port, one.scan_type) for one in seen} == {
        (asked.src, asked.dst, asked.dest_port, "unseen")
    }
    assert {(one.packet.proto, one.packet.vlan, one.packet.in_iface) for one in seen} == {(proto, 7, "eth7")}


def test_a_refusal_that_is_repeated_says_nothing_new() -> None:
    for refusal in (rst(syn(SCANNER, 22)[0]), icmp_unreachable(udp(SCANNER, 161)[0])):
        assert kinds(table(), refusal, refusal.later(1)) == REFUSED_PROBE


def test_the_refusal_of_a_probe_that_was_seen_is_no_other_probe() -> None:
    (asked,) = syn(SCANNER, 22)
    assert kinds(table(), asked, rst(asked), rst(asked, after=1)) == REFUSED_PROBE


@pytest.mark.parametrize("host", [HostState(home_known=False), HostState(own=frozenset({FRIEND}))])
def test_a_refusal_of_a_host_that_is_not_known_to_be_ours_is_none_of_ours(host: HostState) -> None:
    flows = table(host)
    assert steps(flows, rst(syn(SCANNER, 22)[0]), icmp_unreachable(udp(SCANNER, 161)[0])) == []


@pytest.mark.parametrize(
    "refusal",
    [
        tcp(HOST, SCANNER, 22, 40_000, RST | ACK, seq=1),
        tcp(SCANNER, HOST, 22, 40_000, RST | ACK, seq=0),
        icmp_unreachable(udp(SCANNER, 161)[0], router=FRIEND),
        icmp_unreachable(udp(SCANNER, 161, dst=FRIEND)[0], router=HOST),
        icmp_unreachable(icmp(SCANNER, HOST, 13)),
        icmp_unreachable(udp(HOST, 161, dst=SCANNER)[0], router=HOST),
    ],
    ids=[
        "a connection that we end",
        "another's reset",
        "a router's error",
        "about another's address",
        "about ICMP",
        "about a packet of ours",
    ],
)
def test_another_reset_or_error_is_no_unseen_probe(refusal: Sent) -> None:
    assert steps(table(), refusal) == []


def test_an_unreachable_about_a_protocol_without_ports_is_an_unseen_probe_of_it() -> None:
    (probe, refusal) = sightings(table(), icmp_unreachable(Sent(micros(0), SCANNER, HOST, 47, b""), code=2))
    assert (probe.kind, refusal.kind) == (Kind.PROBE, Kind.REFUSED)
    assert (probe.source, probe.proto, probe.port, probe.scan_type) == (SCANNER, "ip", 47, "unseen")


def test_an_unreachable_about_the_answer_to_a_packet_of_ours_without_ports_is_no_probe() -> None:
    flows = table()
    asked = Sent(micros(0), HOST, SCANNER, 47, b"")
    assert kinds(flows, asked) == [Kind.PROBE]
    assert kinds(flows, icmp_unreachable(Sent(micros(0.1), SCANNER, HOST, 47, b""), code=2)) == []


@pytest.mark.parametrize(("kind", "unseen"), [(3, True), (11, False), (12, False)])
def test_only_an_unreachable_is_a_refusal(kind: int, unseen: bool) -> None:
    error = icmp_unreachable(udp(SCANNER, 161)[0])
    error = dataclasses.replace(error, payload=bytes([kind]) + error.payload[1:])
    assert kinds(table(), error) == (REFUSED_PROBE if unseen else [])


@pytest.mark.parametrize(("kind", "unseen"), [(1, True), (4, True), (3, False)])
def test_only_an_unreachable_of_icmpv6_is_a_refusal(kind: int, unseen: bool) -> None:
    error = icmp_unreachable(udp(SCANNER6, 161)[0]).packet
    quoted = Quoted(UDP, SCANNER6, HOST6, 40_000, 161)
    seen = [one.kind for one in table().observe(error._replace(src_port=kind, quoted=quoted))]
    assert seen == (REFUSED_PROBE if unseen else [])


def test_an_icmpv6_error_that_does_not_show_the_port_is_about_no_unseen_probe() -> None:
    assert steps(table(), icmp_unreachable(udp(SCANNER6, 161)[0])) == []


def test_a_refusal_of_a_late_answer_to_us_is_no_unseen_probe() -> None:
    flows = table()
    (asked,) = connect(HOST, 443, dst=FRIEND)
    (question,) = udp(HOST, 53, dst=FRIEND)
    sightings(flows, asked, question)
    late = Sent(micros(9), FRIEND, HOST, UDP, struct.pack("!HHHH", 53, question.src_port, 8, 0))
    reset = tcp(HOST, FRIEND, asked.src_port, 443, RST | ACK, seq=0, at=9)
    assert PROOFS.isdisjoint(kinds(flows, reset))
    assert Kind.PROBE not in kinds(flows, icmp_unreachable(late))


def test_a_refusal_of_a_udp_traceroute_is_no_unseen_probe() -> None:
    assert steps(table(), icmp_unreachable(udp(FRIEND, 33_434, src_port=50_000)[0])) == []


def test_a_refused_port_that_seemed_to_be_served_is_forgotten_and_counts() -> None:
    """Somebody else may have answered in our name, or the service has ended."""
    flows = table()
    (asked,), (again,) = syn(SCANNER, 22), syn(SCANNER, 22, at=1, src_port=40_001)
    assert kinds(flows, asked, syn_ack(asked), rst(asked, after=0.002)) == [
        Kind.PROBE,
        Kind.ANSWERED,
        Kind.PROBE,
        Kind.REFUSED,
    ]
    assert not flows.served(HOST, "tcp", 22)
    flows.served.learn(HOST, "tcp", 22, micros(1))
    assert kinds(flows, again, rst(again), rst(again, after=0.1)) == [Kind.SERVED, *REFUSED_PROBE]
    assert kinds(flows, syn(FRIEND, 22, at=2)) == [Kind.PROBE]


@pytest.mark.parametrize("by", ["a socket", "the operator"])
def test_a_refusal_by_a_port_that_is_configured_is_a_full_backlog(by: str) -> None:
    flows = table(HostState(own=US.own, listening_tcp=frozenset({22} if by == "a socket" else ())))
    flows.served.set_named(Served(tcp=frozenset({22} if by == "the operator" else ())))
    (asked,) = syn(SCANNER, 22)
    assert kinds(flows, asked, rst(asked)) == [Kind.SERVED]
    assert flows.served(HOST, "tcp", 22)


@pytest.mark.parametrize("host", [HostState(home_known=False), US])
def test_the_end_of_a_connection_contradicts_nothing(host: HostState) -> None:
    """Only sequence number 0 refuses a first packet; and without a home nobody's refusal is known to be ours."""
    flows = table(host)
    (asked,) = syn(SCANNER, 22)
    reset = tcp(HOST, SCANNER, 22, asked.src_port, RST | ACK, seq=5001 if host.home_known else 0, at=0.5)
    assert kinds(flows, asked, syn_ack(asked), reset) == [Kind.PROBE, Kind.ANSWERED]
    assert flows.served(HOST, "tcp", 22)


def test_a_server_that_refuses_what_it_had_answered_is_no_probe() -> None:
    (asked,) = connect(HOST, 443, dst=FRIEND)
    assert kinds(table(), asked, syn_ack(asked), rst(asked, after=0.1)) == [Kind.PROBE, Kind.ANSWERED]


# ---- refused replies, and late segments


def refusals(source: str, *ports: int, at: float = 0, src_port: int = 53) -> list[Sent]:
    """A datagram that looks like a reply to each port, and our ICMP error about it."""
    return [
        packet
        for sent in udp(source, *ports, src_port=src_port, at=at)
        for packet in (sent, icmp_unreachable(sent, after=0.001))
    ]


def test_refused_datagrams_that_look_like_replies_are_a_scan_from_sixteen_ports_on() -> None:
    flows = table()
    assert steps(flows, refusals(SCANNER, *range(40_000, 40_015))) == []
    seen = sightings(flows, refusals(SCANNER, 40_015, 40_016, at=1))
    assert [one.kind for one in seen] == REFUSED_PROBE * 17
    assert {one.port for one in seen} == {*range(40_000, 40_017)}
    assert {one.scan_type for one in seen} == {"udp"}


def test_datagrams_that_nobody_refuses_may_be_replies_however_many() -> None:
    assert steps(table(), udp(SCANNER, *range(40_000, 40_050), src_port=53)) == []


def test_one_question_to_an_address_is_no_licence_for_many_replies() -> None:
    flows = table()
    sightings(flows, udp(HOST, 9999, dst=SCANNER))
    question, *seen = steps(flows, refusals(SCANNER, *range(40_000, 40_050), at=1))
    assert question == (Kind.SILENT, HOST, 9999)
    assert [kind for kind, _, _ in seen] == REFUSED_PROBE * 49, "one port is that of the question"


def test_an_answer_to_us_that_comes_too_late_is_no_scan() -> None:
    flows = table()
    asked = [udp(HOST, 53, dst=SCANNER, src_port=40_000 + nth)[0] for nth in range(50)]
    late = [udp_reply(one, after=20 + nth) for nth, one in enumerate(asked)]
    seen = kinds(flows, asked, *((one, icmp_unreachable(one)) for one in late))
    assert not {Kind.REFUSED} & set(seen)


def test_over_ipv6_an_error_that_shows_no_port_is_about_the_latest_datagram_that_looks_like_a_reply() -> None:
    flows = table()
    probes = [udp(SCANNER6, port, src_port=53, at=nth)[0] for nth, port in enumerate(range(40_000, 40_020))]
    seen = steps(flows, *(packet for one in probes for packet in (one, icmp_unreachable(one))))
    assert seen == [(kind, NETWORK6, port) for port in range(40_000, 40_020) for kind in REFUSED_PROBE]
    assert kinds(flows, icmp_unreachable(probes[-1])) == [], "each datagram is refused once"
    (later,) = udp(SCANNER6, 40_020, src_port=53, at=30)
    assert kinds(flows, later, icmp_unreachable(later, router="2001:db8:f::1")) == [], "a router refuses nothing for us"


def test_refused_replies_count_for_the_network_of_an_ipv6_source() -> None:
    flows = table()
    seen = []
    for nth in range(16):
        quoted = Quoted(UDP, f"2001:db8:bad::{nth + 1:x}", HOST6, 53, 40_000 + nth)
        error = icmp_unreachable(udp(SCANNER6, 9, at=nth)[0]).packet._replace(src_port=1, quoted=quoted)
        seen += list(flows.observe(error))
    assert [one.kind for one in seen] == REFUSED_PROBE * 16
    assert {one.source for one in seen} == {NETWORK6}


def test_reflected_answers_of_several_networks_are_no_scan() -> None:
    flows = table()
    for nth, source in enumerate(("198.18.0.1", "198.19.0.1", FRIEND)):
        assert steps(flows, refusals(source, *range(40_000, 40_005), at=nth)) == []
    assert steps(flows, refusals(SCANNER, *range(40_000, 40_050), at=5)) == []


@pytest.mark.parametrize(("flags", "scan_type"), [(RST, "ack"), (RST | ACK, "unseen")])
def test_refused_segments_that_look_like_replies_are_a_scan_from_sixteen_ports_on(flags: int, scan_type: str) -> None:
    """To ports between a service's and a client's, where no connection of ours can be."""
    resets = [tcp(HOST, SCANNER, port, 443, flags, seq=0, at=port / 1e5) for port in range(1024, 1040)]
    flows = table()
    assert steps(flows, resets[:15]) == []
    seen = sightings(flows, resets[15:])
    assert [one.kind for one in seen] == REFUSED_PROBE * 16
    assert {one.scan_type for one in seen} == {scan_type}


def test_segments_of_a_few_ports_to_clients_ports_that_we_reset_are_late() -> None:
    """After a restart of this host its peers go on sending."""
    flows = table()
    for src_port in (443, 80, 8443):
        resets = [tcp(HOST, FRIEND, port, src_port, RST, at=port / 1e5) for port in range(33_000, 33_100)]
        assert steps(flows, resets) == []
    flood = [tcp(HOST, FRIEND, 33_000 + nth, 22_000 + nth, RST, at=1 + nth / 1e5) for nth in range(21)]
    assert kinds(flows, flood) == REFUSED_PROBE * 16


def test_the_ports_of_clients_are_those_of_this_host() -> None:
    flows = table(HostState(own=US.own, local_ports=range(20_000, 30_000)))
    resets = [tcp(HOST, FRIEND, port, 60_000, RST, at=port / 1e5) for port in (20_000, 29_999)]
    assert steps(flows, resets) == []
    assert kinds(flows, tcp(HOST, FRIEND, 40_000, 60_000, RST, at=2)) == REFUSED_PROBE


def test_a_segment_that_a_stranger_resets_is_nobodys_probe() -> None:
    assert steps(table(), tcp(FRIEND, SCANNER, 22, 40_000, RST)) == []


# ---- whose packets teach


def test_a_syn_ack_of_ours_without_a_syn_only_teaches_the_port() -> None:
    flows = table()
    (asked,) = connect(FRIEND, 8080)
    assert steps(flows, syn_ack(asked), fin_ack(asked)) == []
    assert not flows.expected.is_contact(FRIEND, micros(0))
    assert steps(flows, syn(SCANNER, 8080, at=1)) == [(Kind.SERVED, SCANNER, 8080)]


def test_a_syn_ack_of_an_open_trap_without_a_syn_teaches_nothing() -> None:
    flows = table(HostState(own=US.own, open_traps=frozenset({23})))
    sightings(flows, syn_ack(syn(SCANNER, 23)[0]))
    flows.set_host(US)
    assert not flows.served(HOST, "tcp", 23)


# ---- flags, fragments, and protocols with ports


@pytest.mark.parametrize("flags", [SYN | RST, SYN | FIN, SYN | RST | ACK, SYN | FIN | ACK, SYN | FIN | PSH | URG, 0xFF])
def test_syn_with_fin_or_reset_is_a_first_packet_with_odd_flags(flags: int) -> None:
    flows = table()
    asked = tcp(SCANNER, HOST, 40_000, 22, flags)
    (probe,) = sightings(flows, asked)
    assert (probe.kind, probe.scan_type) == (Kind.PROBE, "odd_flags")
    assert kinds(flows, rst(asked)) == [Kind.REFUSED]
    assert not flows.served(HOST, "tcp", 22)


@pytest.mark.parametrize("flags", [FIN | RST, FIN | RST | PSH | URG])
def test_fin_with_reset_is_a_first_packet_with_odd_flags(flags: int) -> None:
    (probe,) = sightings(table(), tcp(SCANNER, HOST, 40_000, 22, flags))
    assert (probe.kind, probe.scan_type) == (Kind.PROBE, "odd_flags")


def test_fin_with_reset_ends_a_connection_of_ours() -> None:
    flows = table()
    (asked,) = connect(HOST, 443, dst=FRIEND)
    ended = tcp(FRIEND, HOST, 443, asked.src_port, FIN | RST, at=2)
    assert kinds(flows, asked, syn_ack(asked), ended) == [Kind.PROBE, Kind.ANSWERED]


def test_fin_with_reset_and_acknowledgement_may_be_a_late_end() -> None:
    assert kinds(table(), tcp(SCANNER, HOST, 443, 40_000, FIN | RST | ACK)) == []


@pytest.mark.parametrize("asked", [*syn(SCANNER, 22), *udp(SCANNER, 161), *syn(SCANNER6, 22, flags=FIN)])
def test_a_reassembled_packet_whose_first_piece_was_the_probe_is_no_repetition(asked: Sent) -> None:
    flows = table()
    whole = asked.packet._replace(is_whole=True)
    assert kinds(flows, asked) == [Kind.PROBE]
    assert list(flows.observe(whole)) == []
    assert kinds(flows, asked.later(1)) == [Kind.SILENT, Kind.REPEAT]
    assert list(flows.observe(whole)) == []


def test_a_reassembled_packet_without_a_first_piece_is_the_probe() -> None:
    flows = table()
    whole = syn(SCANNER, 22)[0].packet._replace(is_whole=True)
    assert [one.kind for one in flows.observe(whole)] == [Kind.PROBE]
    assert [one.kind for one in flows.observe(whole._replace(seq=7))] == [Kind.REPEAT], "another segment"
    assert [one.kind for one in flows.observe(whole._replace(flags=FIN))] == [Kind.PROBE]


@pytest.mark.parametrize(("proto", "name"), [(UDPLITE, "udplite"), (DCCP, "dccp")])
def test_udp_lite_and_dccp_are_probed_by_port(proto: int, name: str) -> None:
    flows = table()
    asked = Sent(micros(0), SCANNER, HOST, proto, struct.pack("!HH", 40_000, 53) + bytes(8))
    answer = Sent(micros(0.1), HOST, SCANNER, proto, struct.pack("!HH", 53, 40_000) + bytes(8))
    (probe,) = sightings(flows, asked)
    assert (probe.kind, probe.proto, probe.scan_type, probe.port) == (Kind.PROBE, name, "ipproto", 53)
    assert kinds(flows, answer) == [Kind.ANSWERED]
    (served,) = sightings(flows, dataclasses.replace(asked.later(1), src=FRIEND))
    assert (served.kind, served.port) == (Kind.SERVED, 53)
    assert kinds(flows, syn(FRIEND, 53, at=2)) == [Kind.PROBE], "TCP has ports of its own"


@pytest.mark.parametrize("proto", [UDPLITE, DCCP, SCTP])
def test_an_icmp_error_about_a_protocol_with_ports_is_about_its_port(proto: int) -> None:
    head = struct.pack("!HHII", 40_000, 53, 0, 0) + bytes([1, 0, 0, 4])
    asked = Sent(micros(0), SCANNER, HOST, proto, head)
    assert steps(table(), asked, icmp_unreachable(asked, code=2))[-1] == (Kind.REFUSED, SCANNER, 53)


# ---- the source of an address


@pytest.mark.parametrize(
    ("address", "source"),
    [
        (SCANNER, SCANNER),
        (SCANNER6, NETWORK6),
        (NEIGHBOUR6, NETWORK6),
        (HOST6, HOST6),
        ("2001:db8:1::77", "2001:db8:1::77"),  # our own network: every address is a host
        ("2001:db8:2:3::1", "2001:db8:2:3::1"),  # a home network
        ("2001:db8:2::1", "2001:db8:2::1"),
        ("2001:db8:3::1", "2001:db8:3::/64"),
        ("fe80::1", "fe80::1"),
        ("::ffff:192.0.2.7", "::ffff:192.0.2.7"),
    ],
)
def test_an_ipv6_source_is_its_network_except_near_us(address: str, source: str) -> None:
    flows = table(HostState(own=US.own, home=(ip_network("2001:db8:2::/48"), ip_network("192.0.2.0/24"))))
    assert flows.source_of(address) == source
    assert flows.source_of(address) == source, "from the cache too"


def test_the_source_of_an_address_follows_the_host() -> None:
    flows = table()
    assert flows.source_of(NEIGHBOUR6) == NETWORK6
    flows.set_host(HostState(own=frozenset({SCANNER6})))
    assert flows.source_of(NEIGHBOUR6) == NEIGHBOUR6
    assert flows.source_of(HOST6) == "2001:db8:1::/64"


def test_two_addresses_of_a_network_are_one_source_with_flows_of_their_own() -> None:
    asked, other = (tcp(address, HOST6, 40_000, 22, SYN) for address in (SCANNER6, NEIGHBOUR6))
    assert steps(table(), asked, other, rst(other)) == [
        (Kind.PROBE, NETWORK6, 22),
        (Kind.PROBE, NETWORK6, 22),
        (Kind.REFUSED, NETWORK6, 22),
    ]


def test_a_probe_that_is_counted_is_no_flow() -> None:
    flows = table()
    for (asked,) in (syn(SCANNER, 22), udp(SCANNER6, 161), syn(SCANNER, 23, flags=0)):
        probe = flows.probe(asked.packet)
        assert (probe.kind, probe.packet, probe.direction) == (Kind.PROBE, asked.packet, "inbound")
        assert probe.source == flows.source_of(asked.src)
    assert flows.probe(udp(SCANNER6, 161)[0].packet).scan_type == "udp"
    assert list(flows.finish()) == []


# ---- any packets

addresses = st.sampled_from([SCANNER, FRIEND, HOST, "198.18.0.1", "224.0.0.1", "255.255.255.255"])
addresses6 = st.sampled_from([SCANNER6, NEIGHBOUR6, HOST6, "fe80::1", "ff02::1", "::ffff:203.0.113.9"])
numbers = st.sampled_from([TCP, UDP, ICMP, ICMPV6, SCTP, UDPLITE, DCCP, 4, 47, 255])
some_ports = st.sampled_from([0, 3, 8, 22, 53, 128, 1024, 33_434, 40_000, 65_535]) | st.integers(0, 65_535)
sequence_numbers = st.sampled_from([0, 1, 1000, 1001, (1 << 32) - 1])


@st.composite
def packets(draw: st.DrawFn) -> Packet:
    """Any packet, with small numbers so that packets meet."""
    some = draw(st.sampled_from([addresses, addresses6]))
    proto = draw(numbers)
    quoted = st.builds(Quoted, numbers, some, some | st.just(""), some_ports, some_ports)
    return Packet(
        time_us=micros(draw(st.integers(-2000, 2000)) / 10),
        src=draw(some),
        dst=draw(some),
        proto=proto,
        src_port=draw(some_ports),
        dest_port=draw(some_ports),
        flags=draw(st.integers(0, 255)),
        seq=draw(sequence_numbers),
        ack=draw(sequence_numbers),
        ttl=draw(st.sampled_from([1, 64])),
        is_whole=draw(st.booleans()),
        quoted=draw(st.none() | quoted) if proto in {ICMP, ICMPV6} else None,
    )


HOSTS = st.sampled_from([US, REPLAY, HostState(home_known=False), HostState(own=US.own, open_traps=frozenset({22}))])


@no_deadline
@given(st.lists(packets(), max_size=30), HOSTS)
def test_any_packets_leave_bounded_tables_and_no_outcome_open(some: list[Packet], host: HostState) -> None:
    limits = Limits(max_flows=64)
    flows = table(host, limits)
    seen: list[Sighting] = []
    for packet in some:
        seen += [*flows.advance(packet.time_us), *flows.observe(packet)]
        assert max(len(flows._inbound), len(flows._outbound), len(flows._pending)) <= limits.max_flows
    seen += flows.finish()
    assert not flows._pending
    assert all(one.source == flows.source_of(one.packet.src) for one in seen)
    assert {one.target for one in seen}.isdisjoint({"224.0.0.1", "255.255.255.255", "ff02::1"})


@no_deadline
@given(st.lists(packets(), max_size=30))
def test_no_packet_of_another_teaches_anything_about_this_host(some: list[Packet]) -> None:
    """Whatever others send, in their own names, speaks for them alone."""
    flows = table()
    for packet in some:
        if packet.src not in US.own:
            assert not [one for one in flows.observe(packet) if one.kind in {*PROOFS, Kind.ANSWERED, Kind.SERVED}]
    assert flows.served.learned() == []
    others = {packet.src for packet in some} | {packet.dst for packet in some}
    assert not any(flows.expected.is_queried(one) or flows.expected.is_contact(one, micros(0)) for one in others)
    assert not any(flows.expected.server(one, micros(0)) for one in others)


# ---- what we asked for over another channel


def test_an_answer_to_a_question_to_a_group_makes_no_sighting() -> None:
    flows = table()
    question = udp(HOST, 1900, dst="239.255.255.250", src_port=20_000)
    answers = [udp(source, 20_000, src_port=50_000, at=1)[0] for source in (FRIEND, SCANNER)]
    assert steps(flows, question, answers, answers) == []
    assert steps(flows, icmp_unreachable(answers[0])) == [], "the socket is closed by now"
    assert [one.target for one in flows.finish()] == []


def stream(port: int, count: int, *, at: float = 0, src_port: int = 8200) -> list[Sent]:
    """Datagrams from one port to one port of ours."""
    return [udp(SCANNER, port, src_port=src_port, at=at + nth / 50)[0] for nth in range(count)]


def test_more_than_a_few_datagrams_to_one_port_are_a_stream_and_no_probe() -> None:
    flows = table()
    seen = steps(flows, stream(12_000, 8))
    repeats = [(Kind.REPEAT, SCANNER, 12_000)] * 4
    retracted = [(Kind.EXPECTED, SCANNER, 12_000), (Kind.EXPECTED, SCANNER, 12_001)]
    assert seen == [(Kind.PROBE, SCANNER, 12_000), *repeats, *retracted]
    assert steps(flows, stream(12_001, 3, src_port=8201, at=1)) == [], "the reports beside it"
    assert kinds(flows, stream(12_002, 1, at=2)) == [Kind.PROBE]


def test_the_reports_that_came_before_their_stream_go_with_it() -> None:
    flows = table()
    assert kinds(flows, stream(12_001, 1)) == [Kind.PROBE]
    assert kinds(flows, stream(12_000, 6, at=0.1))[-2:] == [Kind.EXPECTED, Kind.EXPECTED]
    assert kinds(flows, stream(12_001, 3, at=0.5)) == [Kind.EXPECTED, Kind.EXPECTED]


def test_datagrams_that_are_refused_are_no_stream() -> None:
    flows = table()
    first, *others = stream(12_000, 12)
    assert kinds(flows, first, icmp_unreachable(first), others) == [*REFUSED_PROBE, *[Kind.REPEAT] * 11]


def test_segments_that_are_repeated_are_no_stream() -> None:
    assert kinds(table(), [syn(SCANNER, 22, at=nth / 50)[0] for nth in range(12)]) == [Kind.PROBE, *[Kind.REPEAT] * 11]


def test_the_streams_of_a_source_that_are_excused_are_bounded() -> None:
    flows = table()
    for nth in range(32):  # a stream, and the port beside it
        assert kinds(flows, stream(10_000 + 2 * nth, 6))[-1] is Kind.EXPECTED
    assert kinds(flows, stream(20_000, 12)) == [Kind.PROBE, *[Kind.REPEAT] * 11]


@pytest.mark.parametrize("answer", [rst, syn_ack, None])
def test_a_data_connection_that_we_asked_for_makes_no_sighting_whatever_becomes_of_it(
    answer: Callable[[Sent], Sent] | None,
) -> None:
    flows = table()
    (control,) = syn(HOST, 21, dst=FRIEND)
    (data,) = syn(FRIEND, 41_000, src_port=20, at=1)
    assert kinds(flows, control, syn_ack(control)) == [Kind.PROBE, Kind.ANSWERED]
    assert kinds(flows, data, data.later(0.5), *([answer(data)] if answer else [])) == []
    assert list(flows.finish()) == []


def test_a_peer_that_answers_a_socket_of_ours_three_times_is_a_contact() -> None:
    flows = table()
    (question,) = udp(HOST, 27_015, dst=FRIEND)
    for nth in range(3):
        assert not flows.expected.is_contact(FRIEND, question.time_us)
        sightings(flows, question, udp_reply(question, after=0.1 + nth))
    assert flows.expected.is_contact(FRIEND, question.time_us)


def test_datagrams_and_segments_that_may_be_reflection_are_noted() -> None:
    flows = table()
    for source in ("198.18.0.1", "198.19.0.1", "198.20.0.1", "198.21.0.1"):
        assert kinds(flows, udp(source, *range(2000, 2004), src_port=50_000, every=0.001)) == [Kind.PROBE] * 4
    assert flows.expected.reflection.is_reflector("198.18.0.1", "udp", micros(0))
    assert not flows.expected.reflection.is_reflector(SCANNER, "udp", micros(0))


def test_datagrams_to_well_known_ports_are_no_reflection() -> None:
    flows = table()
    for source in ("198.18.0.1", "198.19.0.1", "198.20.0.1", "198.21.0.1"):
        sightings(flows, udp(source, *range(1000, 1004), src_port=50_000, every=0.001))
    assert not flows.expected.reflection.is_reflector("198.18.0.1", "udp", micros(0))


def test_a_datagram_that_was_expected_after_all_is_retracted_when_its_time_is_over() -> None:
    """We answer a peer's call only after it came, from the port that it called."""
    flows = table()
    (call,) = udp(SCANNER, 20_000)
    assert kinds(flows, call, udp(HOST, 3478, dst=FRIEND, src_port=20_000, at=0.5)) == [Kind.PROBE, Kind.PROBE]
    assert [(one.kind, one.source) for one in flows.advance(micros(1.2))] == [(Kind.EXPECTED, SCANNER)]


def test_resets_of_syn_acks_that_were_lost_are_explained_by_those_that_were_seen() -> None:
    flows = table()
    strays = [tcp(FRIEND, HOST, 25_565, 2000 + nth, SYN | ACK, at=nth, ack=nth) for nth in range(2)]
    resets = [tcp(HOST, FRIEND, 2000 + nth, 25_565, RST, at=10 + nth, seq=nth) for nth in range(6)]
    assert kinds(flows, strays, resets) == REFUSED_PROBE * 2


@given(
    st.ip_addresses(v=6), st.sets(st.integers(0, 7)), st.sampled_from([(), ("2001:db8:1::/48",), ("2001:db8:1:2::3",)])
)
def test_a_text_shows_the_source_that_its_address_has(
    address: IPv6Address, zeroed: set[int], home: tuple[str, ...]
) -> None:
    number = int(address)
    for group in zeroed:
        number &= ~(0xFFFF << 16 * group)
    table = FlowTable(Limits())
    table.set_host(HostState(own=frozenset({"2001:db8:1:7::1"}), home=tuple(map(ip_network, home))))
    for text in (str(IPv6Address(number)), "2001:db8:1:2::77", "2001:db8:1:7::9", "fe80:1:1:1::5", "64:ff9b:1:1::5"):
        assert table.source_of_text(text) in {"", table.source_of(text)}


def ends(flows: FlowTable, *sent: Sent) -> list[str]:
    """Who ends a flow by each of these segments; empty where it has to be decoded."""
    found = [flows.ending(head_of(one.line)) for one in sent]
    return ["" if ending is None else "responder" if ending[1] is None else "initiator" for ending in found]


def test_the_end_of_an_answered_flow_from_outside_is_known_by_its_head() -> None:
    flows, (asked,), (other,) = table(), connect(FRIEND, 80), connect(FRIEND, 81)
    theirs, ours = fin_ack(asked), tcp(HOST, FRIEND, 80, asked.packet.src_port, FIN | ACK)
    assert ends(flows, theirs, ours) == ["", ""]
    sightings(flows, asked)
    assert ends(flows, theirs, ours) == ["", ""], "its answer was not seen, so the end tells of it"
    sightings(flows, syn_ack(asked))
    assert ends(flows, theirs, ours) == ["initiator", "responder"]
    sightings(flows, other, rst(other))
    assert ends(flows, tcp(HOST, FRIEND, 81, other.packet.src_port, FIN | ACK)) == ["responder"], "it was refused"
    assert ends(flows, tcp(HOST, FRIEND, 80, asked.packet.src_port + 1, FIN | ACK)) == [""]
    (query,) = connect(HOST, 80, dst=FRIEND)
    sightings(flows, query, syn_ack(query))
    assert ends(flows, fin_ack(query), tcp(FRIEND, HOST, 80, query.packet.src_port, FIN | ACK)) == ["", ""]


@no_deadline
@given(st.integers(0, (1 << 32) - 1), st.sampled_from([0, 1, 2, 3, 500, 1 << 20, 1 + (1 << 20), -1]), st.booleans())
def test_an_end_that_is_known_by_its_head_proves_what_a_decoded_one_does(seq: int, bytes_: int, twice: bool) -> None:
    (asked,) = connect(FRIEND, 80)
    begun, end = [asked, syn_ack(asked, seq=seq)], fin_ack(asked, ack=(seq + bytes_) % (1 << 32))
    decoded, known = table(), table()
    for flows in (decoded, known):
        sightings(flows, begun)
    for _ in range(1 + twice):
        ending = known.ending(head_of(end.line))
        assert ending is not None
        flow, acknowledged = ending
        assert acknowledged == end.packet.ack
        assert list(known.end(flow, acknowledged, end.time_us)) == list(decoded.observe(end.packet))


def test_an_answer_of_a_served_port_is_known_by_its_head() -> None:
    (first,), (second,), (query,) = connect(FRIEND, 80), connect(FRIEND, 80, at=1), connect(HOST, 80, dst=FRIEND)
    decoded, known = table(), table()
    for flows in (decoded, known):
        assert flows.accepting(head_of(syn_ack(first).line)) is None
        sightings(flows, first)
        assert flows.accepting(head_of(syn_ack(first).line)) is None, "that the port is served is news"
        sightings(flows, syn_ack(first), second, query)
        assert flows.accepting(head_of(syn_ack(query).line)) is None, "of a flow that we opened"
    for answer, is_repeated in ((syn_ack(second, seq=7), False), (syn_ack(second, seq=7, after=2), True)):
        accepting = known.accepting(head_of(answer.line))
        assert accepting is not None
        known.accept(*accepting, answer.time_us)
        assert decoded.observe(answer.packet) == ()
        one, other = (flows.ending(head_of(fin_ack(second).line)) for flows in (known, decoded))
        assert one is not None
        assert other is not None
        assert [(flow.our_seq, flow.is_repeated) for flow, _ in (one, other)] == [(7, is_repeated)] * 2
        assert known.served.learned() == decoded.served.learned()


def test_the_end_with_a_header_that_is_too_short_is_decoded() -> None:
    flows, (asked,) = table(), connect(FRIEND, 80)
    sightings(flows, asked, syn_ack(asked))
    time, src, digits, dst, proto = head_of(fin_ack(asked).line)
    assert flows.ending((time, src, digits, dst, proto)) is not None
    assert flows.ending((time, src, f"{digits[:24]}4{digits[25:]}", dst, proto)) is None


@pytest.mark.parametrize("data", ["", "zz", "0050"])
def test_a_segment_without_ports_ends_no_known_flow(data: str) -> None:
    assert table().ending(("1.0", HOST, data, FRIEND, "tcp")) is None


@no_deadline
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), max_size=40))
def test_nothing_is_due_before_it_is_said_to_be(packets: list[tuple[int, int]]) -> None:
    flows, now = table(REPLAY), 0.0
    for pause, kind in packets:
        now += pause / 7
        (asked,) = connect(FRIEND, 80 + kind, at=now)
        answers = [[], [syn_ack(asked)], [rst(asked)], [syn_ack(asked), fin_ack(asked)]][kind]
        due = flows.is_due(asked.time_us)
        assert due == bool(due)
        if flows.due_us > asked.time_us:
            assert not due
            assert list(flows.advance(asked.time_us)) == []
        sightings(flows, asked, answers)
