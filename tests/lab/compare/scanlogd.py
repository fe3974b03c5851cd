"""scanlogd, as Debian has it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.lab.compare.watcher import Accusation, program
from tests.lab.support import own_dev
from tests.support.namespaces import Host

_LINE = re.compile(r"scanlogd(?:\[\d+\])?: (?P<address>[\d.]+)(?::\d+)? to ")


class Scanlogd:
    """It names five scans in twenty seconds and then falls silent: a fresh one watches each technique."""

    name = "scanlogd"

    def __init__(self, host: Host, folder: Path) -> None:
        self._program = program("scanlogd")
        self._host = host
        self._running: subprocess.Popen[str] | None = None
        self._log = own_dev.Syslog(folder / "scanlogd.log")

    def renew(self) -> None:
        if self._running is not None:
            self._running.kill()
            self._running.wait()
        # It goes to the background once it watches.
        ready = f"{self._program} && echo ready && exec sleep infinity"
        self._running = own_dev.start(self._host, self._log, "sh", "-c", ready)
        if self._running.stdout is None or self._running.stdout.readline() != "ready\n":
            raise AssertionError(f"scanlogd did not start\n{self.evidence()}")

    def accusations(self) -> list[Accusation]:
        found = map(_LINE.search, list(self._log.lines))
        return [Accusation(match["address"]) for match in found if match]

    def evidence(self) -> str:
        return "\n".join([*self._log.lines[-20:], self._log.path.with_suffix(".err").read_text()])

    def close(self) -> None:
        """Its process ends with the lab."""
        self._log.close()
