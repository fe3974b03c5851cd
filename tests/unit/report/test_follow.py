"""Every whole line comes once, in order, over rename with create and over copytruncate."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from portsentry_py.errors import InputError
from portsentry_py.report.follow import LogFollower
from portsentry_py.report.log_reader import LONGEST_LINE


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "portsentry.log"
    path.write_bytes(b"one\ntwo\n")
    return path


@pytest.fixture
def follower(log: Path) -> Iterator[LogFollower]:
    with closing(LogFollower(log)) as opened:
        assert list(opened.lines()) == [b"one", b"two"]
        yield opened


def add(path: Path, text: bytes) -> None:
    with path.open("ab") as file:
        file.write(text)


def test_a_line_comes_when_it_is_whole(log: Path, follower: LogFollower) -> None:
    add(log, b"thr")
    assert list(follower.lines()) == []
    add(log, b"ee\nfour\n")
    assert list(follower.lines()) == [b"three", b"four"]
    assert list(follower.lines()) == []


def test_a_log_that_is_renamed_is_read_to_its_end(log: Path, follower: LogFollower) -> None:
    old = log.rename(log.with_name("portsentry.log.1"))
    add(old, b"three\n")
    assert list(follower.lines()) == [b"three"]  # there is no new log yet
    log.write_bytes(b"five\n")
    assert list(follower.lines()) == []
    add(old, b"four\n")  # the sensor was about to write it
    assert list(follower.lines()) == [b"four", b"five"]
    add(log, b"six\n")
    assert list(follower.lines()) == [b"six"]


def test_a_log_that_is_truncated_is_read_from_its_beginning(log: Path, follower: LogFollower) -> None:
    os.truncate(log, 0)
    add(log, b"x\n")
    assert list(follower.lines()) == [b"x"]


def test_a_truncated_log_that_has_grown_past_the_old_end_is_recognized(log: Path, follower: LogFollower) -> None:
    os.truncate(log, 0)
    add(log, b"a\nlong\nline\n")
    assert list(follower.lines()) == [b"a", b"long", b"line"]


def test_the_first_line_behind_the_limit_is_whole(log: Path) -> None:
    with closing(LogFollower(log, limit=5)) as opened:
        assert list(opened.lines()) == [b"two"]
    with closing(LogFollower(log, limit=4)) as opened:
        assert list(opened.lines()) == [b"two"]


def test_a_line_without_an_end_fills_no_memory(log: Path, follower: LogFollower) -> None:
    for _ in range(3):
        add(log, b"x" * (4 * LONGEST_LINE))
        assert list(follower.lines()) == []
        assert len(follower._partial) <= LONGEST_LINE + 1
    add(log, b"\nthree\n")
    long, last = follower.lines()
    assert (len(long) > LONGEST_LINE, last) == (True, b"three")


def test_a_log_that_goes_away_is_waited_for(log: Path, follower: LogFollower) -> None:
    log.unlink()
    assert list(follower.lines()) == []
    log.mkdir()
    assert list(follower.lines()) == list(follower.lines()) == []
    log.rmdir()
    log.write_bytes(b"new\n")
    assert [*follower.lines(), *follower.lines()] == [b"new"]


def test_a_missing_log_is_an_error_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such log"):
        LogFollower(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="not a file"):
        LogFollower(tmp_path / "pipe")
