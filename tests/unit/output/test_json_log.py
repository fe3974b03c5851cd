"""The log: whole lines in the right file, through rotation and whatever a disk refuses."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from portsentry_py.errors import OutputError
from portsentry_py.events.model import Event
from portsentry_py.output import log_file
from portsentry_py.output.json_log import FileSink, ReaderGone, StreamSink, open_log
from tests.support.build import SCANNER, connections, log_lines, strict, syn, watch
from tests.support.build import connection_events as events
from tests.support.paths import ROOT


def written(log: Path, *given: Event) -> None:
    """A sensor's run that writes these events."""
    sink = FileSink(log)
    for event in given:
        sink.write(event)
    sink.close()


def text(path: Path) -> bytes:
    return path.read_bytes()


def test_each_event_is_one_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    written(log, *events())
    assert text(log) == b"".join(log_lines(events()))


def test_each_line_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a reader could see half of it."""
    writes: list[bytes] = []

    def note(descriptor: int, data: bytes) -> int:
        writes.append(data)
        return real(descriptor, data)

    real = os.write
    sink = FileSink(tmp_path / "log")
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", note)
        for event in events():
            sink.write(event)
    sink.close()
    assert writes == log_lines(events())


def test_an_existing_log_is_continued(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"before\n")
    sink = open_log(str(log))
    sink.write(events()[0])
    sink.close()
    assert text(log) == b"before\n" + log_lines(events())[0]


def test_rotation_by_rename_and_create_is_followed(tmp_path: Path) -> None:
    log, old = tmp_path / "log", tmp_path / "log.1"
    first, second, third = events()
    sink = FileSink(log)
    sink.write(first)
    log.rename(old)
    sink.write(second)
    assert not log.exists(), "logrotate's create would meet a file that it did not expect"
    log.touch(0o640)
    sink.write(third)
    sink.close()
    lines = log_lines(events())
    assert [text(old), text(log)] == [lines[0] + lines[1], lines[2]]


def test_a_log_that_nobody_makes_again_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, old = tmp_path / "log", tmp_path / "log.1"
    first, second, third = events()
    clock = [time.time()]
    monkeypatch.setattr(time, "time", lambda: clock[0])
    sink = FileSink(log)
    sink.write(first)
    log.rename(old)
    sink.write(second)
    clock[0] += 60
    sink.write(third)
    sink.close()
    lines = log_lines(events())
    assert [text(old), text(log)] == [lines[0] + lines[1], lines[2]]


def test_a_line_long_after_a_rotation_goes_into_the_new_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be a ban, and fail2ban does not read the old one."""
    log = tmp_path / "log"
    sink = FileSink(log)
    log.rename(tmp_path / "log.1")
    hour_later = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: hour_later)
    sink.write(events()[0])
    sink.close()
    assert text(log) == log_lines(events())[0]


def test_rotation_by_copytruncate_is_followed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    first, second, _ = events()
    sink = FileSink(log)
    sink.write(first)
    os.truncate(log, 0)
    sink.write(second)
    sink.close()
    assert text(log) == log_lines(events())[1]


def test_copytruncate_loses_what_is_written_after_its_copy_and_nothing_else(tmp_path: Path) -> None:
    log, old = tmp_path / "log", tmp_path / "log.1"
    first, second, third = events()
    sink = FileSink(log)
    sink.write(first)
    shutil.copy(log, old)
    sink.write(second)
    os.truncate(log, 0)
    sink.write(third)
    sink.close()
    assert [text(old), text(log)] == [log_lines(events())[0], log_lines(events())[2]]


def test_a_log_that_was_removed_is_made_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    sink = FileSink(log)
    log.unlink()
    sink.write(events()[0])
    assert text(log) == log_lines(events())[0]
    assert log.stat().st_mode & 0o777 == 0o640
    sink.close()


def test_a_line_written_into_a_log_that_was_just_removed_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever deletes the log can do so between our look at the path and our write."""
    log = tmp_path / "log"
    sink = FileSink(log)
    real, left = os.write, [log]

    def delete_first(descriptor: int, data: bytes) -> int:
        if left:
            left.pop().unlink()
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", delete_first)
    sink.write(events()[0])
    sink.close()
    assert text(log) == log_lines(events())[0]


@pytest.mark.parametrize("left", [b'{"timestamp":"20', b"\0\0\0", b'whole\n{"ti'])
def test_what_a_killed_sensor_left_is_ended_before_the_next_line(tmp_path: Path, left: bytes) -> None:
    log = tmp_path / "log"
    log.write_bytes(left)
    written(log, events()[0])
    assert text(log) == left + b"\n" + log_lines(events())[0]


def test_what_others_left_in_the_log_of_a_rotation_is_ended_too(tmp_path: Path) -> None:
    log = tmp_path / "log"
    sink = FileSink(log)
    log.rename(tmp_path / "log.1")
    log.write_bytes(b"half")
    sink.write(events()[0])
    with log.open("ab") as file:
        file.write(b"half again")
    sink.write(events()[1])
    sink.close()
    lines = log_lines(events())
    assert text(log) == b"half\n" + lines[0] + b"half again\n" + lines[1]


def test_a_truncation_between_looks_leaves_no_empty_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    sink = FileSink(log)
    sink.write(events()[0])
    real = os.pread

    def truncate_first(descriptor: int, count: int, offset: int) -> bytes:
        os.truncate(log, 0)
        return real(descriptor, count, offset)

    monkeypatch.setattr(os, "pread", truncate_first)
    sink.write(events()[1])
    sink.close()
    assert text(log) == log_lines(events())[1]


def limited(tmp_path: Path, limit: int, before: str = "") -> tuple[bytes, bytes]:
    """Write with a limit on the size of files, then without one; gives the log at both moments.

    A process that may not write past a size sees what it sees on a full disk: a short write, then an error.
    """
    script = f"""
        import os, resource, sys
        from pathlib import Path
        from portsentry_py.errors import OutputError
        from portsentry_py.output.json_log import FileSink
        from tests.unit.output.test_json_log import events

        {before}
        log, limit = Path(sys.argv[1]), int(sys.argv[2])
        sink = FileSink(log)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        waiting = events()
        try:
            while waiting:
                sink.write(waiting[0])
                waiting.pop(0)
        except OutputError as error:
            assert "raise the limit on the size of files" in str(error), error
        assert waiting
        full = log.read_bytes()
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        for event in waiting:
            sink.write(event)
        sink.close()
        Path(sys.argv[3]).write_bytes(full)
    """
    log, copy = tmp_path / "log", tmp_path / "copy"
    command = [sys.executable, "-c", textwrap.dedent(script), str(log), str(limit), str(copy)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return copy.read_bytes(), log.read_bytes()


@pytest.mark.parametrize("more", [0, 1, 40, -1])
def test_a_half_line_never_stands_and_lines_come_when_there_is_room(tmp_path: Path, more: int) -> None:
    lines = log_lines(events())
    full, later = limited(tmp_path, len(lines[0]) + more)
    assert full == (lines[0] if more >= 0 else b"")
    assert later == b"".join(lines)


def test_a_half_line_that_cannot_be_taken_back_is_completed(tmp_path: Path) -> None:
    """As in a log with chattr's +a, or when the disk is failing."""
    lines = log_lines(events())
    refuse = "os.ftruncate = lambda *_: os.open('/nonexistent', 0)"
    full, later = limited(tmp_path, len(lines[0]) + 40, refuse)
    assert full == lines[0] + lines[1][:40]
    assert later == b"".join(lines)


class Tight:
    """os.write on a disk with little room, and os.ftruncate on one that refuses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self.room = room
        self._write = os.write
        monkeypatch.setattr(os, "write", self.write)
        monkeypatch.setattr(os, "ftruncate", self.ftruncate)

    def write(self, descriptor: int, data: bytes) -> int:
        """Write what there is room for."""
        if not self.room:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        done = self._write(descriptor, data[: self.room])
        self.room -= done
        return done

    def ftruncate(self, _descriptor: int, _length: int) -> None:
        """Refuse."""
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_half_line_goes_away_with_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rest must not stand in another file, nor in what is left of this one."""
    log = tmp_path / "log"
    sink = FileSink(log)
    first, second, third = events()
    tight = Tight(monkeypatch, 20)
    with pytest.raises(OutputError, match="dmesg"):
        sink.write(first)
    os.truncate(log, 0)
    tight.room = 10_000
    sink.write(first)
    tight.room = 20
    with pytest.raises(OutputError):
        sink.write(second)
    log.rename(tmp_path / "log.1")
    log.touch(0o640)
    tight.room = 10_000
    sink.write(second)
    sink.write(third)
    sink.close()
    lines = log_lines(events())
    assert text(tmp_path / "log.1") == lines[0] + lines[1][:20]
    assert text(log) == lines[1] + lines[2]


def test_a_half_line_that_others_wrote_behind_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    sink = FileSink(log)
    tight = Tight(monkeypatch, 20)
    with pytest.raises(OutputError):
        sink.write(events()[0])
    with log.open("ab") as file:
        file.write(b"theirs")
    tight.room = 10_000
    sink.write(events()[0])
    sink.close()
    line = log_lines(events())[0]
    assert text(log) == line[:20] + b"theirs\n" + line


def test_what_others_wrote_is_not_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    sink = FileSink(log)
    real = os.write

    def intrude(descriptor: int, data: bytes) -> int:
        if log.stat().st_size:
            real(descriptor, b"theirs")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data[:20])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", intrude)
        with pytest.raises(OutputError, match="make room"):
            sink.write(events()[0])
    sink.close()
    assert text(log) == log_lines(events())[0][:20] + b"theirs"


@pytest.mark.parametrize(
    ("number", "fix"),
    [
        (errno.ENOSPC, "make room on its file system"),
        (errno.EDQUOT, "raise the quota"),
        (errno.EFBIG, "LimitFSIZE="),
        (errno.EROFS, "remount,rw"),
        (errno.EIO, "dmesg"),
        (errno.ESTALE, "--log"),
    ],
)
def test_what_a_disk_refuses_is_told_with_the_fix_and_the_file_opened_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, fix: str
) -> None:
    """A file of a file system that was mounted anew can have the same number and be dead for us."""

    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    opened: list[Path] = []

    def note(path: Path) -> int:
        opened.append(path)
        return real(path)

    log = tmp_path / "log"
    sink = FileSink(log)
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", refuse)
        with pytest.raises(OutputError, match=fix):
            sink.write(events()[0])
    real = log_file.open_log
    monkeypatch.setattr(log_file, "open_log", note)
    sink.write(events()[0])
    sink.write(events()[1])
    sink.close()
    assert opened == [log]
    assert text(log) == b"".join(log_lines(events()[:2]))


def place_link(log: Path, victim: Path) -> None:
    log.symlink_to(victim)


def place_hard_link(log: Path, victim: Path) -> None:
    log.hardlink_to(victim)


def place_fifo(log: Path, _victim: Path) -> None:
    os.mkfifo(log)


def place_directory(log: Path, _victim: Path) -> None:
    log.mkdir()


def place_writable(log: Path, _victim: Path) -> None:
    log.touch()
    log.chmod(0o666)


PLACES = pytest.mark.parametrize(
    ("place", "cause"),
    [
        (place_link, "a symbolic link"),
        (place_hard_link, "2 names"),
        (place_fifo, "a FIFO"),
        (place_directory, "a directory"),
        (place_writable, "everybody may write it"),
    ],
)


@PLACES
def test_a_path_that_was_exchanged_is_not_written_and_followed_when_it_is_good_again(
    tmp_path: Path, place: Callable[[Path, Path], None], cause: str
) -> None:
    log, victim, old = tmp_path / "log", tmp_path / "victim", tmp_path / "log.1"
    victim.write_bytes(b"precious\n")
    sink = FileSink(log)
    sink.write(events()[0])
    log.rename(old)
    place(log, victim)
    for _ in range(2):
        with pytest.raises(OutputError, match=cause):
            sink.write(events()[1])
    assert text(victim) == b"precious\n"
    assert text(old) == log_lines(events())[0]
    log.rename(tmp_path / "evidence")
    log.touch(0o640)
    sink.write(events()[1])
    sink.close()
    assert text(log) == log_lines(events())[1]


@pytest.mark.parametrize("target", ["/dev/full", "/dev/stdout", "/dev/null"])
def test_a_device_is_no_log(target: str) -> None:
    with pytest.raises(OutputError, match=r"it is a (device|symbolic link)\); .*regular file"):
        open_log(target)


def test_a_dash_is_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    sink = open_log("-")
    for event in events():
        sink.write(event)
    sink.close()
    assert capfd.readouterr().out.encode() == b"".join(log_lines(events()))


def test_a_pipe_that_takes_little_gets_whole_lines() -> None:
    reader, writer = os.pipe()
    sink = StreamSink(writer)
    sink.write(events()[0])
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert json.loads(pipe.read())["event_type"] == "connection"


def test_a_pipe_that_somebody_made_non_blocking_gets_whole_lines() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    lines = log_lines(events()) * 200
    got: list[bytes] = []

    def read() -> None:
        with os.fdopen(reader, "rb") as pipe:
            got.append(pipe.read())

    sink = StreamSink(writer)
    late = threading.Timer(0.2, read)
    late.start()
    for event in events() * 200:
        sink.write(event)
    os.close(writer)
    late.join()
    assert got == [b"".join(lines)]


def test_standard_output_in_a_file_waits_for_room_and_goes_on_within_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "out").open("ab") as out:
        sink = StreamSink(out.fileno())
        tight = Tight(monkeypatch, 20)
        with pytest.raises(OutputError, match="standard output"):
            sink.write(events()[0])
        tight.room = 10_000
        sink.write(events()[0])
    assert text(tmp_path / "out") == log_lines(events())[0]


def test_standard_output_that_fails_for_good_is_told() -> None:
    with Path("/dev/full").open("ab", buffering=0) as full, pytest.raises(OSError, match="No space left"):
        StreamSink(full.fileno()).write(events()[0])


def test_an_interface_of_any_name_can_be_logged(tmp_path: Path) -> None:
    """Linux takes any bytes for an interface name, and a pcapng file any text."""
    (probe,) = syn(SCANNER, 100)
    (event,) = connections(watch(strict(), dataclasses.replace(probe, iface="wlän0")))
    written(tmp_path / "log", event)
    record = json.loads(text(tmp_path / "log").decode("ascii"))
    assert record["src_ip"] == SCANNER


def test_a_reader_that_has_had_enough_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    sink = StreamSink(writer)
    with pytest.raises(ReaderGone):
        sink.write(events(1)[0])
    os.close(writer)
