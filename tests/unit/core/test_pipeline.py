"""The way from a line of tshark to events: which lines are written, and what is counted."""

import pytest

from portsentry_py.core.pipeline import Pipeline
from tests.support.build import (
    FRIEND,
    HOST,
    SCANNER,
    US,
    connect,
    connections,
    in_time,
    line,
    ping,
    refused,
    rst,
    strict,
    syn,
    syn_ack,
    watch,
    with_cells,
)


def test_discarded_lines_are_counted() -> None:
    pipeline = Pipeline(strict(), US)
    garbage = [line(time="1.0", src="x", dst="y", proto="6"), "", line(time="1.0")]
    assert watch(pipeline, garbage, syn(SCANNER, 22)) == []
    assert pipeline.counts()["packets"] == 4
    assert pipeline.counts()["packets_malformed"] == 2


@pytest.mark.parametrize(
    ("word", "outcomes"),
    [
        ("off", set[str]()),
        ("unserved", {"refused", "unanswered"}),
        ("all", {"refused", "unanswered", "answered", "served"}),
    ],
)
def test_the_setting_selects_the_connection_lines(word: str, outcomes: set[str]) -> None:
    answered, silent, closed = connect(FRIEND, 80, 81, 82)
    again = connect(FRIEND, 80, at=5)
    traffic = in_time([answered, syn_ack(answered), silent, closed, rst(closed)], again)
    events = watch(strict(connections=word), traffic)
    assert {event.outcome for event in connections(events)} == outcomes


def test_our_own_attempts_have_no_connection_line() -> None:
    assert connections(watch(strict(connections="all"), syn(HOST, 80, 81, dst=FRIEND))) == []


def test_the_end_of_the_input_records_what_was_counted_before_each_outcome() -> None:
    pipeline = Pipeline(strict(), US)
    watch(pipeline, refused(syn(SCANNER, *range(100, 140))), syn(FRIEND, 9, at=30))
    watch(pipeline, syn(SCANNER, *range(200, 220), at=30.1))
    list(pipeline.finish())
    assert pipeline._suppressed.ports == 0
    (known,) = [record for record in pipeline.state().known if record.source == SCANNER]
    assert known.ports == 60


def test_only_tcp_and_udp_from_outside_are_counted_on_the_fast_path() -> None:
    pipeline = Pipeline(strict(), US)
    sweep = [ping(HOST, f"198.18.0.{nth}", at=nth / 100) for nth in range(1, 60)]
    watch(pipeline, sweep, syn(HOST, *range(1, 200), dst=FRIEND, at=1, every=0.001))
    assert set(pipeline._suppressed.sources) == set()
    watch(pipeline, refused(syn(SCANNER, 100, 101, 102, 103, at=2)), ping(SCANNER, HOST, at=2.1))
    assert set(pipeline._suppressed.sources) == set(), "the last probe was a ping"
    watch(pipeline, syn(SCANNER, 104, at=2.2))
    assert set(pipeline._suppressed.sources) == {SCANNER}


def test_counted_lines_that_cannot_be_decoded_are_malformed() -> None:
    pipeline = Pipeline(strict(), US)
    watch(pipeline, refused(syn(SCANNER, 100, 101, 102, 103, 99)))
    broken = [with_cells(sent.line, id="zz") for sent in syn(SCANNER, 104, 105, 105, at=0.5)]
    assert watch(pipeline, broken) == []
    assert pipeline.counts()["packets_malformed"] == 0, "they were counted unread"
    list(pipeline.finish())
    assert pipeline.counts()["packets_malformed"] == 3


def test_packets_at_which_the_core_failed_count_as_malformed() -> None:
    pipeline = Pipeline(strict(), US)
    watch(pipeline, syn(SCANNER, 1, 2, 3))
    pipeline.count_faults(2)
    counts = pipeline.counts()
    assert (counts["packets"], counts["packets_decoded"], counts["packets_malformed"]) == (3, 1, 2)
