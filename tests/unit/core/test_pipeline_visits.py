"""The core says the same of everybody, whether the kernel's filter keeps the first segments of visitors or not."""

import dataclasses
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.capture.bpf import FilterHost, kernel_filter
from portsentry_py.core.host_state import HostState
from portsentry_py.core.packet import RST, SYN
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.core.source_record import SourceRecord, StackFingerprint
from tests.support.build import (
    FRIEND,
    HOST,
    HOST6,
    MSS_OPTION,
    SCANNER,
    SCANNER6,
    SECOND_US,
    STACK_OPTIONS,
    US,
    Sent,
    evidence,
    fin_ack,
    in_time,
    no_deadline,
    records,
    rst,
    rst_ack,
    strict,
    syn_ack,
    tcp,
    watch,
)
from tests.support.libpcap import compiled_for, passes

SERVED = frozenset({22, 80})
SERVER = HostState(own=US.own, listening_tcp=SERVED)
DAY = 86_400.0
HOPS, LINUX = 50, StackFingerprint(50, 40)
# A scan may begin with a visit, which begins with our answer then.
TIMES = ("first_seen", "event_id")


def passed(traffic: Sequence[Sent]) -> list[Sent]:
    """What a live sensor gets."""
    live = compiled_for(1, 65_535, kernel_filter(FilterHost(US.own, served_tcp=SERVED), vlan=True))
    return [one for one in traffic if passes(live, one.frame)]


def asked(
    src: str, port: int, at: float, *, src_port: int = 50_000, ttl: int = HOPS, options: bytes = STACK_OPTIONS
) -> Sent:
    """A SYN; the number of its sender is another each time."""
    dst, seq = HOST6 if ":" in src else HOST, round(at * 1_000) * 64_000 % (1 << 32)
    return tcp(src, dst, src_port, port, SYN, at=at, seq=seq, options=options, ttl=ttl)


def ours(first: Sent) -> int:
    """The number of our answer, another each time."""
    return (first.seq + 5000) % (1 << 32)


def answer(first: Sent) -> Sent:
    return syn_ack(first, seq=ours(first))


def session(first: Sent) -> list[Sent]:
    return [first, answer(first), fin_ack(first, ack=(ours(first) + 501) % (1 << 32), after=0.05)]


def unused(first: Sent) -> list[Sent]:
    return [first, answer(first), rst_ack(first, ack=(ours(first) + 1) % (1 << 32), after=0.02)]


def half_open(first: Sent) -> list[Sent]:
    reset = tcp(first.src, first.dst, first.src_port, first.dest_port, RST, seq=first.seq + 1, ttl=first.ttl)
    return [first, answer(first), dataclasses.replace(reset, time_us=first.time_us + 20_000)]


def unanswered(first: Sent) -> list[Sent]:
    """Our answer gets lost: both are sent again."""
    return [*(one.later(again) for again in (0.0, 1.0) for one in (first, syn_ack(first)))]


def probed(first: Sent) -> list[Sent]:
    return [first, rst(first)]


def told(traffic: Sequence[Sent]) -> tuple[Pipeline, list[dict[str, object]]]:
    pipeline = Pipeline(strict(), SERVER)
    return pipeline, records(evidence([*watch(pipeline, traffic), *pipeline.finish()]), *TIMES)


def known(pipeline: Pipeline) -> list[object]:
    """All that the core knows of sources, but for times."""

    def of(record: SourceRecord) -> object:
        attempts = {endpoint: (one.settled, one.refused) for endpoint, one in record.unserved.items()}
        evidence = (attempts, sorted(record.opened), dict(record.stacks), dict(record.types), record.probes)
        return record.source, evidence, record.proven_stacks, record.proofs, record.checks, record.verified

    state = pipeline.state()
    found = sorted((of(one) for one in (*state.known, *state.newcomers)), key=repr)
    standing = [(one.address, one.days, len(one.sessions_us), one.stacks) for one in state.standing]
    return [*found, sorted(standing), sorted(one[:3] for one in state.learned)]


Conversation = Callable[[Sent], list[Sent]]
CONVERSATIONS: tuple[Conversation, ...] = (session, unused, half_open)
STEPS = st.tuples(
    st.sampled_from([FRIEND, SCANNER, SCANNER6]),
    st.sampled_from([22, 80, 80, 100, 101, 102, 103, 104]),
    st.sampled_from(CONVERSATIONS),
    st.sampled_from([(HOPS, STACK_OPTIONS), (HOPS, STACK_OPTIONS), (HOPS, MSS_OPTION), (44, STACK_OPTIONS)]),
    st.sampled_from([0.1, 0.2, 1.0, 3.0, 70.0, DAY]),
)


@no_deadline
@given(st.lists(STEPS, min_size=1, max_size=30))
def test_without_first_segments_the_same_is_known_and_said_of_everybody(
    steps: list[tuple[str, int, Conversation, tuple[int, bytes], float]],
) -> None:
    traffic, at = list[Sent](), 0.0
    for nth, (src, port, conversation, (ttl, options), pause) in enumerate(steps):
        at += pause
        first = asked(src, port, at, src_port=50_000 + nth % 3, ttl=ttl, options=options)
        traffic += conversation(first) if port in SERVED else probed(first)
    whole, live = told(traffic), told(passed(traffic))
    assert live[1] == whole[1]
    assert known(live[0]) == known(whole[0])


def test_a_client_that_repeats_its_first_segment_is_known_as_with_it() -> None:
    traffic = unanswered(asked(FRIEND, 80, 0))
    assert len(passed(traffic)) == 2
    assert known(told(traffic)[0]) == known(told(passed(traffic))[0])


@pytest.mark.parametrize("closes", [unused, session])
def test_a_connect_scan_of_a_stack_that_also_visits_is_verified(closes: Conversation) -> None:
    scan = [packet for nth in range(6) for packet in probed(asked(SCANNER, 100 + nth, nth / 10))]
    visits = [packet for nth, port in enumerate((22, 80)) for packet in closes(asked(SCANNER, port, 0.35 + nth / 5))]
    traffic = in_time(scan, visits)
    pipeline, lines = told(passed(traffic))
    assert len(passed(traffic)) == len(traffic) - 2
    (record,) = pipeline.state().known
    assert record.proven_stacks == ((LINUX,) if closes is unused else ())
    assert record.verified is (closes is unused)
    assert {(one["src_ip"], one["verdict"]) for one in lines} == {(SCANNER, "ban")}


@pytest.mark.parametrize("forged", [(HOPS - 1, STACK_OPTIONS), (HOPS, MSS_OPTION), (0, STACK_OPTIONS)])
def test_probes_that_are_forged_in_a_visitors_name_are_not_verified_by_its_visits(forged: tuple[int, bytes]) -> None:
    ttl, options = forged
    visits = [packet for nth in range(6) for packet in session(asked(FRIEND, 80, nth / 5))]
    checks = unused(asked(FRIEND, 22, 1.05))
    probes = [
        packet
        for nth in range(40)
        for packet in probed(asked(FRIEND, 100 + nth, 2 + nth / 50, ttl=ttl, options=options))
    ]
    traffic = in_time(visits, probes[:4], checks, probes[4:])
    pipeline, lines = told(passed(traffic))
    (record,) = pipeline.state().known
    assert not record.verified
    assert [one.stacks for one in pipeline.state().standing] == [(LINUX,)]
    assert {(one["verdict"], one["source_verified"]) for one in lines} == {("watch", False)}


def test_resets_of_middleboxes_do_not_verify_probes_that_are_forged_in_a_visitors_name() -> None:
    """Each reset has another TTL, and that of the first segment is not known."""
    days = [packet for day in range(2) for packet in session(asked(FRIEND, 80, day * DAY))]
    blocked = [unused(asked(FRIEND, (80, 22)[nth % 2], DAY + 9.1 + nth / 10)) for nth in range(4)]
    resets = [dataclasses.replace(some[2], ttl=ttl) for some, ttl in zip(blocked, (61, 58, 55, 47), strict=True)]
    probes = [
        packet
        for nth in range(40)
        for packet in probed(asked(FRIEND, 100 + nth, DAY + 9 + nth / 50, ttl=63, options=MSS_OPTION))
    ]
    traffic = in_time(days, *(some[:2] for some in blocked), resets, probes)
    for seen in (traffic, passed(traffic)):
        pipeline, lines = told(seen)
        assert not any(one.verified for one in pipeline.state().known)
        assert {(one["verdict"], one["reason"]) for one in lines} == {("watch", "friend")}


def test_visits_on_two_days_make_a_regular_visitor() -> None:
    traffic = [packet for day in range(2) for packet in session(asked(FRIEND, 80, day * DAY))]
    pipeline, _ = told(passed(traffic))
    (friend,) = pipeline.state().standing
    assert friend.is_regular(traffic[-1].time_us + SECOND_US)
    assert friend.stacks == (LINUX,)


def test_a_flood_of_first_segments_that_nobody_saw_says_nothing_of_their_sources() -> None:
    flood = [half_open(asked(f"198.18.{nth >> 8}.{nth & 255}", 80, nth / 1000)) for nth in range(2000)]
    real = session(asked(FRIEND, 80, 1.0005))
    pipeline, lines = told(passed(in_time(*flood, real)))
    assert lines == []
    assert [one.address for one in pipeline.state().standing] == [FRIEND]
