"""Children that never outlive us, and never die unseen."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from portsentry_py.capture.process_pipe import ProcessPipe
from tests.support.waiting import wait_for

ENVIRONMENT = dict(os.environ)
Start = Callable[..., ProcessPipe]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start pipelines of shell commands; afterwards none of their processes may be left."""
    started: list[ProcessPipe] = []
    before = {child.pid for child in psutil.Process().children()}

    def pipeline(*commands: str) -> ProcessPipe:
        started.append(ProcessPipe([["sh", "-c", command] for command in commands], ENVIRONMENT))
        return started[-1]

    yield pipeline
    for one in started:
        one.kill()
    left = [child for child in psutil.Process().children(recursive=True) if child.pid not in before]
    assert not left


def lines(pipeline: ProcessPipe, seconds: float = 10) -> list[str]:
    """Everything that it writes until it ends."""
    found: list[str] = []
    deadline = time.monotonic() + seconds
    while not pipeline.at_end and time.monotonic() < deadline:
        found += pipeline.read(0.1)
    assert pipeline.at_end
    return found


def test_lines_come_through_both(start: Start) -> None:
    pipeline = start("printf 'one\\ntwo\\n'", "tr a-z A-Z")
    assert lines(pipeline) == ["ONE", "TWO"]


def test_a_line_arrives_whole_however_it_is_written(start: Start) -> None:
    pipeline = start("printf on; sleep 0.2; printf 'e\\ntw'; sleep 0.2; printf 'o\\nhalf'")
    assert lines(pipeline) == ["one", "two"]


def test_bytes_that_are_no_text_do_no_harm(start: Start) -> None:
    """Only ASCII means anything to us; the rest is neither an error nor larger than it came."""
    assert lines(start("printf '\\377\\342\\200\\246\\n'")) == ["\xff\xe2\x80\xa6"]


def test_a_line_without_an_end_is_not_kept(start: Start) -> None:
    pipeline = start("head -c 5000000 /dev/zero; printf '\\nnext\\n'")
    assert lines(pipeline)[-1] == "next"
    assert len(pipeline._rest) < 2_000_000


def test_waiting_for_lines_ends(start: Start) -> None:
    pipeline = start("sleep 60")
    before = time.monotonic()
    assert pipeline.read(0.1) == []
    assert time.monotonic() - before < 5
    assert pipeline.ended is None


@pytest.mark.parametrize(("first", "second", "position"), [("exit 3", "cat", 0), ("sleep 60", "exit 4", 1)])
def test_the_death_of_a_child_is_noticed(start: Start, first: str, second: str, position: int) -> None:
    pipeline = start(first, second)
    wait_for(lambda: pipeline.ended is not None)
    assert pipeline.ended == position
    assert pipeline.exit_code(position) == 3 + position


def test_a_killed_first_child_ends_the_second(start: Start) -> None:
    pipeline = start("kill -KILL $$", "cat")
    assert lines(pipeline) == []
    wait_for(lambda: pipeline.exit_code(1) == 0)


def test_what_children_say_is_kept_and_bounded(start: Start) -> None:
    pipeline = start("seq 200000 >&2; echo done", "cat; echo second >&2")
    lines(pipeline)
    pipeline.stop()
    assert pipeline.said(0)[-1] == "200000"
    assert len(pipeline.said(0)) < 20_000
    assert pipeline.said(1) == ["second"]


def test_children_that_say_much_do_not_block(start: Start) -> None:
    pipeline = start("yes complaint | head -c 3000000 >&2; echo done")
    assert lines(pipeline) == ["done"]


def test_stopping_lets_them_finish(start: Start) -> None:
    pipeline = start("trap 'echo last; exit 0' TERM; echo first; while :; do sleep 0.05; done", "cat")
    wait_for(lambda: pipeline.read(0.1) == ["first"])
    assert pipeline.stop() == ["last"]
    assert [pipeline.exit_code(0), pipeline.exit_code(1)] == [0, 0]


def test_children_that_were_told_end_by_themselves(start: Start) -> None:
    pipeline = start("trap 'echo last; exit 0' TERM; echo first; while :; do sleep 0.05; done", "cat")
    wait_for(lambda: pipeline.read(0.1) == ["first"])
    pipeline.tell()
    assert lines(pipeline) == ["last"]
    wait_for(lambda: pipeline.exit_code(0) == 0)
    pipeline.tell()


def test_others_can_wait_for_a_line_as_well(start: Start) -> None:
    pipeline = start("sleep 0.3; echo one; sleep 60")
    ready = select.poll()
    ready.register(pipeline, select.POLLIN)
    assert ready.poll(50) == []
    assert ready.poll(10_000) == [(pipeline.fileno(), select.POLLIN)]
    assert pipeline.read(0) == ["one"]
    assert ready.poll(50) == []


def test_the_memory_of_a_child_is_read_while_it_runs(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = start("exec sleep 60")
    assert pipeline.resident_bytes(0) > 0

    def exhausted(*_: object) -> None:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(psutil, "Process", exhausted)
        assert pipeline.resident_bytes(0) == 0
    pipeline.kill()
    assert pipeline.resident_bytes(0) == 0


def test_killing_twice_does_nothing_more(start: Start) -> None:
    pipeline = start("sleep 60", "cat")
    pipeline.kill()
    pipeline.kill()
    assert pipeline.exit_code(0) == -signal.SIGKILL


def test_a_program_that_is_missing_leaves_nobody_behind() -> None:
    before = psutil.Process().children()
    with pytest.raises(FileNotFoundError):
        ProcessPipe([["sleep", "60"], ["/nonexistent/program"]], ENVIRONMENT)
    assert psutil.Process().children() == before


def test_what_the_first_child_writes_waits_for_the_last() -> None:
    pipeline = ProcessPipe(
        [["sh", "-c", "echo early; echo 'ready' >&2"], ["cat"]], ENVIRONMENT, hold_back=True
    )
    wait_for(lambda: pipeline.read(0.1) == [] and pipeline.said(0) == ["ready"])
    assert psutil.Process().children()
    pipeline.start_last()
    pipeline.start_last()
    assert lines(pipeline) == ["early"]
    pipeline.stop()


def test_a_pipeline_that_is_stopped_before_it_decodes_still_gives_everything() -> None:
    script = "echo early; trap 'exit 0' TERM; while :; do sleep 0.05; done"
    pipeline = ProcessPipe([["sh", "-c", script], ["cat"]], ENVIRONMENT, hold_back=True)
    time.sleep(0.2)
    assert pipeline.stop() == ["early"]


def test_a_first_child_that_would_run_on_is_ended_when_the_last_has_died() -> None:
    pipeline = ProcessPipe([["sleep", "1000"], ["true"]], dict(os.environ))
    while pipeline.ended is None:
        pipeline.read(0.1)

    pipeline.stop()

    assert pipeline.exit_code(0) == -signal.SIGTERM  # asked at once, not killed at the deadline
