"""Whatever a writer does, its caller goes on; every item is written in order or counted as lost."""

import logging
import threading
from collections.abc import Callable, Iterator

import pytest

from portsentry_py.errors import OutputEnded, OutputError
from portsentry_py.output import async_writer
from portsentry_py.output.async_writer import AsyncWriter
from tests.support.waiting import wait_for

NEVER = 3600.0


class Slow:
    """A writer that waits at a gate, and refuses or fails as the test says."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.written: list[int] = []
        self.attempts = 0
        self.error: BaseException | None = None
        self.close_error: Exception | None = None
        self.closed = 0
        self.threads: set[int] = set()

    def write(self, item: int) -> None:
        self.threads.add(threading.get_ident())
        self.attempts += 1
        assert self.gate.wait(60)
        if self.error is not None:
            raise self.error
        self.written.append(item)

    def close(self) -> None:
        self.closed += 1
        if self.close_error is not None:
            raise self.close_error


@pytest.fixture
def slow() -> Iterator[Slow]:
    """A writer whose gate is open at the end, so that no thread outlives its test."""
    writer = Slow()
    yield writer
    writer.error = None
    writer.gate.set()


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(async_writer, "_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(async_writer, "_GRACE_SECONDS", 0.01)
    monkeypatch.setattr(async_writer, "_CLOSE_SECONDS", 60.0)


def reports(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == async_writer.__name__]


def test_one_other_thread_writes_everything_in_order(slow: Slow) -> None:
    queue = AsyncWriter(slow, "x")
    for number in range(5000):
        queue.write(number)
    queue.close()
    assert slow.written == list(range(5000))
    assert slow.closed == 1
    assert len(slow.threads) == 1
    assert threading.get_ident() not in slow.threads
    assert queue.lost == 0


def test_a_line_is_written_before_the_next_packet_is_read(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ban must not wait until this thread releases the interpreter's lock by itself."""
    monkeypatch.setattr(async_writer, "_GRACE_SECONDS", NEVER)
    queue = AsyncWriter(slow, "x")
    for number in range(100):
        queue.write(number)
        assert slow.written[-1] == number
    queue.close()


def test_a_stalled_writer_blocks_nobody(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(async_writer, "_BACK_OFF_SECONDS", NEVER)
    slow.gate.clear()
    queue = AsyncWriter(slow, "x")
    queue.write(0)
    wait_for(lambda: slow.attempts, "the first attempt")
    monkeypatch.setattr(async_writer, "_GRACE_SECONDS", NEVER)
    for number in range(1, 10_050):
        queue.write(number)
    assert slow.attempts == 1
    assert queue.lost == 50
    slow.gate.set()
    queue.close()
    assert slow.written == [0, *range(51, 10_050)], "the oldest are dropped, but not the one being written"
    assert queue.lost == 50


def test_waiting_items_are_written_without_another_event(slow: Slow) -> None:
    slow.gate.clear()
    queue = AsyncWriter(slow, "x")
    queue.write(1)
    queue.write(2)
    slow.gate.set()
    wait_for(lambda: slow.written == [1, 2], "both")
    queue.close()


def test_a_flush_gives_the_thread_a_moment(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(async_writer, "_BACK_OFF_SECONDS", 0.0)
    slow.gate.clear()
    queue = AsyncWriter(slow, "x")
    queue.write(1)
    slow.gate.set()
    monkeypatch.setattr(async_writer, "_GRACE_SECONDS", NEVER)
    queue.flush()
    assert slow.written == [1]
    queue.close()


def test_a_refused_item_is_tried_again_and_each_cause_is_reported_once(
    slow: Slow, caplog: pytest.LogCaptureFixture
) -> None:
    slow.error = OutputError("x: full; make room.")
    queue = AsyncWriter(slow, "x")
    for number in range(3):
        queue.write(number)
    wait_for(lambda: slow.attempts > 5, "more attempts")
    assert reports(caplog) == ["x: full; make room. Lines wait until then."]
    slow.error = OutputError("x: a link; remove it.")
    before = slow.attempts
    wait_for(lambda: slow.attempts > before + 5, "more attempts")
    assert reports(caplog)[1:] == ["x: a link; remove it. Lines wait until then."]
    slow.error = None
    wait_for(lambda: len(slow.written) == 3, "all lines")
    queue.close()
    assert slow.written == [0, 1, 2]
    assert reports(caplog)[2:] == ["x: can be written again."]
    assert queue.lost == 0


def test_a_refusal_that_the_second_attempt_does_not_meet_is_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    class Once(Slow):
        def write(self, item: int) -> None:
            if not self.attempts:
                self.error = OutputError("being rotated")
            try:
                super().write(item)
            finally:
                self.error = None

    writer = Once()
    queue = AsyncWriter(writer, "x")
    queue.write(1)
    wait_for(lambda: writer.written == [1], "the second attempt")
    queue.close()
    assert reports(caplog) == []


def test_a_refused_item_is_not_tried_in_a_busy_loop(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(async_writer, "_RETRY_SECONDS", NEVER)
    slow.error = OutputError("full")
    queue = AsyncWriter(slow, "x")
    for number in range(200):
        queue.write(number)
        queue.flush()
        wait_for(lambda: slow.attempts, "the first attempt")
    assert slow.attempts == 1
    slow.error = None
    queue.close()
    assert slow.written == list(range(200)), "the end is a reason to try at once"


def test_refused_items_are_bounded_and_the_oldest_are_lost(slow: Slow) -> None:
    slow.error = OutputError("full")
    queue = AsyncWriter(slow, "x")
    for number in range(10_050):
        queue.write(number)
    assert queue.lost == 50
    slow.error = None
    queue.close()
    assert slow.written == [0, *range(51, 10_050)]


def test_items_that_are_refused_until_the_end_are_lost(slow: Slow, caplog: pytest.LogCaptureFixture) -> None:
    slow.error = OutputError("x: full; make room.")
    queue = AsyncWriter(slow, "x")
    for number in range(3):
        queue.write(number)
    queue.close()
    assert queue.lost == 3
    assert slow.closed == 1
    assert reports(caplog)[-1] == "x: 3 lines could not be written before the end."


def test_the_end_does_not_wait_for_a_stalled_writer(
    slow: Slow, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(async_writer, "_CLOSE_SECONDS", 0.05)
    slow.gate.clear()
    queue = AsyncWriter(slow, "x")
    for number in range(7):
        queue.write(number)
    wait_for(lambda: slow.attempts, "the first attempt")
    queue.close()
    assert queue.lost == 7
    assert reports(caplog) == ["x: 7 lines could not be written before the end."]
    slow.gate.set()
    wait_for(lambda: slow.closed, "the thread to end")
    assert slow.written == [0], "a lost item is not written later, but for the one that was being written"


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), ValueError("a bug"), SystemExit(1)])
def test_a_writer_that_fails_loses_the_item_and_gets_the_next_one(
    slow: Slow, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    queue = AsyncWriter(slow, "x")
    slow.error = error
    queue.write(1)
    wait_for(lambda: queue.lost, "the failure")
    slow.error = None
    queue.write(2)
    queue.close()
    assert slow.written == [2]
    assert queue.lost == 1
    (report,) = reports(caplog)
    assert report.startswith(f"x: failed 1 times, and as many lines are lost there ({type(error).__name__}: ")


def test_repeated_failures_are_counted_and_reported_rarely(
    slow: Slow, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    queue = AsyncWriter(slow, "x")
    slow.error = ConnectionError("refused")
    for number in range(100):
        queue.write(number)
    wait_for(lambda: queue.lost == 100, "the failures")
    assert len(reports(caplog)) == 1
    monkeypatch.setattr(async_writer, "_REPORT_SECONDS", 0.0)
    queue.write(100)
    queue.close()
    assert "failed 101 times" in reports(caplog)[1]


def test_a_writer_that_fails_at_its_end_is_reported(slow: Slow, caplog: pytest.LogCaptureFixture) -> None:
    slow.close_error = OSError(5, "Input/output error")
    AsyncWriter(slow, "x").close()
    assert reports(caplog) == ["x: cannot be closed ([Errno 5] Input/output error)."]


@pytest.mark.parametrize("call", [lambda queue: queue.write(2), lambda queue: queue.flush()])
def test_a_writer_that_has_ended_raises_at_each_later_call(
    slow: Slow, call: Callable[[AsyncWriter[int]], None]
) -> None:
    slow.gate.clear()
    slow.error = OutputEnded("gone")
    queue = AsyncWriter(slow, "x")
    queue.write(1)
    slow.gate.set()
    wait_for(lambda: slow.closed, "the end")
    for _ in range(2):
        with pytest.raises(OutputEnded, match="gone"):
            call(queue)
    queue.close()
    assert queue.lost >= 1


def test_a_writer_that_ends_soon_raises_at_the_same_call(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(async_writer, "_GRACE_SECONDS", NEVER)
    slow.error = OutputEnded("gone")
    queue = AsyncWriter(slow, "x")
    with pytest.raises(OutputEnded):
        queue.write(1)
    queue.close()


def test_a_writer_that_ends_at_the_last_line_raises_at_the_close(slow: Slow) -> None:
    slow.gate.clear()
    slow.error = OutputEnded("gone")
    queue = AsyncWriter(slow, "x")
    queue.write(1)
    slow.gate.set()
    wait_for(lambda: slow.closed, "the end")
    with pytest.raises(OutputEnded):
        queue.close()


def test_a_stall_and_its_end_are_reported_once(
    slow: Slow, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(async_writer, "_STALL_SECONDS", 0.05)
    slow.gate.clear()
    queue = AsyncWriter(slow, "x")
    queue.write(1)

    def tick() -> list[str]:
        queue.flush()
        return reports(caplog)

    wait_for(tick, "a report")
    for number in range(20):
        queue.write(number)
    assert len(reports(caplog)) == 1
    assert "x: has stood still for" in reports(caplog)[0]
    assert "up to 10000 lines wait" in reports(caplog)[0]
    slow.gate.set()
    wait_for(lambda: len(slow.written) == 21, "all lines")
    queue.close()
    assert len(reports(caplog)) == 2
    assert "x: goes on after" in reports(caplog)[1]


def test_a_fast_or_idle_writer_is_not_stalled(
    slow: Slow, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(async_writer, "_GRACE_SECONDS", NEVER)
    queue = AsyncWriter(slow, "x")
    queue.write(1)
    monkeypatch.setattr(async_writer, "_STALL_SECONDS", 0.0)
    queue.flush()
    queue.flush()
    queue.close()
    assert reports(caplog) == []
