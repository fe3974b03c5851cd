"""The flow table: what proves that a source is no forgery."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.core.host_state import HostState
from portsentry_py.core.packet import RST
from portsentry_py.core.sighting import Kind
from tests.support.build import FRIEND, HOST, SCANNER, US, connect, fin_ack, micros, rst_ack, syn, syn_ack, tcp
from tests.support.flows import PROOFS, REPLAY, kinds, sightings, table


@pytest.mark.parametrize("close", [fin_ack, rst_ack])
@pytest.mark.parametrize("ack", [5001, 5002])
def test_a_source_that_acknowledges_our_sequence_number_is_proven(close: object, ack: int) -> None:
    flows = table()
    (asked,) = syn(SCANNER, 22)
    assert callable(close)
    *_, proof = sightings(flows, asked, syn_ack(asked, seq=5000), close(asked, ack=ack))
    assert (proof.kind, proof.source, proof.packet) == (Kind.PROVEN, SCANNER, asked.packet)
    assert list(flows.advance(micros(100))) == [], "it is said once"


@pytest.mark.parametrize("ack", [0, 5000, 4999, 5001 + (1 << 21)])
def test_a_wrong_acknowledgement_is_no_proof(ack: int) -> None:
    (asked,) = syn(SCANNER, 22)
    assert PROOFS.isdisjoint(kinds(table(), asked, syn_ack(asked, seq=5000), fin_ack(asked, ack=ack)))


def test_only_the_first_acknowledgement_can_be_proof() -> None:
    """A forger that guesses has only one guess."""
    (asked,) = syn(SCANNER, 22)
    guesses = [fin_ack(asked, ack=number, after=0.01) for number in (1, 5001, 5002)]
    assert PROOFS.isdisjoint(kinds(table(), asked, syn_ack(asked, seq=5000), guesses))


def test_an_acknowledgement_of_what_we_never_sent_is_no_proof() -> None:
    (asked,) = syn(SCANNER, 22)
    assert kinds(table(), asked, fin_ack(asked)) == [Kind.PROBE]
    assert kinds(table(), fin_ack(syn(SCANNER, 25)[0])) == []


def test_a_reset_without_acknowledgement_is_no_proof() -> None:
    (asked,) = syn(SCANNER, 22)
    bare = tcp(SCANNER, HOST, asked.src_port, 22, RST, seq=1001, ack=5001, at=0.01)
    assert PROOFS.isdisjoint(kinds(table(), asked, syn_ack(asked, seq=5000), bare))


def test_a_server_that_closes_what_we_opened_proves_nothing() -> None:
    (asked,) = connect(HOST, 443, dst=FRIEND)
    answer = syn_ack(asked, seq=5000)
    assert PROOFS.isdisjoint(kinds(table(), asked, answer, fin_ack(asked, ack=9000)))


def test_a_sequence_number_may_wrap_around() -> None:
    (asked,) = syn(SCANNER, 22)
    assert kinds(table(), asked, syn_ack(asked, seq=0xFFFFFFFF), fin_ack(asked, ack=0))[-1] is Kind.PROVEN


@pytest.mark.parametrize("received", [3, 4, 1 << 20])
def test_only_an_exact_acknowledgement_is_proof_and_one_of_more_is_a_session(received: int) -> None:
    """A blind forger hits two numbers in 2**32 with a proof, and one in 4096 with a session."""
    (asked,) = connect(FRIEND, 80)
    assert kinds(table(), asked, syn_ack(asked, seq=5000), fin_ack(asked, ack=5000 + received))[-1] is Kind.SESSION


@given(st.integers(0, (1 << 32) - 1), st.integers(0, (1 << 32) - 1))
def test_an_acknowledgement_is_proof_only_by_its_distance_from_our_number(seq: int, ack: int) -> None:
    (asked,) = connect(FRIEND, 80)
    seen = kinds(table(), asked, syn_ack(asked, seq=seq), fin_ack(asked, ack=ack))
    received = (ack - seq) % (1 << 32)
    assert (Kind.PROVEN in seen) is (received in {1, 2})
    assert (Kind.SESSION in seen) is (2 < received <= 1 << 20)


@pytest.mark.parametrize("host", [US, REPLAY])
def test_silence_completes_no_handshake(host: HostState) -> None:
    flows = table(host)
    (asked,) = connect(SCANNER, 80)
    sightings(flows, asked, syn_ack(asked))
    assert list(flows.advance(micros(60))) == []
    assert list(flows.finish()) == []


@pytest.mark.parametrize("first", ["capture", "kernel"])
def test_what_an_open_trap_accepted_is_proof_in_either_order(first: str) -> None:
    flows = table(HostState(own=US.own, open_traps=frozenset({23})))
    (asked,) = connect(SCANNER, 23)
    found = sightings(flows, asked, syn_ack(asked)) if first == "capture" else []
    found += flows.accepted(SCANNER, asked.src_port, HOST, 23, micros(1))
    found += sightings(flows, asked, syn_ack(asked)) if first == "kernel" else []
    assert [one.kind for one in found] == [Kind.PROBE, Kind.TRAPPED, Kind.PROVEN]
    assert (found[-1].source, found[-1].port) == (SCANNER, 23)


@pytest.mark.parametrize("port", [50_001, 0])
def test_what_an_open_trap_accepted_without_a_probe_says_nothing(port: int) -> None:
    flows = table(HostState(own=US.own, open_traps=frozenset({23})))
    (asked,) = connect(SCANNER, 23)
    sightings(flows, asked)
    assert list(flows.accepted(SCANNER, port, HOST, 23, micros(1))) == []
    assert [one.kind for one in sightings(flows, syn_ack(asked))] == [Kind.TRAPPED]
