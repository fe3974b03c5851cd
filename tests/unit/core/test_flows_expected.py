"""The flow table: what this host asked for over another channel, and reflection."""

from collections.abc import Callable

import pytest

from portsentry_py.core.packet import ACK, RST, SYN
from portsentry_py.core.sighting import Kind
from tests.support.build import FRIEND, HOST, SCANNER, Sent, icmp_unreachable, micros, rst, syn, syn_ack, tcp, udp
from tests.support.flows import REFUSED_PROBE, kinds, sightings, steps, table


def test_an_answer_to_a_question_to_a_group_makes_no_sighting() -> None:
    flows = table()
    question = udp(HOST, 1900, dst="239.255.255.250", src_port=20_000)
    answers = [udp(source, 20_000, src_port=50_000, at=1)[0] for source in (FRIEND, SCANNER)]
    assert steps(flows, question, answers, answers) == []
    assert steps(flows, icmp_unreachable(answers[0])) == [], "the socket is closed by now"
    assert [one.target for one in flows.finish()] == []


def stream(port: int, count: int, *, at: float = 0, src_port: int = 8200) -> list[Sent]:
    """Datagrams from one port to one port of ours."""
    return [udp(SCANNER, port, src_port=src_port, at=at + nth / 50)[0] for nth in range(count)]


def test_more_than_a_few_datagrams_to_one_port_are_a_stream_and_no_probe() -> None:
    flows = table()
    seen = steps(flows, stream(12_000, 8))
    repeats = [(Kind.REPEAT, SCANNER, 12_000)] * 4
    retracted = [(Kind.EXPECTED, SCANNER, 12_000), (Kind.EXPECTED, SCANNER, 12_001)]
    assert seen == [(Kind.PROBE, SCANNER, 12_000), *repeats, *retracted]
    assert steps(flows, stream(12_001, 3, src_port=8201, at=1)) == [], "the reports beside it"
    assert kinds(flows, stream(12_002, 1, at=2)) == [Kind.PROBE]


def test_the_reports_that_came_before_their_stream_go_with_it() -> None:
    flows = table()
    assert kinds(flows, stream(12_001, 1)) == [Kind.PROBE]
    assert kinds(flows, stream(12_000, 6, at=0.1))[-2:] == [Kind.EXPECTED, Kind.EXPECTED]
    assert kinds(flows, stream(12_001, 3, at=0.5)) == [Kind.EXPECTED, Kind.EXPECTED]


def test_datagrams_that_are_refused_are_no_stream() -> None:
    flows = table()
    first, *others = stream(12_000, 12)
    assert kinds(flows, first, icmp_unreachable(first), others) == [*REFUSED_PROBE, *[Kind.REPEAT] * 11]


def test_segments_that_are_repeated_are_no_stream() -> None:
    assert kinds(table(), [syn(SCANNER, 22, at=nth / 50)[0] for nth in range(12)]) == [Kind.PROBE, *[Kind.REPEAT] * 11]


def test_the_streams_of_a_source_that_are_excused_are_bounded() -> None:
    flows = table()
    for nth in range(32):  # a stream, and the port beside it
        assert kinds(flows, stream(10_000 + 2 * nth, 6))[-1] is Kind.EXPECTED
    assert kinds(flows, stream(20_000, 12)) == [Kind.PROBE, *[Kind.REPEAT] * 11]


@pytest.mark.parametrize("answer", [rst, syn_ack, None])
def test_a_data_connection_that_we_asked_for_makes_no_sighting_whatever_becomes_of_it(
    answer: Callable[[Sent], Sent] | None,
) -> None:
    flows = table()
    (control,) = syn(HOST, 21, dst=FRIEND)
    (data,) = syn(FRIEND, 41_000, src_port=20, at=1)
    assert kinds(flows, control, syn_ack(control)) == [Kind.PROBE, Kind.ANSWERED]
    assert kinds(flows, data, data.later(0.5), *([answer(data)] if answer else [])) == []
    assert list(flows.finish()) == []


def test_datagrams_and_segments_that_may_be_reflection_are_noted() -> None:
    flows = table()
    for source in ("198.18.0.1", "198.19.0.1", "198.20.0.1", "198.21.0.1"):
        assert kinds(flows, udp(source, *range(2000, 2004), src_port=50_000, every=0.001)) == [Kind.PROBE] * 4
    assert flows.expected.reflection.is_reflector("198.18.0.1", "udp", micros(0))
    assert not flows.expected.reflection.is_reflector(SCANNER, "udp", micros(0))


def test_datagrams_to_well_known_ports_are_no_reflection() -> None:
    flows = table()
    for source in ("198.18.0.1", "198.19.0.1", "198.20.0.1", "198.21.0.1"):
        sightings(flows, udp(source, *range(1000, 1004), src_port=50_000, every=0.001))
    assert not flows.expected.reflection.is_reflector("198.18.0.1", "udp", micros(0))


def test_a_datagram_that_was_expected_after_all_is_retracted_when_its_time_is_over() -> None:
    """We answer a peer's call only after it came, from the port that it called."""
    flows = table()
    (call,) = udp(SCANNER, 20_000)
    assert kinds(flows, call, udp(HOST, 3478, dst=FRIEND, src_port=20_000, at=0.5)) == [Kind.PROBE, Kind.PROBE]
    assert [(one.kind, one.source) for one in flows.advance(micros(1.2))] == [(Kind.EXPECTED, SCANNER)]


def test_resets_of_syn_acks_that_were_lost_are_explained_by_those_that_were_seen() -> None:
    flows = table()
    strays = [tcp(FRIEND, HOST, 25_565, 2000 + nth, SYN | ACK, at=nth, ack=nth) for nth in range(2)]
    resets = [tcp(HOST, FRIEND, 2000 + nth, 25_565, RST, at=10 + nth, seq=nth) for nth in range(6)]
    assert kinds(flows, strays, resets) == REFUSED_PROBE * 2
