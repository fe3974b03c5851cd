"""The log holds whole lines in the right file, through every rotation and every error of a disk."""

import dataclasses
import errno
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from portsentry_py.errors import OutputEnded, OutputError, ReaderGone
from portsentry_py.events.model import Event
from portsentry_py.output import log_file
from portsentry_py.output.async_writer import Writer
from portsentry_py.output.json_log import FileSink, StreamSink, open_log
from tests.support.bad_logs import hard_link, link, writable
from tests.support.build import SCANNER, connection_events, connections, log_lines, strict, syn, watch
from tests.support.running import run_python


def run_sensor(log: Path, *given: Event) -> None:
    """One run of a sensor, which writes these events."""
    sink = FileSink(log)
    write(sink, *given)
    sink.close()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def sink(log: Path) -> FileSink:
    return FileSink(log)


def write(sink: Writer[Event], *given: Event) -> None:
    for event in given:
        sink.write(event)


def test_each_event_is_one_line(log: Path) -> None:
    run_sensor(log, *connection_events())
    assert log.read_bytes() == b"".join(log_lines(connection_events()))


def test_each_line_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader never sees half of a line."""
    writes: list[bytes] = []

    def note(descriptor: int, data: bytes) -> int:
        writes.append(data)
        return real(descriptor, data)

    real = os.write
    sink = FileSink(tmp_path / "log")
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", note)
        write(sink, *connection_events())
    sink.close()
    assert writes == log_lines(connection_events())


def test_an_existing_log_is_continued(log: Path) -> None:
    log.write_bytes(b"before\n")
    sink = open_log(str(log))
    sink.write(connection_events()[0])
    sink.close()
    assert log.read_bytes() == b"before\n" + log_lines(connection_events())[0]


def test_rotation_by_rename_and_create_is_followed(sink: FileSink, log: Path) -> None:
    old = log.with_name("log.1")
    first, second, third = connection_events()
    sink.write(first)
    log.rename(old)
    sink.write(second)
    assert not log.exists(), "logrotate's create would meet a file that it does not expect"
    log.touch(0o640)
    sink.write(third)
    sink.close()
    lines = log_lines(connection_events())
    assert [old.read_bytes(), log.read_bytes()] == [lines[0] + lines[1], lines[2]]


def test_a_log_that_nobody_creates_after_a_rename_is_created(monkeypatch: pytest.MonkeyPatch, log: Path) -> None:
    old = log.with_name("log.1")
    first, second, third = connection_events()
    clock = [time.time()]
    monkeypatch.setattr(time, "time", lambda: clock[0])
    sink = FileSink(log)
    sink.write(first)
    log.rename(old)
    sink.write(second)
    clock[0] += 60
    sink.write(third)
    sink.close()
    lines = log_lines(connection_events())
    assert [old.read_bytes(), log.read_bytes()] == [lines[0] + lines[1], lines[2]]


def test_a_line_long_after_a_rotation_goes_into_the_new_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sink: FileSink, log: Path
) -> None:
    """It may be a ban, and fail2ban does not read the old log."""
    log.rename(tmp_path / "log.1")
    hour_later = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: hour_later)
    sink.write(connection_events()[0])
    sink.close()
    assert log.read_bytes() == log_lines(connection_events())[0]


def test_rotation_by_copytruncate_is_followed(sink: FileSink, log: Path) -> None:
    first, second, _ = connection_events()
    sink.write(first)
    os.truncate(log, 0)
    sink.write(second)
    sink.close()
    assert log.read_bytes() == log_lines(connection_events())[1]


def test_copytruncate_loses_the_lines_after_its_copy_and_no_others(sink: FileSink, log: Path) -> None:
    old = log.with_name("log.1")
    first, second, third = connection_events()
    sink.write(first)
    shutil.copy(log, old)
    sink.write(second)
    os.truncate(log, 0)
    sink.write(third)
    sink.close()
    assert [old.read_bytes(), log.read_bytes()] == [
        log_lines(connection_events())[0],
        log_lines(connection_events())[2],
    ]


def test_a_removed_log_is_created_again(sink: FileSink, log: Path) -> None:
    log.unlink()
    sink.write(connection_events()[0])
    assert log.read_bytes() == log_lines(connection_events())[0]
    assert log.stat().st_mode & 0o777 == 0o640
    sink.close()


def test_a_line_that_went_into_a_removed_log_is_written_again(
    monkeypatch: pytest.MonkeyPatch, sink: FileSink, log: Path
) -> None:
    """The log can be deleted between our check of the path and our write."""
    real, left = os.write, [log]

    def delete_first(descriptor: int, data: bytes) -> int:
        if left:
            left.pop().unlink()
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", delete_first)
    sink.write(connection_events()[0])
    sink.close()
    assert log.read_bytes() == log_lines(connection_events())[0]


@pytest.mark.parametrize("left", [b'{"timestamp":"20', b"\0\0\0", b'whole\n{"ti'])
def test_a_partial_line_of_a_killed_sensor_is_ended_before_the_next_line(left: bytes, log: Path) -> None:
    log.write_bytes(left)
    run_sensor(log, connection_events()[0])
    assert log.read_bytes() == left + b"\n" + log_lines(connection_events())[0]


def test_a_partial_line_in_a_rotated_log_is_ended_too(tmp_path: Path, sink: FileSink, log: Path) -> None:
    log.rename(tmp_path / "log.1")
    log.write_bytes(b"half")
    sink.write(connection_events()[0])
    with log.open("ab") as file:
        file.write(b"half again")
    sink.write(connection_events()[1])
    sink.close()
    lines = log_lines(connection_events())
    assert log.read_bytes() == b"half\n" + lines[0] + b"half again\n" + lines[1]


def test_a_truncation_before_the_write_leaves_no_empty_line(
    monkeypatch: pytest.MonkeyPatch, sink: FileSink, log: Path
) -> None:
    sink.write(connection_events()[0])
    real = os.pread

    def truncate_first(descriptor: int, count: int, offset: int) -> bytes:
        os.truncate(log, 0)
        return real(descriptor, count, offset)

    monkeypatch.setattr(os, "pread", truncate_first)
    sink.write(connection_events()[1])
    sink.close()
    assert log.read_bytes() == log_lines(connection_events())[1]


def limited(tmp_path: Path, limit: int, before: str = "") -> tuple[bytes, bytes]:
    """Write with a limit on the size of files, then without one; returns the log at both moments.

    A process at its size limit sees the same as on a full disk: a short write, then an error.
    """
    script = f"""
        import os, resource, sys
        from pathlib import Path
        from portsentry_py.errors import OutputError
        from portsentry_py.output.json_log import FileSink
        from tests.support.build import connection_events

        {before}
        log, limit = Path(sys.argv[1]), int(sys.argv[2])
        sink = FileSink(log)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        waiting = connection_events()
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
    run_python(script, log, limit, copy)
    return copy.read_bytes(), log.read_bytes()


@pytest.mark.parametrize("more", [0, 1, 40, -1])
def test_a_partial_line_is_removed_and_written_when_there_is_room(tmp_path: Path, more: int) -> None:
    lines = log_lines(connection_events())
    full, later = limited(tmp_path, len(lines[0]) + more)
    assert full == (lines[0] if more >= 0 else b"")
    assert later == b"".join(lines)


def test_a_partial_line_that_cannot_be_removed_is_completed(tmp_path: Path) -> None:
    """As in a log with chattr +a, or on a failing disk."""
    lines = log_lines(connection_events())
    refuse = "os.ftruncate = lambda *_: os.open('/nonexistent', 0)"
    full, later = limited(tmp_path, len(lines[0]) + 40, refuse)
    assert full == lines[0] + lines[1][:40]
    assert later == b"".join(lines)


class Tight:
    """os.write on a disk with little room, and an os.ftruncate that fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self.room = room
        self._write = os.write
        monkeypatch.setattr(os, "write", self.write)
        monkeypatch.setattr(os, "ftruncate", self.ftruncate)

    def write(self, descriptor: int, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        done = self._write(descriptor, data[: self.room])
        self.room -= done
        return done

    def ftruncate(self, _descriptor: int, _length: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_partial_line_is_forgotten_with_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sink: FileSink, log: Path
) -> None:
    """Its rest must not go into another file, nor into this one after a truncation."""
    first, second, third = connection_events()
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
    write(sink, second, third)
    sink.close()
    lines = log_lines(connection_events())
    assert (tmp_path / "log.1").read_bytes() == lines[0] + lines[1][:20]
    assert log.read_bytes() == lines[1] + lines[2]


def test_a_partial_line_that_another_process_wrote_after_is_ended(
    monkeypatch: pytest.MonkeyPatch, sink: FileSink, log: Path
) -> None:
    tight = Tight(monkeypatch, 20)
    with pytest.raises(OutputError):
        sink.write(connection_events()[0])
    with log.open("ab") as file:
        file.write(b"theirs")
    tight.room = 10_000
    sink.write(connection_events()[0])
    sink.close()
    line = log_lines(connection_events())[0]
    assert log.read_bytes() == line[:20] + b"theirs\n" + line


def test_the_line_of_another_process_is_not_removed(monkeypatch: pytest.MonkeyPatch, sink: FileSink, log: Path) -> None:
    real = os.write

    def intrude(descriptor: int, data: bytes) -> int:
        if log.stat().st_size:
            real(descriptor, b"theirs")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data[:20])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", intrude)
        with pytest.raises(OutputError, match="make room"):
            sink.write(connection_events()[0])
    sink.close()
    assert log.read_bytes() == log_lines(connection_events())[0][:20] + b"theirs"


@pytest.mark.parametrize(
    ("number", "fix"),
    [
        (errno.ENOSPC, "make room on its file system"),
        (errno.EDQUOT, "raise the quota"),
        (errno.EFBIG, "LimitFSIZE="),
        (errno.EROFS, "remount,rw"),
        (errno.EIO, "dmesg"),
        (errno.ESTALE, "name another log"),
    ],
)
def test_a_disk_error_is_reported_with_its_fix_and_the_file_is_opened_again(
    monkeypatch: pytest.MonkeyPatch, number: int, fix: str, sink: FileSink, log: Path
) -> None:
    """After a new mount, the file at the path can have the same inode number and be another one."""

    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    opened: list[Path] = []

    def note(path: Path) -> int:
        opened.append(path)
        return real(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", refuse)
        with pytest.raises(OutputError, match=fix):
            sink.write(connection_events()[0])
    real = log_file.open_log
    monkeypatch.setattr(log_file, "open_log", note)
    write(sink, connection_events()[0], connection_events()[1])
    sink.close()
    assert opened == [log]
    assert log.read_bytes() == b"".join(log_lines(connection_events()[:2]))


@pytest.mark.parametrize(
    ("place", "cause"),
    [
        (link, "a symbolic link"),
        (hard_link, "2 names"),
        (os.mkfifo, "a FIFO"),
        (Path.mkdir, "a directory"),
        (writable, "everybody may write it"),
    ],
)
def test_a_path_that_was_exchanged_is_not_written_until_it_is_good_again(
    tmp_path: Path, place: Callable[[Path], object], cause: str
) -> None:
    log, victim, old = tmp_path / "log", tmp_path / "victim", tmp_path / "log.1"
    victim.write_bytes(b"precious\n")
    sink = FileSink(log)
    sink.write(connection_events()[0])
    log.rename(old)
    place(log)
    for _ in range(2):
        with pytest.raises(OutputError, match=cause):
            sink.write(connection_events()[1])
    assert victim.read_bytes() == b"precious\n"
    assert old.read_bytes() == log_lines(connection_events())[0]
    log.rename(tmp_path / "evidence")
    log.touch(0o640)
    sink.write(connection_events()[1])
    sink.close()
    assert log.read_bytes() == log_lines(connection_events())[1]


@pytest.mark.parametrize("target", ["/dev/full", "/dev/stdout", "/dev/null"])
def test_a_device_is_refused(target: str) -> None:
    with pytest.raises(OutputError, match=r"it is a (device|symbolic link)\); .*regular file"):
        open_log(target)


def test_a_dash_is_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    sink = open_log("-")
    write(sink, *connection_events())
    sink.close()
    assert capfd.readouterr().out.encode() == b"".join(log_lines(connection_events()))


def test_a_pipe_gets_whole_lines() -> None:
    reader, writer = os.pipe()
    sink = StreamSink(writer)
    sink.write(connection_events()[0])
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert json.loads(pipe.read())["event_type"] == "connection"


def test_a_non_blocking_pipe_gets_whole_lines() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    lines = log_lines(connection_events()) * 200
    got: list[bytes] = []

    def read() -> None:
        with os.fdopen(reader, "rb") as pipe:
            got.append(pipe.read())

    sink = StreamSink(writer)
    late = threading.Timer(0.2, read)
    late.start()
    for event in connection_events() * 200:
        sink.write(event)
    os.close(writer)
    late.join()
    assert got == [b"".join(lines)]


def test_standard_output_in_a_file_waits_for_room_and_completes_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "out").open("ab") as out:
        sink = StreamSink(out.fileno())
        tight = Tight(monkeypatch, 20)
        with pytest.raises(OutputError, match="standard output"):
            sink.write(connection_events()[0])
        tight.room = 10_000
        sink.write(connection_events()[0])
    assert (tmp_path / "out").read_bytes() == log_lines(connection_events())[0]


def test_standard_output_that_fails_for_good_is_the_end() -> None:
    with Path("/dev/full").open("ab", buffering=0) as full, pytest.raises(OutputEnded, match="No space left"):
        StreamSink(full.fileno()).write(connection_events()[0])


def test_an_interface_of_any_name_can_be_logged(tmp_path: Path) -> None:
    """Linux allows any bytes in an interface name, and a pcapng file any text."""
    (probe,) = syn(SCANNER, 100)
    (event,) = connections(watch(strict(), dataclasses.replace(probe, iface="wlän0")))
    run_sensor(tmp_path / "log", event)
    record = json.loads((tmp_path / "log").read_bytes().decode("ascii"))
    assert record["src_ip"] == SCANNER


def test_a_reader_that_closes_the_pipe_is_reported_as_such() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    sink = StreamSink(writer)
    with pytest.raises(ReaderGone):
        sink.write(connection_events(1)[0])
    os.close(writer)
