"""The pipeline's time is that of the packets: live or replayed, with ticks or without, the lines are the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.config.settings import Settings, Traps
from portsentry_py.core.packet import ACK, FIN
from portsentry_py.core.pipeline import Pipeline
from tests.support.build import (
    FRIEND,
    HOST,
    SCANNER,
    US,
    Sent,
    in_time,
    log_lines,
    micros,
    no_deadline,
    records,
    rst,
    strict,
    syn,
    tcp,
    udp,
    visit,
    watch,
    with_cells,
)


def test_the_same_lines_give_the_same_bytes() -> None:
    traffic = in_time(syn(SCANNER, *range(1, 300)), visit(FRIEND, 80, 443), udp(FRIEND, 53, 123))
    assert log_lines(watch(Settings(), traffic)) == log_lines(watch(Settings(), traffic))


def test_the_last_time_is_that_of_the_last_packet() -> None:
    pipeline = Pipeline(strict(), US)
    assert pipeline.last_us == 0
    watch(pipeline, syn(SCANNER, 22, at=7))
    assert pipeline.last_us == micros(7)


@pytest.mark.parametrize("seconds", [0.5, 1.2, 59.7, 60.2, 60.7, 75, 99])
def test_a_tick_between_packets_changes_nothing(seconds: float) -> None:
    """The clock ticks live and not in a replay: the same packets must give the same lines."""
    settings = strict(traps=Traps(tcp=frozenset({11, 23})))
    before = in_time(syn(SCANNER, 1, 2, 3, 4, 11), syn(SCANNER, 11, src_port=41_000, at=59.5))
    after = syn(SCANNER, 23, 5, 6, 7, 8, at=100)
    replayed = Pipeline(settings, US)
    lines = [*watch(replayed, before, after), *replayed.finish()]
    live = Pipeline(settings, US)
    ticked = [*watch(live, before), *live.advance(micros(max(seconds, 59.5))), *watch(live, after), *live.finish()]
    assert records(ticked) == records(lines)


@no_deadline
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 7), st.booleans()), max_size=60))
def test_ticks_before_each_packet_change_nothing(packets: list[tuple[int, int, bool]]) -> None:
    """Most packets do not look whether anything is due: what is due must not wait for one that does."""
    traffic, now = list[Sent](), 0.0
    for pause, port, is_refused in packets:
        now += pause * pause / 20
        asked = syn(SCANNER, 100 + port, src_port=40_000 + len(traffic), at=now)
        traffic += [*asked, rst(asked[0])] if is_refused else visit(FRIEND, 80, at=now) if port == 0 else asked
    replayed, live = Pipeline(strict(), US), Pipeline(strict(), US)
    lines = [*watch(replayed, traffic), *replayed.finish()]
    ticked = [event for sent in traffic for event in (*live.advance(sent.time_us), *watch(live, sent))]
    assert records([*ticked, *live.finish()]) == records(lines)


def test_the_end_of_an_answered_connection_by_its_responder_tells_the_time_alone() -> None:
    pipeline = Pipeline(strict(), US)
    before = visit(FRIEND, 80)
    watch(pipeline, before)
    assert (pipeline.counts()["packets_decoded"], pipeline.counts()["packets_ignored"]) == (3, 1)
    assert pipeline.last_us == before[-1].time_us
    end = tcp(HOST, FRIEND, 80, 50_000, FIN | ACK, at=2)
    watch(pipeline, [with_cells(end.line, time="-1.0")])
    assert (pipeline.counts()["packets_malformed"], pipeline.last_us) == (1, before[-1].time_us)
