"""The flow table: who spoke first, and how it was answered."""

import dataclasses
from ipaddress import ip_network

import pytest

from portsentry_py.config.settings import Limits
from portsentry_py.core.flows import SETTLE_US
from portsentry_py.core.host_state import HostState
from portsentry_py.core.packet import ACK, FIN, PSH, RST, SYN
from portsentry_py.core.sighting import Kind
from tests.support.build import (
    FRIEND,
    HOST,
    SCANNER,
    SCANNER6,
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
from tests.support.flows import kinds, observe, sightings, silent, steps, table


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


def test_a_scanner_cannot_retract_its_probes_with_a_fin() -> None:
    (asked,) = syn(SCANNER, 22)
    assert kinds(table(), asked, fin_ack(asked)) == [Kind.PROBE]


def test_in_a_capture_of_one_direction_a_fin_means_an_answer() -> None:
    (asked,) = syn(SCANNER, 22)
    nobody = HostState(home_known=False)
    assert kinds(table(nobody), asked, fin_ack(asked)) == [Kind.PROBE, Kind.ANSWERED]
    assert kinds(table(nobody), asked, fin_ack(asked, after=5)) == [Kind.PROBE, Kind.SILENT, Kind.ANSWERED]
    assert kinds(table(nobody), asked, rst(asked), fin_ack(asked)) == [Kind.PROBE, Kind.REFUSED]


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


@pytest.mark.parametrize("asked", [*syn(SCANNER, 22), *udp(SCANNER, 161), *syn(SCANNER6, 22, flags=FIN)])
def test_a_reassembled_packet_whose_first_piece_was_the_probe_is_no_repetition(asked: Sent) -> None:
    flows = table()
    whole = asked.packet._replace(is_whole=True)
    assert kinds(flows, asked) == [Kind.PROBE]
    assert list(observe(flows, whole)) == []
    assert kinds(flows, asked.later(1)) == [Kind.SILENT, Kind.REPEAT]
    assert list(observe(flows, whole)) == []


def test_a_reassembled_packet_without_a_first_piece_is_the_probe() -> None:
    flows = table()
    whole = syn(SCANNER, 22)[0].packet._replace(is_whole=True)
    assert [one.kind for one in observe(flows, whole)] == [Kind.PROBE]
    assert [one.kind for one in observe(flows, whole._replace(seq=7))] == [Kind.REPEAT], "another segment"
    assert [one.kind for one in observe(flows, whole._replace(flags=FIN))] == [Kind.PROBE]


def test_a_probe_that_is_counted_is_no_flow() -> None:
    flows = table()
    for (asked,) in (syn(SCANNER, 22), udp(SCANNER6, 161), syn(SCANNER, 23, flags=0)):
        probe = flows.probe(asked.packet)
        assert (probe.kind, probe.packet, probe.direction) == (Kind.PROBE, asked.packet, "inbound")
        assert probe.source == flows.home.source_of(asked.src)
    assert flows.probe(udp(SCANNER6, 161)[0].packet).scan_type == "udp"
    assert list(flows.finish()) == []
