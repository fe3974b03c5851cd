"""The record of a drill: written before the drill makes anything, so that what a killed drill left can be removed.

It is a file of root in /run, where nobody else can make one. A drill holds its lock, so a second one is refused.
"""

import fcntl
import json
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from portsentry_py.checks.drill.addresses import is_for_documentation
from portsentry_py.errors import DrillError, OutputError, PermissionDenied

PATH = Path("/run/portsentry-py.drill")
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MAX_BYTES = 1 << 16


class Record:
    """The locked file.

    Attributes:
        left: the addresses of a drill that was killed.
        is_empty: whether nothing can be left: the file goes then.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.left = _addresses(os.pread(descriptor, _MAX_BYTES, 0))
        self.is_empty = not self.left

    def write(self, addresses: Collection[str]) -> None:
        """Note the addresses, besides those that are left.

        Raises:
            OutputError: there is no room.
        """
        self.is_empty = False
        content = json.dumps(sorted({*self.left, *addresses})).encode()
        try:
            os.ftruncate(self._descriptor, 0)
            if os.pwrite(self._descriptor, content, 0) < len(content):
                raise OutputError(f"{PATH}: cannot write the record of the drill (it is cut off); make room in /run.")
        except OSError as error:
            reason = error.strerror
            raise OutputError(f"{PATH}: cannot write the record of the drill ({reason}); make room in /run.") from error

    def forget(self) -> None:
        """All that the record names is removed."""
        self.left, self.is_empty = (), True


def left(path: Path | None = None) -> tuple[str, ...] | None:
    """The addresses that a killed drill used; None if there was none, or one runs, or this user may not look."""
    try:
        descriptor = os.open(path or PATH, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return _addresses(os.pread(descriptor, _MAX_BYTES, 0))
    except OSError:
        return None
    finally:
        os.close(descriptor)


@contextmanager
def recording(path: Path | None = None) -> Iterator[Record]:
    """The record, locked.

    Raises:
        DrillError: another drill runs.
        PermissionDenied, OutputError: the file cannot be opened.
    """
    path = path or PATH
    descriptor = _locked(path)
    try:
        record = Record(descriptor)
        try:
            yield record
        finally:
            if record.is_empty:
                path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _locked(path: Path) -> int:
    while True:
        try:
            descriptor = os.open(path, _FLAGS, 0o600)
        except PermissionError as error:
            raise PermissionDenied("the drill makes interfaces and bans; run it as root.") from error
        except OSError as error:
            raise OutputError(f"{path}: cannot open the record of the drill ({error.strerror}); remove it.") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise DrillError("another drill runs on this host; wait until it has ended.") from error
        # The drill before may have removed the file between the two calls.
        with suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)


def _addresses(content: bytes) -> tuple[str, ...]:
    """Those for documentation alone, whatever the file holds: they are unbanned."""
    with suppress(ValueError, RecursionError):
        found = json.loads(content or b"[]")
        if isinstance(found, list):
            return tuple(one for one in found if isinstance(one, str) and _is_ours(one))
    return ()


def _is_ours(text: str) -> bool:
    with suppress(ValueError):
        return is_for_documentation(text)
    return False
