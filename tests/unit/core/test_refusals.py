"""Refusals: one of ours shows a probe that was not seen."""

import dataclasses
import struct

import pytest

from portsentry_py.core.host_state import HostState
from portsentry_py.core.packet import ACK, DCCP, RST, SCTP, TCP, UDP, UDPLITE, Quoted
from portsentry_py.core.sighting import Kind
from tests.support.build import (
    FRIEND,
    HOST,
    SCANNER,
    SCANNER6,
    Sent,
    connect,
    icmp_unreachable,
    micros,
    rst,
    syn,
    tcp,
    udp,
)
from tests.support.flows import PROOFS, REFUSED_PROBE, icmp, kinds, observe, sightings, steps, table


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
    seen = list(observe(flows, packet._replace(vlan=7, in_iface="eth7")))
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
