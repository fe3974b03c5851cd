"""The table of nmap(1): what each reply says about a port."""

import pytest

from portsentry_py.checks.scan.model import METHODS, Method, State
from portsentry_py.checks.scan.replies import Reply
from portsentry_py.checks.scan.rules import silence, state_of
from portsentry_py.core.packet import ACK, FIN, ICMP, ICMPV6, RST, SCTP, SYN, TCP, UDP

HOST, ROUTER = b"host", b"rout"


def segment(flags: int, window: int = 0) -> Reply:
    return Reply(HOST, HOST, TCP, 22, 40_000, flags, window=window)


def error(kind: int, code: int, protocol: int = ICMP, sender: bytes = HOST) -> Reply:
    return Reply(sender, HOST, protocol, 22, 40_000, kind << 8 | code)


def test_silence_means_what_the_method_cannot_tell_apart() -> None:
    assert {method for method in METHODS if silence(method) == "filtered"} == {
        *("connect", "syn", "ack", "window", "sctp-init")
    }
    assert {silence(method) for method in METHODS} == {"filtered", "open|filtered"}


@pytest.mark.parametrize(
    ("method", "flags", "window", "state"),
    [
        ("syn", SYN | ACK, 9, "open"),
        ("syn", RST | ACK, 0, "closed"),
        ("syn", SYN, 0, None),
        ("syn", FIN | ACK, 0, None),
        ("null", RST | ACK, 0, "closed"),
        ("fin", RST | ACK, 0, "closed"),
        ("xmas", RST | ACK, 0, "closed"),
        ("xmas", SYN | ACK, 0, None),
        ("maimon", RST, 0, "closed"),
        ("ack", RST, 0, "unfiltered"),
        ("ack", SYN | ACK, 0, None),
        ("window", RST, 0, "closed"),
        ("window", RST, 4096, "open"),
        ("connect", RST, 0, None),
        ("udp", RST, 0, None),
        ("sctp-init", RST, 0, None),
    ],
)
def test_a_segment(method: Method, flags: int, window: int, state: State | None) -> None:
    assert state_of(method, segment(flags, window)) == state


def test_a_datagram_means_open() -> None:
    reply = Reply(HOST, HOST, UDP, 53, 40_000)
    assert {method for method in METHODS if state_of(method, reply) == "open"} == {"udp"}


@pytest.mark.parametrize(("chunk", "state"), [(2, "open"), (6, "closed"), (1, None), (14, None)])
def test_a_chunk(chunk: int, state: State | None) -> None:
    assert state_of("sctp-init", Reply(HOST, HOST, SCTP, 22, 40_000, chunk)) == state


@pytest.mark.parametrize("method", [method for method in METHODS if method != "udp"])
def test_an_unreachable_port_is_filtered(method: Method) -> None:
    codes = [code for code in range(16) if state_of(method, error(3, code)) == "filtered"]
    assert codes == [0, 1, 2, 3, 9, 10, 13]
    assert [code for code in range(16) if state_of(method, error(1, code, ICMPV6)) == "filtered"] == [*range(7)]


@pytest.mark.parametrize(("kind", "code", "protocol"), [(3, 3, ICMP), (1, 4, ICMPV6)])
def test_a_udp_port_is_closed_if_the_host_itself_says_so(kind: int, code: int, protocol: int) -> None:
    assert state_of("udp", error(kind, code, protocol)) == "closed"
    assert state_of("udp", error(kind, code, protocol, ROUTER)) == "filtered"
    assert state_of("udp", error(kind, 1, protocol)) == "filtered"


@pytest.mark.parametrize(("kind", "protocol"), [(11, ICMP), (8, ICMP), (1, ICMP), (3, ICMPV6), (128, ICMPV6)])
def test_no_other_message_says_anything(kind: int, protocol: int) -> None:
    assert {state_of(method, error(kind, 0, protocol)) for method in METHODS} == {None}
