"""The flow table: which of our ports it learns to be served, and how it forgets them."""

import pytest

from portsentry_py.config.settings import Served
from portsentry_py.core.host_state import HostState
from portsentry_py.core.packet import ACK, RST
from portsentry_py.core.sighting import Kind
from tests.support.build import (
    FRIEND,
    HOST,
    HOST6,
    SCANNER,
    SCANNER6,
    US,
    connect,
    micros,
    rst,
    rst_ack,
    syn,
    syn_ack,
    tcp,
    udp,
    udp_reply,
)
from tests.support.flows import NETWORK6, REFUSED_PROBE, kinds, sightings, steps, table


def test_an_answer_teaches_that_the_port_is_served() -> None:
    flows = table()
    (asked,) = syn(FRIEND, 22)
    sightings(flows, asked, syn_ack(asked))
    assert steps(flows, syn(SCANNER, 22, at=1)) == [(Kind.SERVED, SCANNER, 22)]
    assert steps(flows, syn(SCANNER6, 22, at=1)) == [(Kind.PROBE, NETWORK6, 22)], "another address of ours"


def test_a_served_port_is_served_over_the_sibling_transport() -> None:
    flows = table()
    (asked,) = syn(FRIEND, 443)
    sightings(flows, asked, syn_ack(asked))
    assert steps(flows, udp(SCANNER, 443, at=1)) == [(Kind.SERVED, SCANNER, 443)]


def test_an_outsider_cannot_teach_us_a_served_port() -> None:
    flows = table()
    forged = syn_ack(syn(HOST, 22, dst=SCANNER)[0])
    sightings(flows, forged, udp(SCANNER, 9, src_port=22))
    assert (Kind.PROBE, FRIEND, 22) in steps(flows, syn(FRIEND, 22, at=1))


@pytest.mark.parametrize("host", [HOST, HOST6])
def test_listening_sockets_and_named_ports_are_served(host: str) -> None:
    source = SCANNER if host == HOST else SCANNER6
    flows = table(HostState(own=US.own, listening_tcp=frozenset({22}), listening_udp=frozenset({53})))
    flows.served.set_named(Served(tcp=frozenset({8443})))
    assert {kind for kind, _, _ in steps(flows, connect(source, 22, 53, 8443))} == {Kind.SERVED}
    assert kinds(flows, syn(source, 23)) == [Kind.PROBE]


def test_a_reply_of_ours_over_udp_teaches_that_the_port_is_served() -> None:
    flows = table()
    (asked,) = udp(FRIEND, 5060)
    assert steps(flows, asked, udp_reply(asked)) == [(Kind.PROBE, FRIEND, 5060), (Kind.ANSWERED, FRIEND, 5060)]
    assert steps(flows, udp(SCANNER, 5060, at=1)) == [(Kind.SERVED, SCANNER, 5060)]


def test_an_open_trap_answers_and_serves_nobody() -> None:
    flows = table(HostState(own=US.own, open_traps=frozenset({23})))
    asked, other = connect(SCANNER, 23, 24)
    assert kinds(flows, asked, syn_ack(asked), rst_ack(asked)) == [Kind.PROBE, Kind.TRAPPED, Kind.PROVEN]
    assert kinds(flows, connect(FRIEND, 23, at=1)) == [Kind.PROBE]
    assert kinds(flows, udp(SCANNER, 23, at=1)) == [Kind.PROBE], "nor does it over UDP"
    assert kinds(flows, other, syn_ack(other)) == [Kind.PROBE, Kind.ANSWERED]


def test_a_refused_port_that_seemed_to_be_served_is_forgotten_and_counts() -> None:
    """Somebody else may have answered in our name, or the service has ended."""
    flows = table()
    (asked,), (again,) = syn(SCANNER, 22), syn(SCANNER, 22, at=1, src_port=40_001)
    assert kinds(flows, asked, syn_ack(asked), rst(asked, after=0.002)) == [
        Kind.PROBE,
        Kind.ANSWERED,
        Kind.PROBE,
        Kind.REFUSED,
    ]
    assert not flows.served(HOST, "tcp", 22)
    flows.served.learn(HOST, "tcp", 22, micros(1))
    assert kinds(flows, again, rst(again), rst(again, after=0.1)) == [Kind.SERVED, *REFUSED_PROBE]
    assert kinds(flows, syn(FRIEND, 22, at=2)) == [Kind.PROBE]


@pytest.mark.parametrize("by", ["a socket", "the operator"])
def test_a_refusal_by_a_port_that_is_configured_is_a_full_backlog(by: str) -> None:
    flows = table(HostState(own=US.own, listening_tcp=frozenset({22} if by == "a socket" else ())))
    flows.served.set_named(Served(tcp=frozenset({22} if by == "the operator" else ())))
    (asked,) = syn(SCANNER, 22)
    assert kinds(flows, asked, rst(asked)) == [Kind.SERVED]
    assert flows.served(HOST, "tcp", 22)


@pytest.mark.parametrize("host", [HostState(home_known=False), US])
def test_the_end_of_a_connection_contradicts_nothing(host: HostState) -> None:
    """Only sequence number 0 refuses a first packet; and without a home nobody's refusal is known to be ours."""
    flows = table(host)
    (asked,) = syn(SCANNER, 22)
    reset = tcp(HOST, SCANNER, 22, asked.src_port, RST | ACK, seq=5001 if host.home_known else 0, at=0.5)
    assert kinds(flows, asked, syn_ack(asked), reset) == [Kind.PROBE, Kind.ANSWERED]
    assert flows.served(HOST, "tcp", 22)


def test_a_server_that_refuses_what_it_had_answered_is_no_probe() -> None:
    (asked,) = connect(HOST, 443, dst=FRIEND)
    assert kinds(table(), asked, syn_ack(asked), rst(asked, after=0.1)) == [Kind.PROBE, Kind.ANSWERED]


def test_a_syn_ack_of_ours_without_a_syn_teaches_the_port() -> None:
    flows = table()
    (asked,) = connect(FRIEND, 8080)
    assert steps(flows, syn_ack(asked)) == [(Kind.SERVED, FRIEND, 8080)]
    assert not flows.expected.is_contact(FRIEND, micros(0))
    assert steps(flows, syn(SCANNER, 8080, at=1)) == [(Kind.SERVED, SCANNER, 8080)]


def test_a_syn_ack_of_an_open_trap_without_a_syn_teaches_nothing() -> None:
    flows = table(HostState(own=US.own, open_traps=frozenset({23})))
    sightings(flows, syn_ack(syn(SCANNER, 23)[0]))
    flows.set_host(US)
    assert not flows.served(HOST, "tcp", 23)
