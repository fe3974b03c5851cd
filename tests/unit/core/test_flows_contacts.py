"""The flow table: who is a contact of this host, and who a server that it asked."""

from collections.abc import Callable

import pytest

from portsentry_py.config.settings import Limits
from portsentry_py.core.host_state import HostState
from portsentry_py.core.packet import ACK, FIN, RST, SYN
from portsentry_py.core.sighting import Kind
from tests.support.build import (
    FRIEND,
    HOST,
    SCANNER,
    US,
    Sent,
    connect,
    fin_ack,
    micros,
    rst,
    syn_ack,
    tcp,
    udp,
    udp_reply,
)
from tests.support.flows import REFUSED_PROBE, REPLAY, icmp, kinds, sightings, table


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


def test_a_peer_that_answers_a_socket_of_ours_three_times_is_a_contact() -> None:
    flows = table()
    (question,) = udp(HOST, 27_015, dst=FRIEND)
    for nth in range(3):
        assert not flows.expected.is_contact(FRIEND, question.time_us)
        sightings(flows, question, udp_reply(question, after=0.1 + nth))
    assert flows.expected.is_contact(FRIEND, question.time_us)
