"""What the log says of the drill's sources, from the moment on when the drill began."""

import re
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from portsentry_py.checks.drill.row import Row
from portsentry_py.events.model import EvidenceEvent
from portsentry_py.report.follow import LogFollower
from portsentry_py.report.log_reader import read_event

_GRAVITY = {"ban": 3, "watch": 2, "ignore": 1, "none": 0}


class DrillLines:
    """The lines about the sources; all others are passed over unread.

    Attributes:
        bans: how many lines asked for a ban of a source.
        strange: whether a line that is not the sensor's names a source: another program writes the log.

    Raises:
        InputError, PermissionDenied: the log cannot be read.
    """

    def __init__(self, log: Path, rows: Iterable[Row]) -> None:
        self._rows = {row.source: row for row in rows}
        words = b"|".join(re.escape(source.encode()) for source in self._rows)
        self._about = re.compile(rb"(?<![\w.:])(?:" + words + rb")(?![\w.:])")
        self._follower = LogFollower(log, 0)
        self.bans = 0
        self.strange = False

    def poll(self) -> None:
        """Read what is new into the rows."""
        for line in self._follower.lines():
            if self._rows and self._about.search(line):
                self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            event = read_event(line)
        except (ValueError, RecursionError):
            self.strange = True
            return
        if not isinstance(event, EvidenceEvent) or event.state == "ended":
            return
        row = self._rows.get(event.src_ip)
        if row is None:
            return
        self.bans += event.verdict == "ban"
        if row.line is None or _GRAVITY[event.verdict] > _GRAVITY[row.line.verdict]:
            row.line, row.line_seconds = event, round(time.monotonic() - row.begun, 2)

    def close(self) -> None:
        """Close the log."""
        with suppress(OSError):
            self._follower.close()
