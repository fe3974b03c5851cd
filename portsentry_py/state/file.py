"""The state file: replaced as a whole, not trusted when it is read, used by one sensor at a time.

No failure here ends the sensor: it is reported once, and the sensor goes on.
"""

import contextlib
import errno
import fcntl
import itertools
import logging
import os
import re
import stat
import threading
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from portsentry_py.errors import InputError, PermissionDenied
from portsentry_py.state.codec import MAX_BYTES
from portsentry_py.state.snapshot import VERSION

_FILE_MODE = 0o600
_FOLDER_MODE = 0o700
_HEADER = re.compile(rb"portsentry-py state (\d{1,9}) (\d{1,9}) ([0-9a-f]{64})")
_MAX_HEADER = 128
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_diagnostics = logging.getLogger(__name__)


class _OfAnother(OSError):
    """The file, or its folder, belongs to a user whom root must not lock out."""


class StateFile:
    """One file of bytes, with its lock, the next file and the broken files in the same folder.

    Root does not touch the file of another user, who could not read it afterwards.
    A second sensor with the same path saves nothing until the first one has ended and the lock is free.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._new, self._lock_path = (path.with_name(path.name + suffix) for suffix in (".new", ".lock"))
        self._lock: int | None = None
        self._writer: threading.Thread | None = None
        self._digest = ""
        self._failing = False

    def load(self) -> bytes | None:
        """The content of the file; None if there is none, if it is broken, or if it cannot be read."""
        try:
            self._acquire()
        except OSError as error:
            self._fail(error)
            return None
        try:
            return self._read()
        except FileNotFoundError:
            return None
        except OSError as error:
            self.set_aside(str(error.strerror))
        except ValueError as error:
            self.set_aside(str(error))
        return None

    def set_aside(self, reason: str) -> None:
        """Rename a broken file, so that people can look at it, or mend it; no earlier one is lost."""
        broken = self._unused_name()
        try:
            self._path.replace(broken)
        except OSError as error:
            _diagnostics.error(
                "%s: the state cannot be used (%s) and the file cannot be renamed (%s); remove it.",
                *(self._path, reason, error.strerror),
            )
        else:
            _diagnostics.error(
                "%s: the state cannot be used (%s); the file is now %s, and the sensor starts without it.",
                *(self._path, reason, broken),
            )

    def _unused_name(self) -> Path:
        first = self._path.with_name(self._path.name + ".broken")
        later = (first.with_name(f"{first.name}.{number}") for number in itertools.count(2))
        return next(path for path in itertools.chain([first], later) if not os.path.lexists(path))

    def save(self, pieces: Iterable[bytes]) -> None:
        """Replace the file in a thread, because a disk can take long; skipped while one is at work.

        A failure is reported once, until a write succeeds.
        """
        if self._writer is None or not self._writer.is_alive():
            self._writer = threading.Thread(target=self._write, args=(pieces,))
            self._writer.start()

    def close(self, pieces: Iterable[bytes]) -> None:
        """Replace the file for the last time, and release the lock."""
        self._join()
        self._write(pieces)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _join(self) -> None:
        if self._writer is not None:
            self._writer.join()

    def _acquire(self) -> None:
        """Make the folder and take the lock, unless this sensor has it."""
        if self._lock is not None:
            return
        self._refuse_others()
        with contextlib.suppress(FileExistsError):
            self._path.parent.mkdir(_FOLDER_MODE)
        with contextlib.suppress(FileNotFoundError):
            # A mistake in the configuration must not rename /var/lib or replace /dev/null.
            if stat.S_IFMT(self._path.lstat().st_mode) not in {stat.S_IFREG, stat.S_IFLNK}:
                raise OSError(errno.EINVAL, "it is not a regular file")
        lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, _FILE_MODE)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._new.unlink(missing_ok=True)  # a crash can leave it
        except OSError:
            os.close(lock)
            raise
        self._lock = lock

    def _refuse_others(self) -> None:
        """Root's file, or root's lock, in the place of the service's would lock the service out."""
        for path in (self._path, self._path.parent):
            with contextlib.suppress(FileNotFoundError):
                owner = path.lstat().st_uid
                if os.geteuid() == 0 and owner != 0:
                    raise _OfAnother(errno.EPERM, f"it belongs to user {owner}")

    def _read(self) -> bytes:
        content, self._digest = _content(self._path, os.geteuid())
        return content

    def _write(self, pieces: Iterable[bytes]) -> None:
        content = b"".join(pieces)
        digest = sha256(content).hexdigest()
        if digest == self._digest:
            return
        try:
            self._acquire()
            self._replace(b"portsentry-py state %d %d %s\n" % (VERSION, len(content), digest.encode()), content)
        except OSError as error:
            self._fail(error)
            return
        self._digest = digest
        if self._failing:
            _diagnostics.warning("%s: the state is saved again.", self._path)
        self._failing = False

    def _replace(self, *parts: bytes) -> None:
        """At any moment, after a crash too, there is the old file or the new one, each whole."""
        self._new.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(self._new, flags, _FILE_MODE), "wb") as file:
                file.writelines(parts)
                file.flush()
                os.fsync(file.fileno())
            self._new.replace(self._path)
        except OSError:
            self._new.unlink(missing_ok=True)
            raise
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _fail(self, error: OSError) -> None:
        if self._failing:
            return
        self._failing = True
        if isinstance(error, BlockingIOError):
            reason = "another sensor uses this file; give each its own `state:`"
        elif isinstance(error, _OfAnother):
            reason = f"{error.strerror}, and root leaves it alone; run as that user, or name another `state:`"
        else:
            reason = f"{error.strerror}; fix that or set `state: off`"
        _diagnostics.error("%s: the state is not saved (%s).", self._path, reason)


def read_copy(path: Path) -> bytes | None:
    """The content of the file for a program that only looks, with any owner; None if there is no file.

    Raises:
        InputError: it is damaged, of another version, or cannot be read.
        PermissionDenied: the user may not read it.
    """
    try:
        return _content(path, None)[0]
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise PermissionDenied(f"{path}: you may not read the state; run as root.") from error
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise InputError(f"{path}: the state cannot be read ({reason}); name another with `state`.") from error


def _content(path: Path, owner: int | None) -> tuple[bytes, str]:
    """The content and its digest.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no state file of this version, or somebody else than the owner may write it.
    """
    # Opening must not follow a link, nor wait for the other end of a pipe.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if owner is not None and (status.st_uid != owner or status.st_mode & _OTHERS_MAY_WRITE):
            raise ValueError("others may write it")
        if status.st_size > _MAX_HEADER + MAX_BYTES:
            raise ValueError("it is too large")
        header, _, content = file.read(_MAX_HEADER + MAX_BYTES).partition(b"\n")
    found = _HEADER.fullmatch(header)
    if found is None:
        raise ValueError("it is not a state file")
    if int(found[1]) != VERSION:
        raise ValueError(f"version {int(found[1])} of portsentry-py's state, not {VERSION}")
    digest = sha256(content).hexdigest()
    if int(found[2]) != len(content) or found[3].decode() != digest:
        raise ValueError("it is damaged")
    return content, digest
