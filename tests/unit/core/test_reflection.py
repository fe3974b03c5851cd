"""Which sources may be reflectors, and that floods in our name over one protocol hide no scan over another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.core.packet import ACK, SYN, TCP, UDP, Packet
from portsentry_py.core.reflection import Reflection
from tests.support.build import FRIEND, HOST, SCANNER, micros

OTHERS = ("198.18.0.1", "198.19.0.1", "198.20.0.1")
MOST_REFLECTORS = 4096


def packet(source: str, port: int = 40_000, proto: int = UDP, *, at: float = 0) -> Packet:
    return Packet(micros(at), source, HOST, proto, 53, port, ACK if proto == TCP else 0)


def noted(*ports: int, proto: int = UDP, others: tuple[str, ...] = OTHERS) -> Reflection:
    """What so many reflectors send, five packets each, and the scanner sends to these ports."""
    reflection = Reflection()
    for source in others:
        for port in range(40_000, 40_005):
            reflection.note(source, packet(source, port, proto))
    for port in ports:
        reflection.note(SCANNER, packet(SCANNER, port))
    return reflection


def is_reflector(reflection: Reflection, proto: str = "udp", *, at: float = 0) -> bool:
    return reflection.is_reflector(SCANNER, proto, micros(at))


def test_one_of_several_sources_that_send_to_clients_is_a_reflector() -> None:
    assert is_reflector(noted(*range(40_000, 40_008)))


def test_a_source_that_sent_nothing_is_no_reflector() -> None:
    assert not is_reflector(noted())


def test_answers_over_one_protocol_excuse_nothing_over_another() -> None:
    reflection = noted(*range(40_000, 40_008), proto=TCP)
    assert not is_reflector(reflection)
    assert not is_reflector(reflection, "tcp")


@pytest.mark.parametrize(("known", "excused"), [(2, True), (3, False)])
def test_a_source_that_asks_for_services_is_no_reflector(known: int, excused: bool) -> None:
    """A reflector answers to the ports that a forger chose; no client has a well-known port."""
    ports = (*range(1024, 1030), *range(1024 - known, 1024))
    assert is_reflector(noted(*ports)) is excused


def test_sources_that_ask_for_services_make_no_reflection() -> None:
    reflection = Reflection()
    for source in (*OTHERS, SCANNER):
        for port in (20, 21, *range(40_000, 40_008)):
            reflection.note(source, packet(source, port))
    assert is_reflector(reflection)
    for source in OTHERS:
        reflection.note(source, packet(source, 23))
    reflection.note(SCANNER, packet(SCANNER, 50_000))
    for _ in range(4):
        reflection.note(SCANNER, packet(SCANNER, 50_001))
    assert not is_reflector(reflection)


def flooded(*seconds: float) -> Reflection:
    """What a source sends whose service somebody floods in our name."""
    reflection = Reflection()
    for nth, at in enumerate(seconds):
        reflection.note_syn_ack(SCANNER, packet(SCANNER, 2000 + nth, TCP, at=at)._replace(flags=SYN | ACK))
    return reflection


def explained(reflection: Reflection, count: int, *, at: float = 0) -> int:
    return sum(reflection.explains_reset(SCANNER, micros(at)) for _ in range(count))


def test_as_many_resets_as_syn_acks_are_explained() -> None:
    reflection = flooded(0, 0)
    assert not reflection.explains_reset(FRIEND, micros(1))
    assert explained(reflection, 5, at=1) == 2


@pytest.mark.parametrize("sign", [1, -1])
def test_syn_acks_explain_resets_for_a_minute(sign: int) -> None:
    reflection = flooded(0)
    assert explained(reflection, 1, at=sign * 60.000_001) == 0
    assert explained(reflection, 1, at=sign * 60) == 1


def test_what_a_source_sent_is_halved_each_minute() -> None:
    assert explained(flooded(0, 0, 0, 0, 0, 0, 61), 9, at=61) == 4


def test_sources_are_bounded() -> None:
    reflection = Reflection()
    for number in range(MOST_REFLECTORS + 100):
        source = f"10.0.{number >> 8}.{number & 255}"
        reflection.note(source, packet(source))
    assert len(reflection._reflectors) == MOST_REFLECTORS


SOURCES = tuple(f"198.{18 + nth % 5}.0.{nth}" for nth in range(12))


@given(st.lists(st.tuples(st.sampled_from(SOURCES), st.sampled_from((23, 40_000)), st.integers(0, 30)), max_size=80))
def test_the_sums_are_those_of_the_sources(sent: list[tuple[str, int, int]]) -> None:
    reflection, now = Reflection(), 0
    for source, port, after in sent:
        now += after
        reflection.note(source, packet(source, port, at=now))
        one = reflection._reflectors.peek((source, "udp"))
        assert one is not None
        others = [
            other
            for _, other in reflection._reflectors.items()
            if other.is_one and other.network != one.network and micros(now) - other.last_us <= micros(60) - micros(0)
        ]
        is_explained = len({other.network for other in others}) >= 3 and (
            4 * sum(other.packets for other in others) >= one.probes
        )
        assert reflection._crowds["udp"].explains(one, micros(now)) is is_explained
