"""The log: whole lines, through rotation and a full disk."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from portsentry_py.errors import OutputError, PermissionDenied
from portsentry_py.events import Event
from portsentry_py.sinks import FileSink, ReaderGone, StreamSink, open_log
from tests.build import SCANNER, connections, log_lines, refused, strict, syn, watch


def events(count: int = 3) -> list[Event]:
    found = connections(watch(strict(), refused(syn(SCANNER, *range(100, 100 + count)))))
    assert len(found) == count
    return list(found)


def text(path: Path) -> bytes:
    return path.read_bytes()


def test_each_event_is_one_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    sink = FileSink(log)
    for event in events():
        sink.write(event)
    sink.close()
    assert text(log) == b"".join(log_lines(events()))
    assert sink.lost == 0


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


def test_the_log_is_not_for_everybody(tmp_path: Path) -> None:
    FileSink(tmp_path / "log").close()
    assert (tmp_path / "log").stat().st_mode & 0o007 == 0


def test_rotation_by_rename_is_followed(tmp_path: Path) -> None:
    log, old = tmp_path / "log", tmp_path / "log.1"
    first, second, third = events()
    sink = FileSink(log)
    sink.write(first)
    log.rename(old)
    sink.write(second)
    log.rename(tmp_path / "log.2")
    log.write_bytes(b"")  # logrotate's `create`
    sink.write(third)
    sink.close()
    assert [text(path) for path in (old, tmp_path / "log.2", log)] == log_lines(events())


def test_rotation_by_copytruncate_is_followed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    first, second, _ = events()
    sink = FileSink(log)
    sink.write(first)
    os.truncate(log, 0)
    sink.write(second)
    sink.close()
    assert text(log) == log_lines(events())[1]


def test_a_log_that_was_removed_is_made_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    sink = FileSink(log)
    log.unlink()
    sink.write(events()[0])
    assert text(log) == log_lines(events())[0]
    sink.close()


def test_lines_wait_while_the_directory_is_gone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    sink = FileSink(folder / "log")
    folder.rename(tmp_path / "gone")
    first, second, third = events()
    sink.write(first)
    sink.write(second)
    assert len([record for record in caplog.records if "lines wait" in record.message]) == 1
    (tmp_path / "gone").rename(folder)
    sink.write(third)
    sink.close()
    assert text(folder / "log") == b"".join(log_lines(events()))
    assert "can be written again" in caplog.text
    assert sink.lost == 0


def test_what_waits_comes_without_another_event(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    sink = FileSink(folder / "log")
    folder.rename(tmp_path / "gone")
    sink.write(events()[0])
    (tmp_path / "gone").rename(folder)
    sink.flush()
    assert text(folder / "log") == log_lines(events())[0]
    sink.close()


def test_what_a_full_disk_never_took_is_counted() -> None:
    sink = FileSink(Path("/dev/full"))
    for event in events():
        sink.write(event)
    assert sink.lost == 0
    sink.close()
    assert sink.lost == 3


def test_what_waits_is_bounded_and_the_oldest_is_lost() -> None:
    sink = FileSink(Path("/dev/full"))
    (event,) = events(1)
    for _ in range(10_050):
        sink.write(event)
    assert sink.lost == 50
    sink.close()
    assert sink.lost == 10_050


def limited(tmp_path: Path, limit: int) -> tuple[bytes, bytes, int]:
    """Write with a limit on the size of files, then without one; gives the log at both moments.

    A process that may not write past a size sees what it sees on a full disk: a short write, then an error.
    """
    script = """
        import resource, sys
        from pathlib import Path
        from portsentry_py.sinks import FileSink
        from tests.test_sinks import events

        log, limit = Path(sys.argv[1]), int(sys.argv[2])
        sink = FileSink(log)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        for event in events():
            sink.write(event)
        full = log.read_bytes()
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        sink.flush()
        sink.close()
        Path(sys.argv[3]).write_bytes(full)
        print(sink.lost)
    """
    log, copy = tmp_path / "log", tmp_path / "copy"
    command = [sys.executable, "-c", textwrap.dedent(script), str(log), str(limit), str(copy)]
    root = Path(__file__).parent.parent
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, cwd=root)
    assert done.returncode == 0, done.stderr
    return copy.read_bytes(), log.read_bytes(), int(done.stdout)


@pytest.mark.parametrize("more", [0, 1, 40, -1])
def test_a_half_line_never_stands_and_lines_come_when_there_is_room(tmp_path: Path, more: int) -> None:
    lines = log_lines(events())
    full, later, lost = limited(tmp_path, len(lines[0]) + more)
    assert full == (lines[0] if more >= 0 else b"")
    assert later == b"".join(lines)
    assert lost == 0


def test_a_missing_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot write the log \(No such file or directory\)"):
        FileSink(tmp_path / "none" / "log")


def test_a_directory_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write the log"):
        FileSink(tmp_path)


def test_a_log_that_may_not_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PermissionDenied, match="may not write the log"):
        FileSink(tmp_path / "log")


def test_between_rename_and_create_the_old_file_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sensor that may not create a file in /var/log waits for logrotate to do it."""

    def refuse(*_: object) -> int:
        raise PermissionError(13, os.strerror(13))

    log, old = tmp_path / "log", tmp_path / "log.1"
    sink = FileSink(log)
    log.rename(old)
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        sink.write(events()[0])
    assert text(old) == log_lines(events())[0]
    sink.write(events()[1])
    assert text(log) == log_lines(events())[1]
    sink.close()


def test_a_dash_is_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    sink = open_log("-")
    for event in events():
        sink.write(event)
    sink.flush()
    sink.close()
    assert capfd.readouterr().out.encode() == b"".join(log_lines(events()))


def test_a_pipe_that_takes_little_gets_whole_lines() -> None:
    reader, writer = os.pipe()
    sink = StreamSink(writer)
    sink.write(events()[0])
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert json.loads(pipe.read())["event_type"] == "connection"


def test_an_interface_of_any_name_can_be_logged(tmp_path: Path) -> None:
    """Linux takes any bytes for an interface name, and a pcapng file any text."""
    (probe,) = syn(SCANNER, 100)
    (event,) = connections(watch(strict(), dataclasses.replace(probe, iface="wlän0")))
    sink = FileSink(tmp_path / "log")
    sink.write(event)
    sink.close()
    record = json.loads(text(tmp_path / "log").decode("ascii"))
    assert record["src_ip"] == SCANNER


def test_a_reader_that_has_had_enough_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    sink = StreamSink(writer)
    with pytest.raises(ReaderGone):
        sink.write(events(1)[0])
    os.close(writer)
