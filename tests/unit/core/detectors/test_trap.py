"""Trap: a trap port was touched."""

import dataclasses

import pytest

from portsentry_py.config.settings import Detectors, PortScan, Served, Settings, Traps
from portsentry_py.core.host_state import HostState
from portsentry_py.core.packet import SYN
from portsentry_py.core.pipeline import Pipeline
from tests.support.build import (
    HOST,
    SCANNER,
    STACK_OPTIONS,
    US,
    connect,
    fin_ack,
    icmp_unreachable,
    in_time,
    refused,
    rst,
    rst_ack,
    scans,
    strict,
    syn,
    syn_ack,
    tcp,
    traps,
    udp,
    watch,
    watch_as,
)

TRAP = 23
OTHER_TRAP = 11


def test_one_touch_is_watched() -> None:
    (touch,) = traps(watch(strict(), syn(SCANNER, TRAP)))
    assert (touch.verdict, touch.reason, touch.technique) == ("watch", "decoy_port", "trap")
    assert (touch.src_ip, touch.dest_ip, touch.dest_port, touch.proto) == (SCANNER, HOST, TRAP, "tcp")


@pytest.mark.parametrize("second", [TRAP, OTHER_TRAP])
def test_a_second_touch_is_a_ban(second: int) -> None:
    touches = refused(syn(SCANNER, TRAP), syn(SCANNER, second, src_port=40_001, at=5))
    assert [touch.verdict for touch in traps(watch(strict(), touches))] == ["watch", "ban"]


def test_the_first_touch_is_a_ban_where_the_operator_says_so() -> None:
    settings = strict(traps=Traps(tcp=frozenset({TRAP}), ban_on="first"))
    assert [touch.verdict for touch in traps(watch(settings, syn(SCANNER, TRAP)))] == ["ban"]


def test_every_touch_until_the_ban_has_a_line() -> None:
    settings = strict(traps=Traps(tcp=frozenset({1, 2, 3, 4, 5})))
    touches = traps(watch(settings, syn(SCANNER, 1, 2, 3, 4, 5, every=5)))
    assert [(touch.dest_port, touch.verdict, touch.touches) for touch in touches] == [(1, "watch", 1), (2, "ban", 2)]


def test_further_touches_are_reported_once_a_minute() -> None:
    settings = strict(traps=Traps(tcp=frozenset(range(1, 10))))
    touches = traps(watch(settings, syn(SCANNER, *range(1, 10), every=15)))
    assert [(touch.state, touch.touches) for touch in touches] == [("new", 1), ("changed", 2), ("ongoing", 6)]
    assert {touch.verdict for touch in touches[1:]} == {"ban"}


def test_touches_that_this_host_still_refuses_after_the_ban_are_reported_more_and_more_rarely() -> None:
    settings = strict(traps=Traps(tcp=frozenset(range(1, 13))))
    touches = traps(watch(settings, refused(syn(SCANNER, *range(1, 13), every=5))))
    answered = [(touch.touches, touch.verdict) for touch in touches if touch.state == "answered"]
    assert answered == [(2, "ban"), (4, "ban"), (8, "ban")]
    assert len(touches) == 2 + len(answered)


def test_the_first_touch_of_a_verified_source_is_a_ban() -> None:
    """It scanned before and acknowledged the answer of a served port, so its address is not forged."""
    asked, closed = connect(SCANNER, 80, 81)
    session = in_time([closed, rst(closed)], [asked, syn_ack(asked), rst_ack(asked, after=0.5)])
    (touch,) = traps(watch(strict(), session, connect(SCANNER, TRAP, at=1)))
    assert (touch.source_verified, touch.verdict) == (True, "ban")


def test_a_proof_of_other_packets_makes_no_first_touch_a_ban() -> None:
    asked, closed = connect(SCANNER, 80, 81)
    session = in_time([closed, rst(closed)], [asked, syn_ack(asked), rst_ack(asked, after=0.5)])
    forged = [dataclasses.replace(packet, ttl=50) for packet in connect(SCANNER, TRAP, 82, 83, at=1)]
    (touch,) = traps(watch(strict(), session, forged))
    assert (touch.source_verified, touch.verdict) == (False, "watch")


OPEN = HostState(own=US.own, open_traps=frozenset({TRAP, OTHER_TRAP}))


def test_the_answer_of_an_open_trap_is_no_service() -> None:
    (asked,) = connect(SCANNER, TRAP)
    (touch,) = traps(watch_as(OPEN, asked, syn_ack(asked), settings=strict()))
    assert (touch.verdict, touch.touches, touch.source_verified, touch.open) == ("watch", 1, False, 0)


@pytest.mark.parametrize("ack", [5001, 5002])
def test_a_source_that_acknowledges_an_open_trap_is_banned_at_the_first_touch(ack: int) -> None:
    """It completed the handshake, and perhaps saw the trap close: the address is its own."""
    (asked,) = connect(SCANNER, TRAP)
    touches = traps(watch_as(OPEN, asked, syn_ack(asked), fin_ack(asked, ack=ack), settings=strict()))
    assert [(touch.verdict, touch.source_verified, touch.touches) for touch in touches] == [
        ("watch", False, 1),
        ("ban", True, 1),
    ]


@pytest.mark.parametrize("ack", [5000, 5060, 1])
def test_an_acknowledgement_that_a_blind_forger_may_hit_bans_nobody(ack: int) -> None:
    (asked,) = connect(SCANNER, TRAP)
    touches = traps(watch_as(OPEN, asked, syn_ack(asked), fin_ack(asked, ack=ack), settings=strict()))
    assert [(touch.verdict, touch.source_verified) for touch in touches] == [("watch", False)]


def test_silence_after_the_answer_of_an_open_trap_proves_nothing_and_its_accept_does() -> None:
    (asked,) = connect(SCANNER, TRAP)
    pipeline = Pipeline(strict(), OPEN)
    watch(pipeline, asked, syn_ack(asked))
    assert traps(pipeline.advance(asked.later(60).time_us)) == []
    (touch,) = traps(pipeline.accepted(SCANNER, asked.src_port, HOST, TRAP, asked.later(60).time_us))
    assert (touch.verdict, touch.source_verified, touch.state) == ("ban", True, "changed")


def test_a_forged_touch_of_an_open_trap_is_watched() -> None:
    """Nobody acknowledges the answer, so the stack repeats it."""
    (asked,) = syn(SCANNER, TRAP)
    pipeline = Pipeline(strict(), OPEN)
    events = watch(pipeline, asked, syn_ack(asked), syn_ack(asked, after=1), syn_ack(asked, after=3))
    events += pipeline.advance(asked.later(60).time_us)
    assert [touch.verdict for touch in traps(events)] == ["watch"]


def test_a_retransmission_is_not_a_second_touch() -> None:
    (asked,) = syn(SCANNER, TRAP)
    assert [touch.verdict for touch in traps(watch(strict(), asked, asked.later(0.5), asked.later(3)))] == ["watch"]


def test_a_touch_counts_once_its_outcome_is_known() -> None:
    pipeline = Pipeline(strict(), US)
    (asked,) = syn(SCANNER, TRAP)
    assert traps(watch(pipeline, asked)) == []
    assert len(traps(watch(pipeline, rst(asked)))) == 1


def test_datagrams_touch_udp_traps() -> None:
    (asked,) = udp(SCANNER, 19)
    (touch,) = traps(watch(strict(), asked, icmp_unreachable(asked)))
    assert (touch.proto, touch.scan_type, touch.closed) == ("udp", "udp", 1)
    assert traps(watch(strict(), udp(SCANNER, TRAP))) == []


@pytest.mark.parametrize(("count", "verdict"), [(7, "watch"), (8, "ban")])
def test_datagrams_to_udp_traps_ban_at_the_number_of_a_port_scan(count: int, verdict: str) -> None:
    """They can be forged two by two."""
    settings = strict(traps=Traps(udp=frozenset({13, 19})), detectors=Detectors(port_scan=PortScan(min_ports=128)))
    others = udp(SCANNER, *range(2000, 1998 + count))
    events = watch(settings, others, udp(SCANNER, 13, 19, src_port=40_001, at=5))
    assert [touch.verdict for touch in traps(events)][-1] == verdict


def test_the_first_datagram_of_a_verified_source_to_a_udp_trap_is_a_ban() -> None:
    asked, closed = connect(SCANNER, 80, 81)
    session = in_time([closed, rst(closed)], [asked, syn_ack(asked), rst_ack(asked, after=0.5)])
    plain = tcp(SCANNER, HOST, 50_005, 82, SYN, at=1, options=STACK_OPTIONS)
    (touch,) = traps(watch(strict(), session, plain, udp(SCANNER, 19, at=2)))
    assert (touch.source_verified, touch.verdict, touch.proto) == (True, "ban", "udp")


def test_the_first_datagram_is_a_ban_where_the_operator_says_so() -> None:
    settings = strict(traps=Traps(udp=frozenset({19}), ban_on="first"))
    assert [touch.verdict for touch in traps(watch(settings, udp(SCANNER, 19)))] == ["ban"]


def test_a_trap_port_that_is_served_is_no_trap() -> None:
    settings = strict(served=Served(tcp=frozenset({TRAP})))
    assert traps(watch(settings, syn(SCANNER, TRAP))) == []
    listening = Pipeline(strict(), HostState(own=US.own, listening_tcp=frozenset({TRAP})))
    assert traps([*watch(listening, syn(SCANNER, TRAP)), *listening.finish()]) == []


def test_a_trap_port_that_answers_is_no_trap() -> None:
    (asked,) = syn(SCANNER, TRAP)
    assert traps(watch(strict(), asked, syn_ack(asked))) == []


def test_a_trap_port_of_another_host_is_no_trap() -> None:
    assert traps(watch(strict(), syn(HOST, TRAP, dst="198.51.100.7"))) == []


def test_a_scan_over_a_trap_port_is_reported_as_both() -> None:
    events = watch(strict(), refused(syn(SCANNER, 20, 21, 22, TRAP, 24, 25)))
    assert (len(scans(events)), len(traps(events))) == (1, 1)


@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_no_client_uses_the_default_traps(proto: str) -> None:
    decoys = getattr(Settings().traps, proto)
    common = {21, 22, 25, 53, 80, 110, 113, 123, 137, 143, 161, 443, 445, 465, 500, 587, 853, 993, 995, 3389}
    assert decoys
    assert not decoys & common


def test_the_operator_chooses_the_traps() -> None:
    settings = dataclasses.replace(Settings(), traps=Traps(tcp=frozenset({2323}), udp=frozenset()))
    assert traps(watch(settings, syn(SCANNER, 1))) == []
    assert len(traps(watch(settings, syn(SCANNER, 2323)))) == 1
