"""The files of a log: named, rotated, compressed, or all of a directory."""

import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from portsentry_py.errors import InputError, PermissionDenied

_GZIP = b"\x1f\x8b"
# Compressed in a way that the database does not read: bzip2, xz, zstd.
_OTHERS = (b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
# What logrotate appends, with and without `dateext`.
_ROTATED = r"(\.\d+|-\d{6,10})?(\.gz)?"
_LOG = re.compile(r".+\.(log|jsonl|json)" + _ROTATED)


@dataclass(frozen=True, slots=True)
class LogFile:
    """One file of the log; `compressed` says that it is gzip."""

    path: Path
    size_bytes: int
    compressed: bool


def find_logs(paths: Iterable[Path]) -> list[LogFile]:
    """The files at these paths: a file, or every log in a directory. Each file appears once.

    Raises:
        InputError: a path is missing, is no file, or is compressed in a way that cannot be read.
        PermissionDenied: the user may not read a file.
    """
    found: dict[tuple[int, int], LogFile] = {}
    for path in paths:
        with _refused(path):
            files = _in_directory(path) if path.is_dir() else [path]
        for file in files:
            with _refused(file):
                identity, log = _examine(file)
            found.setdefault(identity, log)
    return list(found.values())


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    """Turns a failure into one sentence."""
    try:
        yield
    except PermissionError as error:
        raise PermissionDenied(
            f"{path}: you may not read the log; run as root or join the group that may (adm)."
        ) from error
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise InputError(f"{path}: cannot read the log ({reason}); name another.") from error


def with_rotated(path: Path) -> list[Path]:
    """A log and what logrotate made of its predecessors."""
    name = re.compile(re.escape(path.name) + _ROTATED)
    try:
        beside = sorted(other for other in path.parent.iterdir() if name.fullmatch(other.name) and other != path)
    except OSError:
        beside = []
    return [path, *beside]


def _in_directory(folder: Path) -> list[Path]:
    logs = sorted(path for path in folder.iterdir() if _LOG.fullmatch(path.name) and path.is_file())
    if not logs:
        raise InputError(f"{folder}: there is no log in this directory (*.log, *.log.1, *.log.2.gz); name files.")
    return logs


def _examine(path: Path) -> tuple[tuple[int, int], LogFile]:
    # Without O_NONBLOCK, a FIFO with this name blocks the reader.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is not a file")
        head = file.read(8)
    if head.startswith(_OTHERS):
        raise ValueError("only gzip can be read compressed; unpack it first")
    return (status.st_dev, status.st_ino), LogFile(path, status.st_size, head.startswith(_GZIP))
