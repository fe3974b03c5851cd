"""Two processes and the pipe between them: none outlives us, and none ends unseen."""

import select
import signal
import time
from collections.abc import Callable, Iterator, Sequence

import psutil
import pytest

from portsentry_py.capture.process_pipe import ProcessPipe
from tests.support.waiting import wait_for

GOES_ON = "trap 'echo last; exit 0' TERM; echo first; while :; do sleep 0.05; done"
Start = Callable[..., ProcessPipe]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start pipes between shell scripts; in the end none of their processes may be left."""
    started: list[ProcessPipe] = []
    before = {child.pid for child in psutil.Process().children()}

    def pipe(*scripts: str, hold_back: bool = False, line_end: bytes = b"") -> ProcessPipe:
        commands = [["sh", "-c", script] for script in scripts]
        started.append(ProcessPipe(commands, hold_back=hold_back, line_end=line_end))
        return started[-1]

    yield pipe
    for one in started:
        one.kill()
    left = [child for child in psutil.Process().children(recursive=True) if child.pid not in before]
    assert not left


def all_lines(pipe: ProcessPipe) -> list[str]:
    """Everything that it prints until it ends."""
    found: list[str] = []

    def at_end() -> bool:
        pipe.wait(0.1)
        found.extend(pipe.read())
        return pipe.at_end

    wait_for(at_end)
    return found


def until_printed(pipe: ProcessPipe, lines: Sequence[str]) -> None:
    """Wait for these lines, and read them."""
    wait_for(lambda: pipe.read() == lines)


def test_lines_pass_through_both(start: Start) -> None:
    assert all_lines(start("printf 'one\\ntwo\\n'", "tr a-z A-Z")) == ["ONE", "TWO"]


def test_each_line_gets_its_end_once(start: Start) -> None:
    pipe = start("printf 'one\\ntw'; sleep 0.1; printf 'o\\n\\nhalf'", line_end=b"\tlo")
    assert all_lines(pipe) == ["one\tlo", "two\tlo", "\tlo"]


def test_a_line_that_is_printed_in_pieces_is_whole(start: Start) -> None:
    pipe = start("printf on; sleep 0.1; printf 'e\\ntw'; sleep 0.1; printf 'o\\nhalf'")
    assert all_lines(pipe) == ["one", "two"]


def test_bytes_that_are_not_ascii_are_neither_an_error_nor_longer(start: Start) -> None:
    assert all_lines(start("printf '\\377\\342\\200\\246\\n'")) == ["\xff\xe2\x80\xa6"]


def test_a_line_without_an_end_is_not_kept(start: Start) -> None:
    pipe = start("head -c 5000000 /dev/zero; printf '\\nnext\\n'")
    assert all_lines(pipe)[-1] == "next"
    assert len(pipe._rest) < 2_000_000


def test_reading_does_not_wait(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = start("echo one; exec sleep 60")
    until_printed(pipe, ["one"])
    monkeypatch.delattr(time, "sleep")
    assert pipe.read() == []


def test_waiting_ends_when_a_line_is_printed_or_the_time_is_over(start: Start) -> None:
    pipe = start("echo one; exec sleep 60")
    pipe.wait(60)
    until_printed(pipe, ["one"])
    before = time.monotonic()
    pipe.wait(0.1)
    assert time.monotonic() - before >= 0.1
    assert not pipe.has_ended


@pytest.mark.parametrize(("first", "last", "codes"), [("exit 3", "cat", (3, 0)), ("exec sleep 60", "exit 4", (-15, 4))])
def test_the_end_of_a_process_is_noticed(start: Start, first: str, last: str, codes: tuple[int, int]) -> None:
    pipe = start(first, last)
    wait_for(lambda: pipe.has_ended)
    pipe.stop()
    assert (pipe.exit_code(0), pipe.exit_code(1)) == codes


def test_a_killed_first_process_ends_the_last(start: Start) -> None:
    pipe = start("kill -KILL $$", "cat")
    assert all_lines(pipe) == []
    wait_for(lambda: pipe.exit_code(1) == 0)


def test_error_lines_are_kept_up_to_a_limit(start: Start) -> None:
    pipe = start("seq 200000 >&2; echo done", "cat; echo second >&2")
    all_lines(pipe)
    pipe.stop()
    assert pipe.error_lines(0)[-1] == "200000"
    assert len(pipe.error_lines(0)) < 20_000
    assert pipe.error_lines(1) == ["second"]


def test_many_errors_do_not_block_a_process(start: Start) -> None:
    assert all_lines(start("yes complaint | head -c 3000000 >&2; echo done")) == ["done"]


def test_stopping_lets_both_finish(start: Start) -> None:
    pipe = start(GOES_ON, "cat")
    until_printed(pipe, ["first"])
    assert pipe.stop() == ["last"]
    assert [pipe.exit_code(0), pipe.exit_code(1)] == [0, 0]


def test_terminated_processes_end_by_themselves(start: Start) -> None:
    pipe = start(GOES_ON, "cat")
    until_printed(pipe, ["first"])
    pipe.terminate()
    assert all_lines(pipe) == ["last"]
    wait_for(lambda: pipe.exit_code(0) == 0)
    pipe.terminate()


def test_a_first_process_whose_reader_has_ended_is_terminated_at_once(start: Start) -> None:
    pipe = start("exec sleep 1000", "true")
    wait_for(lambda: pipe.has_ended)
    pipe.stop()
    assert pipe.exit_code(0) == -signal.SIGTERM  # not killed at the deadline


def test_its_descriptor_is_readable_when_there_is_something_to_read(start: Start) -> None:
    pipe = start("sleep 0.1; echo one; exec sleep 60")
    readable = select.poll()
    readable.register(pipe, select.POLLIN)
    assert readable.poll(10_000) == [(pipe.fileno(), select.POLLIN)]
    assert pipe.read() == ["one"]
    assert readable.poll(50) == []


def test_the_memory_of_a_running_process_is_known(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = start("exec sleep 60")
    assert pipe.resident_bytes(0) > 0

    def exhausted(*_: object) -> None:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(psutil, "Process", exhausted)
        assert pipe.resident_bytes(0) == 0
    pipe.kill()
    assert pipe.resident_bytes(0) == 0


def test_a_killed_pipe_can_be_killed_and_read_again(start: Start) -> None:
    pipe = start("exec sleep 60", "cat")
    pipe.kill()
    pipe.kill()
    assert pipe.read() == []
    assert pipe.exit_code(0) == -signal.SIGKILL


def test_a_missing_program_leaves_no_process_behind() -> None:
    before = psutil.Process().children()
    with pytest.raises(FileNotFoundError):
        ProcessPipe([["sleep", "60"], ["/nonexistent/program"]])
    assert psutil.Process().children() == before


def test_what_the_first_process_prints_waits_for_the_last(start: Start) -> None:
    pipe = start("echo early; echo 'ready' >&2", "cat", hold_back=True)
    wait_for(lambda: pipe.read() == [] and pipe.error_lines(0) == ["ready"])
    assert pipe.exit_code(1) is None
    pipe.start_last()
    pipe.start_last()
    assert all_lines(pipe) == ["early"]


def test_stopping_starts_the_last_process_to_print_everything(start: Start) -> None:
    pipe = start("echo ready >&2; " + GOES_ON, "cat", hold_back=True)
    wait_for(lambda: pipe.read() == [] and pipe.error_lines(0) == ["ready"])
    assert pipe.stop() == ["first", "last"]
