"""Whatever a writer does, who hands it lines goes on; nothing is lost uncounted, nothing out of order."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator

import pytest

from portsentry_py.errors import OutputError
from portsentry_py.output import async_writer as unhurried
from portsentry_py.output.async_writer import AsyncWriter
from tests.support.waiting import wait_for

NEVER = 3600.0
HEARD = "portsentry_py.output.async_writer"


class Slow:
    """A writer that waits at a gate, and refuses or fails as the test says."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.got: list[int] = []
        self.attempts = 0
        self.refusal: Exception | None = None
        self.closed = 0
        self.threads: set[int] = set()

    def write(self, item: int) -> None:
        """Take an item when the gate is open."""
        self.threads.add(threading.get_ident())
        self.attempts += 1
        assert self.gate.wait(60)
        if self.refusal is not None:
            raise self.refusal
        self.got.append(item)

    def close(self) -> None:
        """Count it."""
        self.closed += 1


@pytest.fixture
def slow() -> Iterator[Slow]:
    """A writer whose gate is open at the end, so that no thread outlives its test."""
    writer = Slow()
    yield writer
    writer.refusal = None
    writer.gate.set()


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here takes seconds."""
    monkeypatch.setattr(unhurried, "_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(unhurried, "_GRACE_SECONDS", 0.01)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == HEARD]


def test_everything_is_written_in_order_by_one_other_thread(slow: Slow) -> None:
    sink = AsyncWriter(slow, "x")
    for number in range(5000):
        sink.write(number)
    sink.close()
    assert slow.got == list(range(5000))
    assert slow.closed == 1
    assert len(slow.threads) == 1
    assert threading.get_ident() not in slow.threads
    assert sink.lost == 0


def test_a_line_is_written_before_the_next_packet_is_looked_at(
    slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ban must not wait until this thread lets go of the interpreter's lock by itself."""
    monkeypatch.setattr(unhurried, "_GRACE_SECONDS", NEVER)
    sink = AsyncWriter(slow, "x")
    for number in range(100):
        sink.write(number)
        assert slow.got[-1] == number
    sink.close()


def test_a_writer_that_stands_still_holds_nobody_up(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unhurried, "_BACK_OFF_SECONDS", NEVER)
    slow.gate.clear()
    sink = AsyncWriter(slow, "x")
    sink.write(0)
    monkeypatch.setattr(unhurried, "_GRACE_SECONDS", NEVER)
    for number in range(1, 10_050):
        sink.write(number)
    assert slow.attempts == 1
    assert sink.lost == 50
    slow.gate.set()
    sink.close()
    assert slow.got == [0, *range(51, 10_050)], "the oldest go, less the one that was being written"
    assert sink.lost == 50


def test_what_waits_is_written_without_another_event(slow: Slow) -> None:
    slow.gate.clear()
    sink = AsyncWriter(slow, "x")
    sink.write(1)
    sink.write(2)
    slow.gate.set()
    wait_for(lambda: slow.got == [1, 2], "both")
    sink.close()


def test_what_waits_has_its_moment_at_each_tick(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unhurried, "_BACK_OFF_SECONDS", 0.0)
    slow.gate.clear()
    sink = AsyncWriter(slow, "x")
    sink.write(1)
    slow.gate.set()
    monkeypatch.setattr(unhurried, "_GRACE_SECONDS", NEVER)
    sink.flush()
    assert slow.got == [1]
    sink.close()


def test_a_refusal_is_tried_again_and_told_once_for_each_cause(
    slow: Slow, caplog: pytest.LogCaptureFixture
) -> None:
    slow.refusal = OutputError("x: full; make room.")
    sink = AsyncWriter(slow, "x")
    for number in range(3):
        sink.write(number)
    wait_for(lambda: slow.attempts > 5, "more attempts")
    assert told(caplog) == ["x: full; make room. Lines wait until then."]
    slow.refusal = OutputError("x: a link; remove it.")
    before = slow.attempts
    wait_for(lambda: slow.attempts > before + 5, "more attempts")
    assert told(caplog)[1:] == ["x: a link; remove it. Lines wait until then."]
    slow.refusal = None
    wait_for(lambda: len(slow.got) == 3, "all lines")
    sink.close()
    assert slow.got == [0, 1, 2]
    assert told(caplog)[2:] == ["x: can be written again."]
    assert sink.lost == 0


def test_a_refusal_that_is_over_at_the_second_look_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    class Once(Slow):
        def write(self, item: int) -> None:
            if not self.attempts:
                self.refusal = OutputError("being rotated")
            try:
                super().write(item)
            finally:
                self.refusal = None

    writer = Once()
    sink = AsyncWriter(writer, "x")
    sink.write(1)
    wait_for(lambda: writer.got == [1], "the second attempt")
    sink.close()
    assert told(caplog) == []


def test_a_refused_line_is_not_tried_in_a_busy_loop(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unhurried, "_RETRY_SECONDS", NEVER)
    slow.refusal = OutputError("full")
    sink = AsyncWriter(slow, "x")
    for number in range(200):
        sink.write(number)
        sink.flush()
    assert slow.attempts == 1
    slow.refusal = None
    sink.close()
    assert slow.got == list(range(200)), "the end is a reason to try at once"


def test_what_waits_for_room_is_bounded_and_the_oldest_is_lost(slow: Slow) -> None:
    slow.refusal = OutputError("full")
    sink = AsyncWriter(slow, "x")
    for number in range(10_050):
        sink.write(number)
    assert sink.lost == 50
    slow.refusal = None
    sink.close()
    assert slow.got == [0, *range(51, 10_050)]


def test_what_could_never_be_written_is_counted(slow: Slow, caplog: pytest.LogCaptureFixture) -> None:
    slow.refusal = OutputError("x: full; make room.")
    sink = AsyncWriter(slow, "x")
    for number in range(3):
        sink.write(number)
    sink.close()
    assert sink.lost == 3
    assert slow.closed == 1
    assert told(caplog)[-1] == "x: 3 lines could not be written before the end."


def test_the_end_does_not_wait_for_a_writer_that_stands_still(
    slow: Slow, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(unhurried, "_CLOSE_SECONDS", 0.05)
    slow.gate.clear()
    sink = AsyncWriter(slow, "x")
    for number in range(7):
        sink.write(number)
    sink.close()
    assert sink.lost == 7
    assert told(caplog) == ["x: 7 lines could not be written before the end."]
    slow.gate.set()
    wait_for(lambda: slow.closed, "the thread to end")
    assert slow.got == [0], "what was counted as lost is not written later, but for the one on its way"


@pytest.mark.parametrize("call", [lambda sink: sink.write(2), lambda sink: sink.flush()])
def test_what_ends_the_writer_is_raised_at_the_next_call(
    slow: Slow, call: Callable[[AsyncWriter[int]], None]
) -> None:
    slow.gate.clear()
    slow.refusal = BrokenPipeError("gone")
    sink = AsyncWriter(slow, "x")
    sink.write(1)
    slow.gate.set()
    wait_for(lambda: slow.closed, "the failure")
    for _ in range(2):
        with pytest.raises(BrokenPipeError, match="gone"):
            call(sink)
    sink.close()
    assert sink.lost >= 1


def test_what_ends_the_writer_is_raised_by_the_same_call_if_it_is_soon(
    slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unhurried, "_GRACE_SECONDS", NEVER)
    slow.refusal = BrokenPipeError("gone")
    sink = AsyncWriter(slow, "x")
    with pytest.raises(BrokenPipeError):
        sink.write(1)
    sink.close()


def test_what_ends_the_writer_at_the_last_line_is_raised_at_the_end(slow: Slow) -> None:
    slow.gate.clear()
    slow.refusal = BrokenPipeError("gone")
    sink = AsyncWriter(slow, "x")
    sink.write(1)
    slow.gate.set()
    wait_for(lambda: slow.closed, "the failure")
    with pytest.raises(BrokenPipeError):
        sink.close()


def test_a_writer_that_stands_still_is_told_once_and_so_is_its_going_on(
    slow: Slow, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(unhurried, "_STILL_SECONDS", 0.05)
    slow.gate.clear()
    sink = AsyncWriter(slow, "x")
    sink.write(1)

    def tick() -> list[str]:
        sink.flush()
        return told(caplog)

    wait_for(tick, "a word")
    for number in range(20):
        sink.write(number)
    assert len(told(caplog)) == 1
    assert "x: has stood still for" in told(caplog)[0]
    assert "up to 10000 lines wait" in told(caplog)[0]
    slow.gate.set()
    wait_for(lambda: len(slow.got) == 21, "all lines")
    sink.close()
    assert len(told(caplog)) == 2
    assert "x: goes on after" in told(caplog)[1]


def test_a_writer_that_is_quick_or_idle_is_no_writer_that_stands_still(
    slow: Slow, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(unhurried, "_STILL_SECONDS", 0.0)
    monkeypatch.setattr(unhurried, "_GRACE_SECONDS", NEVER)
    sink = AsyncWriter(slow, "x")
    sink.write(1)
    sink.flush()
    sink.flush()
    sink.close()
    assert told(caplog) == []
