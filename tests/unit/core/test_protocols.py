"""What packets are to their flows: protocols other than TCP and UDP."""

import dataclasses
import struct

import pytest

from portsentry_py.core.packet import DCCP, UDPLITE
from portsentry_py.core.sighting import Kind
from tests.support.build import FRIEND, HOST, HOST6, SCANNER, SCANNER6, Sent, icmp_unreachable, micros, syn, udp
from tests.support.flows import icmp, kinds, sctp, sightings, steps, table


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


def test_the_latest_attempts_are_bounded() -> None:
    flows = table()
    asked = [one for nth in range(4097) for one in udp(f"2001:db8:bad::{nth + 1:x}", 161, every=0)]
    sightings(flows, asked)
    assert kinds(flows, icmp_unreachable(asked[0])) == []
    assert kinds(flows, icmp_unreachable(asked[1])) == [Kind.REFUSED]


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
