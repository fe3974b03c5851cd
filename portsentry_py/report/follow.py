"""The lines of a log as they are written, over both kinds of rotation."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from portsentry_py.report.log_reader import LIMIT_BYTES, LONGEST_LINE, open_file, reading

_CHUNK_BYTES = 1 << 20
# The last bytes that were read, by which a file that was truncated and has grown again is recognized.
_MARK_BYTES = 64


class LogFollower:
    """The end of a log, and then what is added to it.

    Args:
        limit: bytes at the end of the log that are read at the start.

    Raises:
        InputError, PermissionDenied: the log cannot be read. A log that goes away later is waited for.
    """

    def __init__(self, path: Path, limit: int = LIMIT_BYTES) -> None:
        self._path = path
        with reading(path):
            self._file = open_file(path)
        # One more byte shows whether the first line is whole.
        start = max(0, self._size - limit - 1)
        self._begin(start)
        self._skips = start > 0
        self._was_replaced = False

    def _begin(self, position: int) -> None:
        self._position = position
        self._partial = self._mark = b""

    @property
    def _size(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    def lines(self) -> Iterator[bytes]:
        """The lines, without their ends, that were completed since the last call."""
        is_replaced = self._is_replaced()
        yield from self._new_lines()
        # After a rename, the sensor may be about to write one more line into the old file.
        if is_replaced and self._was_replaced and self._use_new_file():
            yield from self._new_lines()
            is_replaced = False
        self._was_replaced = is_replaced

    def _is_replaced(self) -> bool:
        """Whether another file is at the path."""
        try:
            return not os.path.samestat(self._path.stat(), os.fstat(self._file.fileno()))
        except OSError:
            return False

    def _use_new_file(self) -> bool:
        with suppress(OSError, ValueError):
            new = open_file(self._path)
            self._file.close()
            self._file = new
            self._begin(0)
            return True
        return False

    def _new_lines(self) -> Iterator[bytes]:
        descriptor = self._file.fileno()
        if os.pread(descriptor, len(self._mark), self._position - len(self._mark)) != self._mark:
            self._begin(0)  # copytruncate
        while chunk := os.pread(descriptor, _CHUNK_BYTES, self._position):
            self._position += len(chunk)
            self._mark = (self._mark + chunk)[-_MARK_BYTES:]
            *whole, rest = (self._partial + chunk).split(b"\n")
            self._partial = rest[: LONGEST_LINE + 1]  # longer lines are not the sensor's
            if self._skips and whole:
                self._skips = False
                del whole[0]
            yield from whole

    def close(self) -> None:
        """Close the file."""
        self._file.close()
