"""The flow table: first segments to served ports that stay in the kernel, and our answers, which tell of them."""

import dataclasses
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.config.settings import Limits
from portsentry_py.core.columns import head_of
from portsentry_py.core.flow import FlowState
from portsentry_py.core.flow_heads import FlowHeads
from portsentry_py.core.host_state import HostState
from portsentry_py.core.packet import ACK, FIN, RST, SYN, Packet
from portsentry_py.core.sighting import Kind
from tests.support.build import (
    FRIEND,
    HOST,
    HOST6,
    NO_HOME,
    SCANNER,
    SCANNER6,
    US,
    Sent,
    connect,
    fin_ack,
    micros,
    rst,
    rst_ack,
    syn,
    syn_ack,
    tcp,
)
from tests.support.flows import PROOFS, REPLAY, kinds, observe, sightings, steps, table

SERVER = HostState(own=US.own, listening_tcp=frozenset({80}))
HOPS = 57


def from_afar(*asked: Sent) -> list[Sent]:
    return [dataclasses.replace(one, ttl=HOPS) for one in asked]


@pytest.mark.parametrize("close", [fin_ack, rst_ack])
@pytest.mark.parametrize("ends", [(FRIEND, HOST), (SCANNER6, HOST6)])
def test_our_answer_begins_the_session_and_the_end_of_the_client_has_its_hops(
    close: Callable[..., Sent], ends: tuple[str, str]
) -> None:
    src, dst = ends
    (asked,), flows = from_afar(*connect(src, 80, dst=dst)), table(SERVER)
    visit, session = sightings(flows, syn_ack(asked), close(asked, ack=7000))
    assert [(one.kind, one.target, one.port, one.scan_type, one.direction) for one in (visit, session)] == [
        (kind, dst, 80, "connect", "inbound") for kind in (Kind.SERVED, Kind.SESSION)
    ]
    assert visit.time_us == syn_ack(asked).time_us
    first = asked.packet
    known = Packet(
        visit.time_us, src, dst, first.proto, first.src_port, 80, SYN, first.seq, header_bytes=first.header_bytes
    )
    assert visit.packet == known
    assert session.packet == known._replace(ttl=HOPS)


def test_a_session_without_its_first_segment_says_what_one_with_it_says() -> None:
    (asked,) = from_afar(*connect(FRIEND, 80))
    (_, whole), (_, unseen) = (
        sightings(table(SERVER), *first, syn_ack(asked), fin_ack(asked)) for first in ([asked], [])
    )
    for one in (whole, unseen):
        assert (one.kind, one.packet.ttl, one.packet.header_bytes) == (Kind.PROVEN, HOPS, 40)
    assert unseen._replace(packet=whole.packet) == whole


@given(st.sampled_from([FIN | ACK, RST | ACK, RST]), st.integers(0, (1 << 32) - 1), st.integers(0, 255))
def test_nothing_is_proof_of_a_stack_whose_hops_are_not_known(flags: int, ack: int, ttl: int) -> None:
    (asked,), flows = connect(FRIEND, 80), table(SERVER)
    end = tcp(FRIEND, HOST, asked.src_port, 80, flags, ack=ack, at=0.5, ttl=ttl)
    found = sightings(flows, syn_ack(asked), end, fin_ack(asked, after=0.6))
    proofs = [one.packet.ttl for one in found if one.kind in PROOFS]
    assert 0 not in proofs
    assert proofs == ([ttl] if ttl and flags & ACK and 0 < (ack - 5000) % (1 << 32) <= 1 << 20 else [])


def test_an_end_by_its_head_has_the_hops_that_a_decoded_one_has() -> None:
    (asked,) = connect(FRIEND, 80)
    decoded, known = table(SERVER), table(SERVER)
    for flows in (decoded, known):
        sightings(flows, syn_ack(asked))
    end = fin_ack(asked)
    ending = FlowHeads(known).ending(head_of(end.line))
    assert ending is not None
    assert known.end(*ending, end.time_us, HOPS) == observe(decoded, end.packet._replace(ttl=HOPS))


def test_an_answer_that_is_sent_again_is_no_other_visit() -> None:
    (asked,) = connect(FRIEND, 80)
    flows = table(REPLAY)
    answers = [syn_ack(asked), syn_ack(asked, after=1.1), syn_ack(asked, seq=9000, after=3)]
    assert kinds(flows, *answers) == [Kind.SERVED]
    assert kinds(flows, fin_ack(asked, ack=9001, after=4)) == [Kind.PROVEN], "of a cookie that is counted by the minute"
    assert not flows.expected.is_contact(FRIEND, micros(12)), "it was not acknowledged in time"


def test_a_client_may_use_its_port_again() -> None:
    flows = table(SERVER)
    first, second = connect(FRIEND, 80)[0], syn(FRIEND, 80, src_port=50_000, at=1)[0]
    second = dataclasses.replace(second, payload=second.payload[:4] + (7).to_bytes(4, "big") + second.payload[8:])
    answers = [syn_ack(first, seq=5000), syn_ack(second, seq=6000)]
    assert kinds(flows, first, answers[0], fin_ack(first)) == [Kind.SERVED, Kind.PROVEN]
    assert FlowHeads(flows).accepting(head_of(answers[1].line)) is None, "it has to be decoded"
    assert kinds(flows, answers[1], fin_ack(second, ack=6001)) == [Kind.SERVED, Kind.PROVEN]


def test_a_client_that_was_refused_may_use_its_port_again() -> None:
    """A service that starts again refuses at first; the end of the session that follows has a whole stack."""
    flows = table(SERVER)
    first, second = (from_afar(*connect(FRIEND, 80, at=at))[0] for at in (0.0, 3.0))
    assert kinds(flows, rst(first)) == [Kind.SERVED]
    assert FlowHeads(flows).accepting(head_of(syn_ack(second).line)) is None, "it has to be decoded"
    visit, session = sightings(flows, syn_ack(second), fin_ack(second, ack=7000))
    assert [(one.kind, one.scan_type) for one in (visit, session)] == [
        (Kind.SERVED, "connect"),
        (Kind.SESSION, "connect"),
    ]
    assert (session.packet.ttl, session.packet.header_bytes) == (HOPS, 40)


def test_a_first_segment_that_is_captured_behind_our_answer_is_the_same_visit() -> None:
    (asked,) = syn(SCANNER, 80)
    flows = table(SERVER)
    assert kinds(flows, syn_ack(asked), asked) == [Kind.SERVED]
    (proof,) = sightings(flows, fin_ack(asked))
    assert proof.packet == asked.packet
    assert kinds(flows, connect(SCANNER, 80)[0]) == [Kind.SERVED], "from another port"


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        (NO_HOME, syn_ack(connect(FRIEND, 80)[0])),
        (SERVER, syn_ack(connect(HOST, 80, dst=FRIEND)[0])),
        (SERVER, syn_ack(connect(SCANNER, 80, dst=FRIEND)[0])),
        (SERVER, syn_ack(connect(HOST, 80, dst=HOST)[0])),
        (HostState(own=US.own, open_traps=frozenset({80})), syn_ack(connect(FRIEND, 80)[0])),
    ],
    ids=["of a host that may be anybody's", "to us", "between others", "to ourselves", "of an open trap"],
)
def test_another_answer_without_a_first_segment_is_no_visit(host: HostState, answer: Sent) -> None:
    assert steps(table(host), answer) == []


def test_an_answer_to_one_that_we_call_at_the_same_time_is_no_visit() -> None:
    (call,) = syn(HOST, 443, dst=FRIEND, src_port=80)
    answer = tcp(HOST, FRIEND, 80, 443, SYN | ACK, at=0.1)
    assert kinds(table(SERVER), call, answer) == [Kind.PROBE]


def test_a_service_that_has_stopped_is_evidence_again_by_its_refusals() -> None:
    flows = table(SERVER)
    sightings(flows, syn_ack(connect(FRIEND, 80)[0]))
    asked = connect(SCANNER, 80, at=1)[0]
    assert kinds(flows, rst(asked)) == [Kind.SERVED], "a full backlog, or a rule of the firewall"
    flows.set_host(US)
    assert kinds(flows, rst(connect(SCANNER6, 80, dst=HOST6, at=2)[0])) == [Kind.PROBE, Kind.REFUSED]
    other = connect("198.51.100.200", 80, at=3)[0]
    assert kinds(flows, rst(other)) == [Kind.PROBE, Kind.REFUSED]
    assert not flows.served(HOST, "tcp", 80)


def test_a_session_that_nobody_saw_begin_is_bounded_as_others_are() -> None:
    flows = table(SERVER, Limits(max_flows=8))
    for nth in range(20):
        sightings(flows, syn_ack(connect(f"198.18.0.{nth + 1}", 80)[0]))
    assert (len(flows.inbound), flows.evicted) == (8, 12)
    assert {flow.state for flow in flows.inbound.values} == {FlowState.SERVED}
