"""Where lines go: the event log, one write a line, which follows rotation; or standard output.

A sink writes in the thread that calls it and keeps nothing. What cannot be written now raises;
`unhurried.py` keeps it for later, for whoever must not wait.
"""

import logging
import os
import select
import stat
import sys
import time
from pathlib import Path
from typing import NamedTuple, Protocol

from pythonjsonlogger.orjson import OrjsonFormatter

from portsentry_py.errors import OutputError, PermissionDenied
from portsentry_py.events.model import Event, to_record
from portsentry_py.output import log_file
from portsentry_py.output.async_writer import Writer

_CREATE_SECONDS = 1.0


class Sink(Protocol):
    """Takes events for good: what it cannot write at once is its own concern."""

    lost: int

    def write(self, event: Event) -> None:
        """Take one event."""
        ...

    def flush(self) -> None:
        """Write what is still waiting, if that is possible now."""
        ...

    def close(self) -> None:
        """Write what is still waiting, for the last time."""
        ...


class ReaderGone(Exception):
    """Whoever read our standard output has had enough (`| head`)."""


class _Lines:
    """Events as JSON lines, formatted by python-json-logger."""

    def __init__(self) -> None:
        # A formatter without fields of its own: the record is the line, in its own order.
        self._formatter = OrjsonFormatter([])

    def __call__(self, event: Event) -> bytes:
        record = logging.makeLogRecord({"msg": to_record(event)})
        return self._formatter.format(record).encode("ascii") + b"\n"


class StreamSink:
    """Lines on standard output, for `-`."""

    def __init__(self, descriptor: int = 1) -> None:
        self._descriptor = descriptor
        self._lines = _Lines()
        self._rest = b""

    def write(self, event: Event) -> None:
        """Write one line, whole.

        Raises:
            ReaderGone: nobody reads any more.
            OutputError: standard output is a file that takes no more for now; the next call must be about
                the same event, and writes what is missing of its line.
            OSError: it is something else that has failed.
        """
        self._rest = self._rest or self._lines(event)
        while self._rest:
            self._write_some()

    def _write_some(self) -> None:
        try:
            self._rest = self._rest[os.write(self._descriptor, self._rest) :]
        except BlockingIOError:  # somebody who shares it has made it so
            select.select((), (self._descriptor,), ())
        except BrokenPipeError as error:
            raise ReaderGone from error
        except OSError as error:
            if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
                raise
            raise log_file.refusal(Path("standard output"), error) from error

    def close(self) -> None:
        """Standard output is not ours to close."""


class _Begun(NamedTuple):
    """A line of which a part stands at the end of the log and could not be taken back."""

    line: bytes
    done: int
    file: tuple[int, int]
    end: int


class FileSink:
    """The log file.

    Opened for appending, so copytruncate works; opened anew when the path is another file or none, so
    rotation by rename works. What stands in it are whole lines: what of a line was written when the disk
    filled up is taken back, and a half line that was found, of a run that was killed, is ended before the
    next.

    Raises (on construction and on writing):
        OutputError: the file cannot be written, or must not: see log_file.py.
        PermissionDenied: the user may not.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = _Lines()
        self._begun: _Begun | None = None
        self._make_at: float | None = None
        self._take(log_file.open_log(path))

    def _take(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._identity: tuple[int, int] | None = _identity(os.fstat(descriptor))

    def write(self, event: Event) -> None:
        """Write one line, or raise and leave the log as it was."""
        line = self._lines(event)
        try:
            while True:
                self._follow_rotation()
                self._append(line)
                if os.fstat(self._descriptor).st_nlink:
                    return
                # Deleted between the look and the write: nobody would ever read it.
        except OSError as error:
            # What we hold may be of a file system that is gone: the path is opened anew at the next call.
            self._identity = None
            raise log_file.refusal(self._path, error) from error

    def _follow_rotation(self) -> None:
        try:
            current = _identity(self._path.lstat())
        except FileNotFoundError:
            current = None
        if current is not None:
            self._make_at = None
            if current == self._identity:
                return
        held = os.fstat(self._descriptor)
        # Renamed, not deleted: the new one is somebody else's to make, and ours would be in logrotate's way.
        if current is None and held.st_nlink and not self._is_late(held.st_ctime):
            return
        try:
            descriptor = log_file.open_log(self._path)
        except PermissionDenied as error:
            if current is not None:
                raise
            if held.st_nlink:
                return  # it will be back, and we may not make it
            raise OutputError(
                f"{self._path}: the log was deleted and you may not make a new one; make it as root, "
                "the default one with: systemd-tmpfiles --create portsentry-py.conf."
            ) from error
        os.close(self._descriptor)
        self._take(descriptor)

    def _is_late(self, changed: float) -> bool:
        """Whether nobody has made a new log for a second after the file's last change (its renaming)."""
        now = time.time()
        if self._make_at is None:
            self._make_at = min(changed, now) + _CREATE_SECONDS
        return now >= self._make_at

    def _append(self, line: bytes) -> None:
        status = os.fstat(self._descriptor)
        begun, self._begun = self._begun, None
        end = status.st_size
        done = 0
        if begun is not None and (begun.line, begun.file, begun.end) == (line, _identity(status), end):
            done = begun.done
        # It reads nothing if the file was truncated just now.
        elif end and os.pread(self._descriptor, 1, end - 1) not in {b"\n", b""}:
            end += os.write(self._descriptor, b"\n")
        try:
            while done < len(line):
                written = os.write(self._descriptor, line[done:])
                done, end = done + written, end + written
        except OSError:
            if done:
                self._take_back(_Begun(line, done, _identity(status), end))
            raise

    def _take_back(self, begun: _Begun) -> None:
        """Remove the part of a line that was written; where that fails, the rest comes when there is room."""
        if os.fstat(self._descriptor).st_size != begun.end:
            return  # truncated meanwhile, or somebody else has written: the end of the file is not ours
        try:
            os.ftruncate(self._descriptor, begun.end - begun.done)
        except OSError:
            self._begun = begun

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def open_log(target: str) -> Writer[Event]:
    """The sink that `--log` or `log:` names: a path, or `-` for standard output."""
    if target == "-":
        sys.stdout.flush()
        return StreamSink()
    return FileSink(Path(target))


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
