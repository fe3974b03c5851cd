"""The log on real file systems and pipes: full, broken, frozen, rotated in a burst."""

import dataclasses
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from portsentry_py.events.model import Event
from portsentry_py.output import async_writer
from portsentry_py.output.async_writer import AsyncWriter
from portsentry_py.output.json_log import FileSink, StreamSink
from tests.support.build import SCANNER, connections, log_lines, refused, strict, syn, watch
from tests.support.build import connection_events as events
from tests.support.disk import fill, frozen, small_disk
from tests.support.needs import require_tool
from tests.support.other_users import NOBODY, nobody, shared_folder
from tests.support.paths import ROOT
from tests.support.running import run, run_python
from tests.support.waiting import PATIENCE_SECONDS, wait_for

BURST = 5000


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here takes seconds, unless the machine is slow: then the end waits, and nothing has stood still."""
    monkeypatch.setattr(async_writer, "_RETRY_SECONDS", 0.02)
    monkeypatch.setattr(async_writer, "_STALL_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(async_writer, "_CLOSE_SECONDS", PATIENCE_SECONDS)


@pytest.fixture
def _stalls_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(async_writer, "_STALL_SECONDS", 0.1)


def numbered(count: int) -> Iterator[Event]:
    """Events that differ in a number, the source's port."""
    (event,) = connections(watch(strict(), refused(syn(SCANNER, 100))))
    return (dataclasses.replace(event, src_port=number) for number in range(count))


def numbers(*files: Path) -> list[int]:
    """The numbers of all lines in these files, each of which must be whole."""
    found = []
    for path in files:
        text = path.read_bytes()
        assert not text or text.endswith(b"\n"), f"{path} ends in half a line"
        found += [json.loads(line)["src_port"] for line in text.splitlines()]
    return found


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "portsentry_py.output.async_writer"]


def tick_until(sink: AsyncWriter[Event], look: Callable[[], object]) -> None:
    """What the sensor does each second, until something is seen."""

    def tick() -> object:
        sink.flush()
        return look()

    wait_for(tick, "a word")


@pytest.mark.parametrize("append_only", [False, True])
def test_a_full_disk_gets_every_line_in_order_when_there_is_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, append_only: bool
) -> None:
    """In an append-only file, half a line cannot be taken back; its other half follows."""
    with small_disk(tmp_path) as disk:
        log = disk / "log"
        sink = AsyncWriter(FileSink(log), str(log))
        given = list(numbered(20))
        sink.write(given[0])
        wait_for(lambda: log.stat().st_size, "the first line")
        if append_only:
            run(require_tool("chattr"), "+a", log)
        filler = fill(disk)
        for event in given[1:]:
            sink.write(event)
        wait_for(lambda: told(caplog), "a word")
        (sentence,) = told(caplog)
        assert sentence.startswith(f"{log}: cannot write the log (No space left on device); make room")
        assert sentence.endswith(" Lines wait until then.")
        assert log.stat().st_size < len(b"".join(log_lines(given)))
        # Each attempt writes a part of the next line, and takes it back.
        wait_for(lambda: append_only or log.read_bytes().endswith(b"\n"), "whole lines")
        filler.unlink()
        sink.close()
        assert sink.lost == 0
        assert log.read_bytes() == b"".join(log_lines(given))
        assert told(caplog)[1:] in ([], [f"{log}: can be written again."])
        run("chattr", "-a", log)


def test_a_broken_file_system_that_is_mounted_anew_gets_every_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """ext4 makes itself read-only at an error; what we hold open stays so after another mount."""
    with small_disk(tmp_path) as disk:
        log = disk / "log"
        run("mount", "-o", "remount,errors=remount-ro", disk)
        device = run("findmnt", "-no", "SOURCE", disk).strip()
        trigger = Path("/sys/fs/ext4", Path(device).name, "trigger_fs_error")
        sink = AsyncWriter(FileSink(log), str(log))
        given = list(numbered(5))
        sink.write(given[0])
        wait_for(lambda: log.stat().st_size, "the first line")
        os.sync()  # what is written after that would be lost
        trigger.write_text("1")
        for event in given[1:]:
            sink.write(event)
        wait_for(lambda: told(caplog), "a word")
        assert "Read-only file system" in told(caplog)[0]
        shutil.copy(tmp_path / "disk.img", tmp_path / "mended.img")
        # On top of the old one: without either, a log of its own would be made in the folder below.
        run("mount", "-o", "loop", tmp_path / "mended.img", disk)
        try:
            wait_for(lambda: log.stat().st_size >= len(b"".join(log_lines(given))), "the rest")
            sink.close()
            assert log.read_bytes() == b"".join(log_lines(given))
            assert sink.lost == 0
        finally:
            run("umount", "--lazy", disk)


@pytest.mark.usefixtures("_stalls_soon")
def test_a_frozen_file_system_holds_nobody_up_and_gets_every_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with small_disk(tmp_path) as disk:
        log = disk / "log"
        sink = AsyncWriter(FileSink(log), str(log))
        given = list(numbered(1000))
        with frozen(disk):
            for event in given:
                sink.write(event)
            tick_until(sink, lambda: told(caplog))
            assert log.stat().st_size == 0
        wait_for(lambda: "goes on after" in told(caplog)[-1], "another word")
        sink.close()
        assert log.read_bytes() == b"".join(log_lines(given))
        assert sink.lost == 0
        assert len(told(caplog)) == 2


def test_the_end_of_the_program_does_not_wait_for_a_full_pipe() -> None:
    """A reader that reads nothing: most lines are lost, all are counted, and the process exits."""
    script = """
        import sys
        from portsentry_py.output import async_writer
        from portsentry_py.output.json_log import StreamSink
        from portsentry_py.output.async_writer import AsyncWriter
        from tests.integration.test_log_disk import numbered

        async_writer._CLOSE_SECONDS = 0.2
        sink = AsyncWriter(StreamSink(), "standard output")
        for event in numbered(12_000):
            sink.write(event)
        before = sink.lost
        sink.close()
        print(before, sink.lost, file=sys.stderr)
    """
    reader, writer = os.pipe()
    try:
        done = run_python(script, stdout=writer)
    finally:
        os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        *whole, _half = pipe.read().split(b"\n")
    before, lost = map(int, done.stderr.splitlines()[-1].split())
    assert 0 < before < lost
    assert [json.loads(line)["src_port"] for line in whole] == list(range(len(whole)))
    assert len(whole) + lost == 12_000


@pytest.mark.usefixtures("_stalls_soon")
def test_a_reader_that_was_away_gets_what_waited(caplog: pytest.LogCaptureFixture) -> None:
    reader, writer = os.pipe()
    sink = AsyncWriter(StreamSink(writer), "standard output")
    for event in numbered(2000):
        sink.write(event)
    tick_until(sink, lambda: told(caplog))
    got: list[bytes] = []

    def read() -> None:
        with os.fdopen(reader, "rb") as pipe:
            got.extend(pipe.read().splitlines())

    late = threading.Thread(target=read)
    late.start()
    sink.close()
    os.close(writer)
    late.join()
    assert [json.loads(line)["src_port"] for line in got] == list(range(2000))
    assert sink.lost == 0


class Burst:
    """A burst of lines, and rotations meanwhile, one of them for certain."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._done = False
        self.rotations = 0

    def run(self, rotate: Callable[[], bool]) -> None:
        sink = AsyncWriter(FileSink(self._log), str(self._log))
        turner = threading.Thread(target=self._turn, args=[rotate])
        turner.start()
        for number, event in enumerate(numbered(BURST)):
            if number == BURST // 2:
                wait_for(lambda: self.rotations, "a rotation")
            sink.write(event)
        self._done = True
        turner.join()
        sink.close()
        assert sink.lost == 0

    def _turn(self, rotate: Callable[[], bool]) -> None:
        while not self._done:
            self.rotations += rotate()


def logrotate(folder: Path, *how: str) -> Callable[[], bool]:
    """The real one, which rotates a log in this folder whenever it is called."""
    require_tool("logrotate")
    plan = folder / "plan"
    words = "\n".join(("rotate 9999", "size 1", "missingok", *how))
    plan.write_text(f"{folder / 'logs/log'} {{\n{words}\n}}\n")
    plan.chmod(0o600)

    def rotate() -> bool:
        before = set(folder.glob("logs/log.*"))
        run("logrotate", "-s", folder / "state", plan)
        return set(folder.glob("logs/log.*")) > before

    return rotate


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir(mode=0o755)
    return folder


def test_a_burst_over_rotations_by_rename_loses_and_doubles_no_line(tmp_path: Path, logs: Path) -> None:
    burst = Burst(logs / "log")
    burst.run(logrotate(tmp_path, "create 0640"))
    assert burst.rotations
    assert sorted(numbers(*logs.iterdir())) == list(range(BURST))


def test_a_burst_over_copytruncate_loses_what_came_between_copy_and_truncation_alone(
    tmp_path: Path, logs: Path
) -> None:
    """That is copytruncate's own: the copy may end within a line, and the rest is cut off."""
    burst = Burst(logs / "log")
    burst.run(logrotate(tmp_path, "copytruncate"))
    for copy in logs.glob("log.*"):
        text = copy.read_bytes()
        copy.write_bytes(text[: text.rfind(b"\n") + 1])
    parts = sorted(numbers(path) for path in logs.iterdir())
    found = [number for part in parts for number in part]
    assert found == sorted(set(found)), "none is doubled or out of order"
    gaps = sum(later != earlier + 1 for earlier, later in zip([-1, *found], [*found, BURST], strict=True))
    assert gaps <= burst.rotations, "each rotation lost at most one piece"


def test_a_burst_over_deletions_loses_no_line_that_was_not_deleted(logs: Path) -> None:
    log = logs / "log"
    held: list[int] = []

    def delete() -> bool:
        is_written = log.exists() and log.stat().st_size > 0
        if is_written:
            held.append(os.open(log, os.O_RDONLY))
            log.unlink()
        return is_written

    Burst(log).run(delete)
    deleted = []
    for descriptor in held:
        with os.fdopen(descriptor, "rb") as file:
            deleted.append([json.loads(line)["src_port"] for line in file.read().splitlines()])
    assert {number for part in deleted for number in part} | set(numbers(log)) == set(range(BURST))
    for part, later in zip(deleted, [*deleted[1:], numbers(log)], strict=True):
        # The line that was on its way when the file was deleted stands in the next one too.
        assert len(set(part) & set(later)) <= 1


class Conversation:
    """A script that does its next step at each empty line, and prints a line when it is done."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin
        assert process.stdout
        self._words, self._answers = process.stdin, process.stdout

    def ask(self) -> str:
        """Let it go on; what it says."""
        self._words.write("\n")
        return self._answers.readline()


STEPS = """
    log = Path(sys.argv[1])
    sink = json_log.FileSink(log)
    waiting = events(4)
    while sys.stdin.readline():
        try:
            sink.write(waiting[0])
            print("written", len(waiting), flush=True)
            waiting.pop(0)
        except PortsentryError as error:
            print(error, flush=True)
"""


def test_an_unprivileged_sensor_waits_for_a_log_that_was_deleted_and_for_no_other() -> None:
    """It cannot make a new one. What it wrote into the deleted file nobody would ever see."""

    def make(log: Path) -> None:
        log.touch(0o640)
        os.chown(log, NOBODY, NOBODY)

    with shared_folder() as folder:
        log, old = folder / "log", folder / "log.1"
        make(log)
        with nobody(STEPS, log) as process:
            sensor = Conversation(process)
            assert sensor.ask() == "written 4\n"
            first = log.read_bytes()
            log.unlink()
            for _ in range(2):
                sentence = sensor.ask()
                assert "the log was deleted and you may not make a new one" in sentence
                assert "systemd-tmpfiles --create portsentry-py.conf" in sentence
            assert not log.exists()
            make(log)
            assert sensor.ask() == "written 3\n"
            log.rename(old)
            os.utime(old, (0, 0))
            assert sensor.ask() == "written 2\n", "logrotate renames before it makes the new one"
            log.touch(0o600)
            assert "you may not write the log" in sensor.ask(), "and is not yet done with it"
            make(log)
            assert sensor.ask() == "written 1\n"
        lines = log_lines(events(4))
        assert [first, old.read_bytes(), log.read_bytes()] == [lines[0], lines[1] + lines[2], lines[3]]


def test_systemd_makes_the_log_that_the_sentence_promises(tmp_path: Path) -> None:
    tool = shutil.which("systemd-tmpfiles")
    if tool is None:
        pytest.skip("this machine runs without systemd")  # a container
    shutil.copy(ROOT / "config/portsentry-py.tmpfiles", tmp_path / "portsentry-py.conf")
    (tmp_path / "var/log").mkdir(parents=True)
    (tmp_path / "etc").mkdir()
    for name in ("passwd", "group"):
        shutil.copy(f"/etc/{name}", tmp_path / "etc" / name)
    with (tmp_path / "etc/passwd").open("a") as users:
        users.write(f"portsentry:x:{os.geteuid()}:{os.getegid()}::/:/bin/false\n")
    run(tool, f"--root={tmp_path}", "--create", tmp_path / "portsentry-py.conf")
    made = tmp_path / "var/log/portsentry.log"
    assert made.stat().st_mode & 0o777 == 0o640
    FileSink(made).close()
