"""The allowlist as the running sensor follows it: a change of the file and the end of an entry count at once."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

from portsentry_py.config.allowlist import Entry, read
from portsentry_py.config.settings import Networks
from portsentry_py.config.values import OFF_WORD
from portsentry_py.errors import PortsentryError

_diagnostics = logging.getLogger(__name__)


class Allowlist:
    """The sources that must not be banned now.

    Args:
        target: the path of the file, or `off`.
        now_us: the time of day, in microseconds since 1970.

    Raises:
        ConfigError, PermissionDenied: the file cannot be used.
    """

    def __init__(self, target: str, now_us: Callable[[], int]) -> None:
        self._path = None if target == OFF_WORD else Path(target)
        self._now_us = now_us
        self._seen = self._mark()
        self._entries: tuple[Entry, ...] = read(self._path) if self._path else ()

    def networks(self) -> Networks:
        """The networks of the entries that are in force; those of the old file while a new one is wrong."""
        mark = self._mark()
        if self._path and mark != self._seen:
            self._seen = mark
            try:
                self._entries = read(self._path)
            except PortsentryError as error:
                _diagnostics.error("the old allowlist stays in force: %s", error)
        now_us = self._now_us()
        return tuple(entry.network for entry in self._entries if entry.holds(now_us))

    def _mark(self) -> tuple[int, ...]:
        """What differs as soon as the file is another one, or is written, or gets another mode."""
        try:
            status = os.lstat(self._path) if self._path else None
        except OSError:
            status = None
        if status is None:
            return ()
        return (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
