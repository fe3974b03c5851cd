"""Where lines go: the event log, one write a line, which follows rotation and survives a full disk."""

import errno
import logging
import os
import sys
from collections import deque
from pathlib import Path
from typing import Protocol

from pythonjsonlogger.orjson import OrjsonFormatter

from portsentry_py.errors import OutputError, PermissionDenied
from portsentry_py.events import Event, to_record

_LOG_MODE = 0o640
_MAX_WAITING = 10_000
_diagnostics = logging.getLogger(__name__)


class Sink(Protocol):
    """Takes events."""

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
        self.lost = 0

    def write(self, event: Event) -> None:
        """Write one line, whole; raises ReaderGone when nobody reads any more."""
        line = self._lines(event)
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
        except BrokenPipeError as error:
            raise ReaderGone from error

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """Nothing waits here."""


class FileSink:
    """The log file.

    Opened for appending, so copytruncate works; opened anew when the path is another file or none, so
    rotation by rename works. When a write fails (disk full), lines wait, up to a bound, and are written
    when there is room again; what exceeds the bound is counted in `lost`.

    Raises (on construction):
        OutputError: the file cannot be opened for appending.
        PermissionDenied: the user may not.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = _Lines()
        self._waiting: deque[bytes] = deque()
        self._failing = False
        self.lost = 0
        try:
            self._descriptor = self._open()
        except PermissionError as error:
            raise PermissionDenied(
                f"{path}: you may not write the log; run as root or name another with --log."
            ) from error
        except OSError as error:
            raise OutputError(
                f"{path}: cannot write the log ({error.strerror}); "
                "create the directory or name another log with --log."
            ) from error

    def _open(self) -> int:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _LOG_MODE)
        self._identity = _identity(os.fstat(descriptor))
        return descriptor

    def write(self, event: Event) -> None:
        """Write one line, and those that wait."""
        if len(self._waiting) == _MAX_WAITING:
            self._waiting.popleft()
            self.lost += 1
        self._waiting.append(self._lines(event))
        self.flush()

    def flush(self) -> None:
        """Write what waits."""
        try:
            self._follow_rotation()
            while self._waiting:
                self._append(self._waiting[0])
                self._waiting.popleft()
        except OSError as error:
            if not self._failing:
                _diagnostics.error("%s: %s; lines wait until it can be written.", self._path, error.strerror)
            self._failing = True
        else:
            if self._failing:
                _diagnostics.warning("%s: can be written again.", self._path)
            self._failing = False

    def _append(self, line: bytes) -> None:
        written = os.write(self._descriptor, line)
        if written < len(line):
            # Half a line must not stand in the log: take it back, the whole line comes when there is room.
            os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size - written)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _follow_rotation(self) -> None:
        try:
            current = _identity(self._path.stat())
        except FileNotFoundError:
            current = None
        if current == self._identity:
            return
        try:
            descriptor = self._open()
        except PermissionError:
            return  # logrotate has renamed the file and not yet created the new one; it will be back
        os.close(self._descriptor)
        self._descriptor = descriptor

    def close(self) -> None:
        """Write what waits and close the file; what cannot be written is counted."""
        self.flush()
        self.lost += len(self._waiting)
        os.close(self._descriptor)


def open_log(target: str) -> Sink:
    """The sink that `--log` or `log:` names: a path, or `-` for standard output."""
    if target == "-":
        sys.stdout.flush()
        return StreamSink()
    return FileSink(Path(target))


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
