"""Which flow a packet, its answer and its quotation belong to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.core.flow import (
    ANSWERED_STATES,
    UNANSWERED_STATES,
    Flow,
    FlowState,
    key_of,
    quoted_key_of,
    reverse_key_of,
)
from portsentry_py.core.packet import ICMP, ICMPV6, TCP, UDP, Packet, Quoted
from tests.support.build import FRIEND, HOST, SCANNER, SCANNER6, rst, syn, syn_ack, udp, udp_reply

ports = st.integers(0, 65_535)


def test_an_answer_belongs_to_the_flow_of_its_probe() -> None:
    (asked,), (question,) = syn(SCANNER, 22), udp(SCANNER, 161)
    key = (TCP, SCANNER, 40_000, HOST, 22)
    assert key_of(asked.packet) == key
    assert {reverse_key_of(answer.packet) for answer in (syn_ack(asked), rst(asked))} == {key}
    assert reverse_key_of(udp_reply(question).packet) == key_of(question.packet) == (UDP, SCANNER, 40_000, HOST, 161)


@given(st.integers(0, 255), ports, ports)
def test_a_packet_and_its_reverse_have_each_others_keys(proto: int, src_port: int, dest_port: int) -> None:
    there = Packet(0, SCANNER, HOST, proto, src_port, dest_port)
    back = Packet(0, HOST, SCANNER, proto, dest_port, src_port)
    assert key_of(there) == reverse_key_of(back)
    assert key_of(back) == reverse_key_of(there)


@given(st.integers(0, 255), ports, ports)
def test_a_quoted_packet_with_ports_has_the_key_of_the_packet(proto: int, src_port: int, dest_port: int) -> None:
    quoted = Quoted(proto, SCANNER, HOST, src_port, dest_port)
    assert quoted_key_of(quoted, True) == key_of(Packet(0, SCANNER, HOST, proto, src_port, dest_port))


@pytest.mark.parametrize(
    ("quoted", "number"),
    [
        (Quoted(ICMP, SCANNER, HOST, 0x0D00, 0xABCD), 13),  # type and code stand where others have the source port
        (Quoted(ICMPV6, SCANNER6, FRIEND, 0x8000, 0xABCD), 128),
        (Quoted(47, SCANNER, HOST, 0x2000, 0x0800), 47),
        (Quoted(4, SCANNER, HOST, 0x4500, 0x0028), 4),
    ],
)
def test_a_quoted_packet_without_ports_has_its_type_or_protocol_as_a_port(quoted: Quoted, number: int) -> None:
    assert quoted_key_of(quoted, False) == (quoted.proto, quoted.src, 0, quoted.dst, number)


def test_a_flow_begins_without_an_answer() -> None:
    (asked,) = syn(SCANNER, 22)
    flow = Flow(asked.packet, "syn", "inbound")
    assert (flow.probe, flow.scan_type, flow.direction) == (asked.packet, "syn", "inbound")
    assert (flow.state, flow.our_seq, flow.answered_us) == (FlowState.PENDING, None, 0)
    assert not flow.is_repeated
    assert not flow.has_ended


def test_a_flow_is_answered_or_not_or_refused_or_expected() -> None:
    assert ANSWERED_STATES.isdisjoint(UNANSWERED_STATES)
    assert {*FlowState} - ANSWERED_STATES - UNANSWERED_STATES == {FlowState.REFUSED, FlowState.EXPECTED}
