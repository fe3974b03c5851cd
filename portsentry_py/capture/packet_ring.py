"""The packet ring: the last minutes of packets in a few files, for `explain`. The sensor does not depend on it."""

import contextlib
import errno
import logging
import os
import re
import stat
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from portsentry_py.capture.bpf import FilterHost
from portsentry_py.capture.commands import RING_FILES, ring_commands
from portsentry_py.capture.process_pipe import ProcessPipe
from portsentry_py.capture.worker import reason_in
from portsentry_py.config.settings import Capture
from portsentry_py.config.values import OFF_WORD
from portsentry_py.errors import PortsentryError
from portsentry_py.host.interfaces import describe
from portsentry_py.privsep.client import LauncherClient

_FOLDER = "packets"
_FOLDER_MODE = 0o700
_NAME = re.compile(r"ring_\d+_\d{14}\.pcapng", re.ASCII)
_WAIT_SECONDS = 1.0
_PRUNE_SECONDS = 10.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 10.0, 600.0
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_CLOSE_SECONDS = 3.0
_LOWEST_PRIORITY = 19
_diagnostics = logging.getLogger(__name__)


def ring_folder(state: str) -> Path | None:
    """Where the files are: beside the state file; None for a sensor without state."""
    return None if state == OFF_WORD else Path(state).with_name(_FOLDER)


def ring_files(folder: Path) -> list[Path]:
    """The files of the ring, the oldest first. What is no regular file, such as a link, is none of them.

    Raises:
        OSError: the folder cannot be read.
    """
    found: list[tuple[int, Path]] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if _NAME.fullmatch(entry.name):
                    with contextlib.suppress(FileNotFoundError):  # dumpcap has removed it
                        status = entry.stat(follow_symlinks=False)
                        if stat.S_ISREG(status.st_mode):
                            found.append((status.st_mtime_ns, folder / entry.name))
    except FileNotFoundError:
        return []
    return [path for _, path in sorted(found)]


class PacketRing:
    """Keeps packets while it is open, in a thread of its own: a disk that is slow or full stops nothing else.

    Args:
        dumpcap: captures, and writes the files; another process captures for the sensor.
        launcher: starts the capture.
        settings: how many minutes and MiB are kept; 0 minutes keep nothing, and remove what an earlier run kept.
        folder: gets the files; None keeps nothing.
    """

    def __init__(self, dumpcap: str, launcher: LauncherClient, settings: Capture, folder: Path | None) -> None:
        self._dumpcap = dumpcap
        self._launcher = launcher
        self._settings = settings
        self._folder = folder
        self._wanted: tuple[Sequence[str], FilterHost] = ((), FilterHost())
        self._changed = threading.Event()
        self._closing = self._failing = False
        self._thread: threading.Thread | None = None

    def watch(self, interfaces: Sequence[str], host: FilterHost) -> None:
        """Keep the packets of these interfaces that pass the filter of this host, from now on. Does not wait."""
        if self._folder is None:
            return
        if not self._settings.keep_minutes:
            with contextlib.suppress(OSError):
                _remove(ring_files(self._folder))
            return
        self._wanted = (tuple(interfaces), host)
        self._changed.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, args=(self._folder,), daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End it; a disk that hangs is not waited for."""
        self._closing = True
        self._changed.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_SECONDS)

    def _run(self, folder: Path) -> None:
        with contextlib.suppress(OSError):
            os.nice(_LOWEST_PRIORITY)  # of this thread, and of what it starts
        pause = _FIRST_PAUSE_SECONDS
        while not self._closing:
            self._changed.clear()
            started = time.monotonic()
            try:
                reason = self._keep(folder)
            except (OSError, ValueError, PortsentryError) as error:
                reason = getattr(error, "strerror", None) or str(error)
            if not reason:
                continue
            if not self._failing:
                self._failing = True
                _diagnostics.error("%s: packets are not kept (%s); the sensor goes on and tries again.", folder, reason)
            if time.monotonic() - started > _LONGEST_PAUSE_SECONDS:
                pause = _FIRST_PAUSE_SECONDS
            self._changed.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _keep(self, folder: Path) -> str:
        """Write files until something changes; returns why it ended by itself."""
        _prepare(folder, self._settings.keep_mib << 20)
        interfaces, host = self._wanted
        commands = ring_commands(self._dumpcap, describe(interfaces), host, self._settings, folder)
        pipe = ProcessPipe(commands, starter=self._launcher.capture)
        next_prune = 0.0
        try:
            while not self._changed.is_set():
                pipe.wait(_WAIT_SECONDS)
                pipe.read()  # dumpcap names each file, and must not wait for a reader
                if pipe.has_ended:
                    return reason_in(pipe.error_lines(1)) or reason_in(pipe.error_lines(0)) or "dumpcap ended"
                if time.monotonic() >= next_prune:
                    next_prune = time.monotonic() + _PRUNE_SECONDS
                    self._prune(folder)
                    if _remove_empty(ring_files(folder)[:-1]):  # dumpcap does not always notice
                        return "files stayed empty: the disk is full"
            pipe.stop()
        finally:
            pipe.kill()
        return ""

    def _prune(self, folder: Path) -> None:
        """Remove what is old, and the files of earlier runs, which dumpcap does not know."""
        files = ring_files(folder)
        oldest = time.time() - 60 * (self._settings.keep_minutes + 1)
        _remove(files[:-RING_FILES])
        for path in files[-RING_FILES:-1]:
            with contextlib.suppress(FileNotFoundError):
                if path.lstat().st_mtime < oldest:
                    path.unlink()


def _prepare(folder: Path, size: int) -> None:
    """Make the folder; refuse one that others may write, and a disk without room.

    Raises:
        OSError: as it says.
    """
    for place in (folder.parent, folder):
        with contextlib.suppress(FileExistsError):
            place.mkdir(_FOLDER_MODE)
        status = place.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & _OTHERS_MAY_WRITE:
            raise OSError(errno.EPERM, f"{place} is no folder that this user alone may write")
    room = os.statvfs(folder)
    if room.f_bavail * room.f_frsize < size:
        raise OSError(errno.ENOSPC, "the disk has less room than capture.keep_mib")


def _remove_empty(paths: Sequence[Path]) -> bool:
    """Whether there are finished files without even a header; they are removed."""
    empty = [path for path in paths if path.exists() and not path.lstat().st_size]
    _remove(empty)
    return bool(empty)


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
