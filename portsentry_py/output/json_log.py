"""The event log: one JSON line and one write per event, into a file that rotates or standard output."""

import logging
import os
import select
import stat
import sys
import time
from pathlib import Path
from typing import NamedTuple

from pythonjsonlogger.orjson import OrjsonFormatter

from portsentry_py.errors import OutputEnded, OutputError, PermissionDenied, ReaderGone
from portsentry_py.events.model import Event, to_record
from portsentry_py.output import log_file
from portsentry_py.output.sink import Sink

_CREATE_SECONDS = 1.0
# A format without fields: the formatter then keeps the keys of an event and their order. Version 3, which Debian 13
# has, would add a message to an empty format.
_FORMATTER = OrjsonFormatter("-", validate=False)


def json_line(event: Event) -> bytes:
    """An event as a line of the log, with its end of line."""
    # No handler: a stuck write would hold its lock, and the end of the program waits for all these locks.
    record = logging.LogRecord("events", logging.INFO, "", 0, to_record(event), None, None)
    return _FORMATTER.format(record).encode("ascii") + b"\n"


class StreamSink:
    """Lines into a stream that is open already; `name` stands in messages."""

    def __init__(self, descriptor: int = 1, name: str = "standard output") -> None:
        self._descriptor = descriptor
        self._name = name
        self._rest = b""

    def write(self, event: Event) -> None:
        """Write one line, whole.

        Raises:
            ReaderGone: nobody reads the stream any more.
            OutputEnded: it failed in another way that does not pass.
            OutputError: it is a file, and there is no room, for example. The next call must be about the same
                event, and writes the rest of the line.
        """
        self._rest = self._rest or json_line(event)
        while self._rest:
            self._write_some()

    def _write_some(self) -> None:
        try:
            self._rest = self._rest[os.write(self._descriptor, self._rest) :]
        except BlockingIOError:  # another process that shares the stream made it so
            select.select((), (self._descriptor,), ())
        except BrokenPipeError as error:
            raise ReaderGone(f"{self._name}: nobody reads it any more.") from error
        except OSError as error:
            refusal = log_file.refusal(Path(self._name), error)
            if stat.S_ISREG(os.fstat(self._descriptor).st_mode):
                raise refusal from error
            raise OutputEnded(str(refusal)) from error

    def close(self) -> None:
        """The stream belongs to its opener."""


class _Partial(NamedTuple):
    """A line of which the first part stands at the end of the log and could not be removed."""

    line: bytes
    done: int
    file: tuple[int, int]
    end: int


class FileSink:
    """The log file, which holds whole lines only and follows rotation.

    It is opened for appending, so copytruncate works. It is opened again when another file or none is at its
    path, so rotation by rename works. When the disk fills up within a line, the written part is removed. When
    a killed run left a partial line, a newline ends it before the next line.

    Raises (on construction and on writing):
        OutputError: the file cannot be written, or must not be: see log_file.py.
        PermissionDenied: the user lacks a right.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial: _Partial | None = None
        self._create_at: float | None = None
        self._use(log_file.open_log(path))

    def _use(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._identity: tuple[int, int] | None = _identity(os.fstat(descriptor))

    def write(self, event: Event) -> None:
        """Write one line, or raise and leave the log as it was."""
        line = json_line(event)
        try:
            while True:
                self._follow_rotation()
                self._append(line)
                if os.fstat(self._descriptor).st_nlink:
                    return
                # Deleted between the check and the write: nobody would ever read the line.
        except OSError as error:
            # The open file may be of a file system that is gone: the next call opens the path again.
            self._identity = None
            raise log_file.refusal(self._path, error) from error

    def _follow_rotation(self) -> None:
        try:
            current = _identity(self._path.lstat())
        except FileNotFoundError:
            current = None
        if current is not None:
            self._create_at = None
            if current == self._identity:
                return
        held = os.fstat(self._descriptor)
        # Renamed, not deleted: logrotate creates the new file, and a file of ours would make it fail.
        if current is None and held.st_nlink and not self._create_is_due(held.st_ctime):
            return
        try:
            descriptor = log_file.open_log(self._path)
        except PermissionDenied as error:
            if current is not None:
                raise
            if held.st_nlink:
                return  # logrotate will create it, which we may not
            raise OutputError(
                f"{self._path}: the log was deleted and you may not make a new one; make it as root, "
                "the default one with: systemd-tmpfiles --create portsentry-py.conf."
            ) from error
        os.close(self._descriptor)
        self._use(descriptor)

    def _create_is_due(self, changed: float) -> bool:
        """Whether no new log was created within a second of the file's last change, its renaming."""
        now = time.time()
        if self._create_at is None:
            self._create_at = min(changed, now) + _CREATE_SECONDS
        return now >= self._create_at

    def _append(self, line: bytes) -> None:
        status = os.fstat(self._descriptor)
        partial, self._partial = self._partial, None
        end = status.st_size
        done = 0
        if partial is not None and (partial.line, partial.file, partial.end) == (line, _identity(status), end):
            done = partial.done
        # The read gives nothing if the file was truncated just now.
        elif end and os.pread(self._descriptor, 1, end - 1) not in {b"\n", b""}:
            end += os.write(self._descriptor, b"\n")
        try:
            while done < len(line):
                written = os.write(self._descriptor, line[done:])
                done, end = done + written, end + written
        except OSError:
            if done:
                self._remove(_Partial(line, done, _identity(status), end))
            raise

    def _remove(self, partial: _Partial) -> None:
        """Remove a partial line; if that fails, the next call writes the rest of it."""
        if os.fstat(self._descriptor).st_size != partial.end:
            return  # truncated, or another process has written since: the end of the file is not ours
        try:
            os.ftruncate(self._descriptor, partial.end - partial.done)
        except OSError:
            self._partial = partial

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def open_log(target: str) -> Sink:
    """The sink that `--log` or `log:` names: a path, or `-` for standard output.

    Raises:
        OutputError, PermissionDenied: the file cannot be written, or must not be.
    """
    if target == "-":
        sys.stdout.flush()
        return StreamSink()
    return FileSink(Path(target))


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
