"""The scan type of a packet."""

import pytest

from portsentry_py.core.packet import (
    ACK,
    CWR,
    DCCP,
    ECE,
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
)
from portsentry_py.core.probe_types import (
    STEALTH_TYPES,
    answers,
    is_icmp_request,
    looks_like_a_reply,
    proto_name,
    request_of_reply,
    resets_first_packet,
    resets_unknown,
    sctp_answers,
    sctp_refuses,
    sctp_type,
    tcp_type,
)
from tests.support.build import HOST, MSS_OPTION, SCANNER, STACK_OPTIONS, syn, tcp

LOCAL_PORTS = range(32_768, 61_000)


def packet(proto: int, src_port: int = 0, dest_port: int = 0, *, flags: int = 0, seq: int = 0, ttl: int = 64) -> Packet:
    return Packet(0, SCANNER, HOST, proto, src_port, dest_port, flags, seq, ttl=ttl)


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        (SYN, "syn"),
        (SYN | ECE | CWR, "syn"),
        (SYN | URG, "syn"),
        (0, "null"),
        (FIN, "fin"),
        (FIN | CWR, "fin"),
        (FIN | PSH | URG, "xmas"),
        (FIN | PSH | URG | ECE | CWR, "xmas"),
        (SYN | FIN, "odd_flags"),
        (SYN | FIN | PSH | URG, "odd_flags"),
        (FIN | PSH, "odd_flags"),
        (FIN | URG, "odd_flags"),
        (ECE, "odd_flags"),
        (CWR, "odd_flags"),
        (ECE | CWR, "odd_flags"),
        (PSH, "odd_flags"),
        (URG | PSH, "odd_flags"),
    ],
)
def test_flags_have_names(flags: int, name: str) -> None:
    assert tcp_type(tcp(SCANNER, HOST, 40_000, 22, flags).packet) == name


@pytest.mark.parametrize(
    ("options", "name"),
    [(b"", "syn"), (MSS_OPTION, "syn"), (MSS_OPTION + b"\1\1\4\2", "connect"), (STACK_OPTIONS, "connect")],
)
def test_a_connect_has_the_options_of_a_stack(options: bytes, name: str) -> None:
    assert tcp_type(syn(SCANNER, 22, options=options)[0].packet) == name


def test_what_no_stack_sends_is_evidence_by_itself() -> None:
    assert {"syn", "connect", "ack", "maimon", "udp"}.isdisjoint(STEALTH_TYPES)
    assert {"fin", "null", "xmas", "odd_flags"} == STEALTH_TYPES


@pytest.mark.parametrize(
    ("proto", "kind", "reply"), [(ICMP, 8, 0), (ICMP, 13, 14), (ICMP, 15, 16), (ICMP, 17, 18), (ICMPV6, 128, 129)]
)
def test_icmp_requests_and_their_replies(proto: int, kind: int, reply: int) -> None:
    assert is_icmp_request(packet(proto, kind))
    assert request_of_reply(packet(proto, reply)) == kind
    assert not is_icmp_request(packet(proto, reply))
    assert request_of_reply(packet(proto, kind)) is None


@pytest.mark.parametrize("kind", [3, 5, 9, 11, 129])
def test_other_icmp_is_neither(kind: int) -> None:
    assert not is_icmp_request(packet(ICMP, kind))
    assert request_of_reply(packet(ICMP, kind)) is None
    assert not is_icmp_request(packet(ICMPV6, 8))


@pytest.mark.parametrize(
    ("chunk", "opens", "answers", "refuses"),
    [
        (0, None, False, False),
        (1, "sctp_init", False, False),
        (2, None, True, False),
        (6, None, False, True),
        (7, None, False, False),
        (10, "sctp_cookie", False, False),
        (11, None, True, False),
    ],
)
def test_sctp_chunks(chunk: int, opens: str | None, answers: bool, refuses: bool) -> None:
    one = packet(SCTP, 1, 2, flags=chunk)
    assert (sctp_type(one), sctp_answers(one), sctp_refuses(one)) == (opens, answers, refuses)


@pytest.mark.parametrize(
    ("src_port", "dest_port", "reply"),
    [
        (53, 1024, True),
        (53, 1023, False),
        (1023, 5353, True),
        (1024, 5353, False),
        (8080, 32_768, True),
        (8080, 32_767, False),
        (40_000, 40_001, True),
        (40_001, 40_000, False),
        (40_000, 40_000, False),
        (40_000, 22, False),
        (50_000, 65_000, True),  # beyond our own clients' ports: a query may be older than their range
    ],
)
def test_from_a_services_port_to_a_clients_is_a_reply(src_port: int, dest_port: int, reply: bool) -> None:
    assert looks_like_a_reply(packet(UDP, src_port, dest_port), LOCAL_PORTS) is reply


@pytest.mark.parametrize(
    ("local_ports", "reply"),
    [(range(1024, 2000), True), (range(5060, 65_536), True), (range(5061, 65_536), False), (range(40_000), True)],
)
def test_a_clients_ports_begin_where_those_of_this_host_begin(local_ports: range, reply: bool) -> None:
    assert looks_like_a_reply(packet(UDP, 5000, 5060), local_ports) is reply


@pytest.mark.parametrize(
    ("proto", "name"),
    [
        (TCP, "tcp"),
        (UDP, "udp"),
        (UDPLITE, "udplite"),
        (DCCP, "dccp"),
        (SCTP, "sctp"),
        (ICMP, "icmp"),
        (ICMPV6, "icmpv6"),
        (47, "ip"),
        (0, "ip"),
    ],
)
def test_protocols_have_the_words_of_the_line(proto: int, name: str) -> None:
    assert proto_name(packet(proto)) == name


@pytest.mark.parametrize(("flags", "unknown"), [(RST, True), (RST | ACK, False), (RST | PSH, True), (ACK, False)])
def test_a_reset_without_ack_answers_what_belongs_to_nothing(flags: int, unknown: bool) -> None:
    assert resets_unknown(packet(TCP, flags=flags)) is unknown


@pytest.mark.parametrize(
    ("flags", "seq", "refuses"),
    [
        (RST | ACK, 0, True),
        (RST | ACK | PSH, 0, True),
        (RST | ACK, 1, False),
        (RST, 0, False),
        (ACK, 0, False),
        (SYN | ACK, 0, False),
    ],
)
def test_a_reset_with_ack_and_sequence_number_0_refuses_a_first_packet(flags: int, seq: int, refuses: bool) -> None:
    assert resets_first_packet(packet(TCP, flags=flags, seq=seq)) is refuses


@pytest.mark.parametrize(
    ("proto", "flags", "gives"),
    [
        (TCP, SYN | ACK, True),
        (TCP, RST, True),
        (TCP, RST | ACK, True),
        (TCP, SYN, False),
        (TCP, ACK, False),
        (TCP, FIN | ACK, False),
        (UDP, 0, True),
        (ICMP, 0, False),
        (UDPLITE, 0, False),
    ],
)
def test_a_scanner_has_its_answer_from_a_syn_ack_a_reset_or_a_datagram(proto: int, flags: int, gives: bool) -> None:
    assert answers(packet(proto, flags=flags)) is gives
