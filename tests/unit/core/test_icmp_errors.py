"""What an ICMP error is about."""

import dataclasses
import struct

import pytest

from portsentry_py.core.packet import DCCP, SCTP, UDP, UDPLITE, Quoted
from portsentry_py.core.sighting import Kind
from tests.support.build import HOST, HOST6, SCANNER, SCANNER6, Sent, icmp_unreachable, micros, udp
from tests.support.flows import NETWORK6, REFUSED_PROBE, icmp, kinds, observe, sightings, steps, table


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


def test_over_ipv6_an_error_that_shows_no_port_is_about_the_latest_datagram_that_looks_like_a_reply() -> None:
    flows = table()
    probes = [udp(SCANNER6, port, src_port=53, at=nth)[0] for nth, port in enumerate(range(40_000, 40_020))]
    seen = steps(flows, *(packet for one in probes for packet in (one, icmp_unreachable(one))))
    assert seen == [(kind, NETWORK6, port) for port in range(40_000, 40_020) for kind in REFUSED_PROBE]
    assert kinds(flows, icmp_unreachable(probes[-1])) == [], "each datagram is refused once"
    (later,) = udp(SCANNER6, 40_020, src_port=53, at=30)
    assert kinds(flows, later, icmp_unreachable(later, router="2001:db8:f::1")) == [], "a router refuses nothing for us"


def test_an_icmp_error_refuses_the_request_that_it_quotes() -> None:
    asked = icmp(SCANNER, HOST, 13)
    assert kinds(table(), asked, icmp_unreachable(asked, code=13)) == [Kind.PROBE, Kind.REFUSED]


def test_an_icmpv6_error_is_about_the_latest_attempt_of_that_transport() -> None:
    """Tshark prints too little of it to know the quoted port."""
    (first,), (second,) = udp(SCANNER6, 161), udp(SCANNER6, 162, at=0.1)
    assert steps(table(), first, second, icmp_unreachable(second))[-1] == (Kind.REFUSED, NETWORK6, 162)


def test_an_icmpv6_error_that_shows_the_port_is_about_that_port() -> None:
    (first,), (second,) = udp(SCANNER6, 161), udp(SCANNER6, 162, at=0.1)
    error = icmp_unreachable(first, after=0.2)
    quoted = Quoted(UDP, SCANNER6, HOST6, first.src_port, 161)
    flows = table()
    sightings(flows, first, second)
    (refusal,) = observe(flows, error.packet._replace(quoted=quoted))
    assert (refusal.kind, refusal.port) == (Kind.REFUSED, 161)


@pytest.mark.parametrize("proto", [UDPLITE, DCCP, SCTP])
def test_an_icmp_error_about_a_protocol_with_ports_is_about_its_port(proto: int) -> None:
    head = struct.pack("!HHII", 40_000, 53, 0, 0) + bytes([1, 0, 0, 4])
    asked = Sent(micros(0), SCANNER, HOST, proto, head)
    assert steps(table(), asked, icmp_unreachable(asked, code=2))[-1] == (Kind.REFUSED, SCANNER, 53)


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
    seen = [one.kind for one in observe(table(), error._replace(src_port=kind, quoted=quoted))]
    assert seen == (REFUSED_PROBE if unseen else [])


def test_an_icmpv6_error_that_does_not_show_the_port_is_about_no_unseen_probe() -> None:
    assert steps(table(), icmp_unreachable(udp(SCANNER6, 161)[0])) == []
