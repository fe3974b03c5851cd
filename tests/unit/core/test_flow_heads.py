"""Heads of segments that tell enough of a flow that is known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.core.columns import head_of
from portsentry_py.core.flow_heads import FlowHeads
from portsentry_py.core.flows import FlowTable
from portsentry_py.core.host_state import HostState
from portsentry_py.core.packet import ACK, FIN
from tests.support.build import FRIEND, HOST, Sent, connect, fin_ack, no_deadline, rst, syn, syn_ack, tcp
from tests.support.flows import observe, sightings, table


def ends(flows: FlowTable, *sent: Sent) -> list[str]:
    """Who ends a flow by each of these segments; empty where it has to be decoded."""
    known, heads = FlowHeads(flows), [head_of(one.line) for one in sent]
    return [
        "server" if known.is_own_end(head) else "initiator" if known.ending(head) is not None else "" for head in heads
    ]


def test_the_end_of_an_answered_flow_from_outside_is_known_by_its_head() -> None:
    flows, (asked,), (other,) = table(), connect(FRIEND, 80), connect(FRIEND, 81)
    theirs, ours = fin_ack(asked), tcp(HOST, FRIEND, 80, asked.packet.src_port, FIN | ACK)
    assert ends(flows, theirs, ours) == ["", ""]
    sightings(flows, asked)
    assert ends(flows, theirs, ours) == ["", ""], "its answer was not seen, so the end tells of it"
    sightings(flows, syn_ack(asked))
    assert ends(flows, theirs, ours) == ["initiator", "server"]
    assert ends(flows, tcp(HOST, FRIEND, 80, asked.packet.src_port + 1, FIN | ACK)) == ["server"], "of any connection"
    sightings(flows, other, rst(other))
    assert ends(flows, fin_ack(other), tcp(HOST, FRIEND, 81, other.packet.src_port, FIN | ACK)) == ["initiator", ""]
    (query,) = connect(HOST, 80, dst=FRIEND)
    sightings(flows, query, syn_ack(query))
    assert ends(flows, fin_ack(query), tcp(FRIEND, HOST, 80, query.packet.src_port, FIN | ACK)) == ["", ""]


def test_the_end_of_a_call_from_a_served_port_is_no_servers() -> None:
    flows, (asked,), (query,) = table(), connect(FRIEND, 80), syn(HOST, 443, dst=FRIEND, src_port=80)
    sightings(flows, asked, syn_ack(asked), query)
    assert ends(flows, tcp(HOST, FRIEND, 80, 443, FIN | ACK), tcp(HOST, FRIEND, 80, 444, FIN | ACK)) == ["", "server"]


def test_an_open_trap_is_no_server() -> None:
    flows, (asked,) = table(HostState(own=frozenset({HOST}), open_traps=frozenset({80}))), connect(FRIEND, 80)
    sightings(flows, asked, syn_ack(asked))
    assert ends(flows, tcp(HOST, FRIEND, 80, asked.packet.src_port, FIN | ACK)) == [""]


@no_deadline
@given(st.integers(0, (1 << 32) - 1), st.sampled_from([0, 1, 2, 3, 500, 1 << 20, 1 + (1 << 20), -1]), st.booleans())
def test_an_end_that_is_known_by_its_head_proves_what_a_decoded_one_does(seq: int, bytes_: int, twice: bool) -> None:
    (asked,) = connect(FRIEND, 80)
    begun, end = [asked, syn_ack(asked, seq=seq)], fin_ack(asked, ack=(seq + bytes_) % (1 << 32))
    decoded, known = table(), table()
    for flows in (decoded, known):
        sightings(flows, begun)
    for _ in range(1 + twice):
        ending = FlowHeads(known).ending(head_of(end.line))
        assert ending is not None
        flow, acknowledged = ending
        assert acknowledged == end.packet.ack
        assert list(known.end(flow, acknowledged, end.time_us, end.packet.ttl)) == list(observe(decoded, end.packet))


def test_an_answer_of_a_served_port_is_known_by_its_head() -> None:
    (first,), (second,), (query,) = connect(FRIEND, 80), connect(FRIEND, 80, at=1), connect(HOST, 80, dst=FRIEND)
    decoded, known = table(), table()
    for flows in (decoded, known):
        assert FlowHeads(flows).accepting(head_of(syn_ack(first).line)) is None
        sightings(flows, first)
        assert FlowHeads(flows).accepting(head_of(syn_ack(first).line)) is None, "that the port is served is news"
        sightings(flows, syn_ack(first), second, query)
        assert FlowHeads(flows).accepting(head_of(syn_ack(query).line)) is None, "of a flow that we opened"
    for answer, is_repeated in ((syn_ack(second, seq=7), False), (syn_ack(second, seq=7, after=2), True)):
        accepting = FlowHeads(known).accepting(head_of(answer.line))
        assert accepting is not None
        known.accept(*accepting, answer.time_us)
        assert observe(decoded, answer.packet) == ()
        one, other = (FlowHeads(flows).ending(head_of(fin_ack(second).line)) for flows in (known, decoded))
        assert one is not None
        assert other is not None
        assert [(flow.our_seq, flow.is_repeated) for flow, _ in (one, other)] == [(7, is_repeated)] * 2
        assert known.served.learned() == decoded.served.learned()


def test_the_end_with_a_header_that_is_too_short_is_decoded() -> None:
    flows, (asked,) = table(), connect(FRIEND, 80)
    sightings(flows, asked, syn_ack(asked))
    time, src, digits, dst, proto = head_of(fin_ack(asked).line)
    assert FlowHeads(flows).ending((time, src, digits, dst, proto)) is not None
    assert FlowHeads(flows).ending((time, src, f"{digits[:24]}4{digits[25:]}", dst, proto)) is None


@pytest.mark.parametrize("data", ["", "zz", "0050"])
def test_a_segment_without_ports_ends_no_known_flow(data: str) -> None:
    head = ("1.0", HOST, data, FRIEND, "tcp")
    assert FlowHeads(table()).ending(head) is None
    assert not FlowHeads(table()).is_own_end(head)
