"""Reads files that nobody but the operator may write: they decide who is banned."""

import os
import stat
from pathlib import Path

from portsentry_py.errors import ConfigError

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def read_own(path: Path, max_bytes: int, fix: str) -> str:
    """The text of a file that nobody but the operator may write or replace.

    Args:
        path: the file.
        max_bytes: its greatest size.
        fix: what to do about a larger one.

    Raises:
        ConfigError: others may write or replace the file, it is a FIFO, it is too large, or it is not UTF-8.
        OSError: it cannot be read.
    """
    # Non-blocking: a FIFO without a writer would wait for one.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        refuse_foreign(path, os.fstat(descriptor))
        refuse_shared_folders(path)
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise ConfigError(f"{path}: longer than {max_bytes} bytes; {fix}.")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8.") from error


def refuse_foreign(path: Path, status: os.stat_result) -> None:
    """Refuse a file that others may write: it can switch the sensor off, or have anybody banned."""
    # sudo(8) names the caller in SUDO_UID, who may become root anyway.
    caller = os.environ.get("SUDO_UID", "") if os.geteuid() == 0 else ""
    if stat.S_ISFIFO(status.st_mode):
        raise ConfigError(f"{path}: it is a FIFO, which can wait for ever; put a regular file in its place.")
    if status.st_uid not in {0, os.geteuid()} and str(status.st_uid) != caller:
        raise ConfigError(f"{path}: it belongs to user {status.st_uid}; run: chown root {path}")
    if status.st_mode & _OTHERS_MAY_WRITE and stat.S_ISREG(status.st_mode):
        raise ConfigError(f"{path}: others may write it; run: chmod go-w {path}")


def refuse_shared_folders(path: Path) -> None:
    """Refuse a file whose name others may give to a file of theirs: in its folder, or in that of what it links to."""
    for folder in {path.absolute().parent, path.resolve().parent}:
        mode = folder.stat().st_mode
        if mode & _OTHERS_MAY_WRITE and not mode & stat.S_ISVTX:
            raise ConfigError(f"{path}: others may replace it; run: chmod go-w {folder}")
