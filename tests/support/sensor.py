"""The real sensor on a host of the lab: start it, read its lines, look at its children."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.support.namespaces import IFACE, Host
from tests.support.needs import require_tool
from tests.support.programs import write_program
from tests.support.waiting import wait_for

Line = dict[str, Any]

CAPTURE_TOOLS = {"dumpcap", "tshark"}


class Sensor:
    """One `portsentry-py run`, with a configuration, a log and a diagnostics file of its own.

    `program` is what Python runs instead of `-m portsentry_py`.

    With `copy`, what its dumpcap hands over is kept in `captured`, by a dumpcap of ours that comes first on
    the PATH: a second capture beside it would not do, because the kernel stamps each its own time,
    microseconds apart.
    """

    def __init__(
        self,
        host: Host,
        folder: Path,
        settings: dict[str, Any],
        *,
        copy: bool,
        iface: str = IFACE,
        log: Path | None = None,
        program: tuple[str, ...] = ("-m", "portsentry_py"),
    ) -> None:
        self.captured = folder / "captured.pcapng"
        self.log = log or folder / "portsentry.log"
        self.config = folder / "portsentry.yaml"
        self.diagnostics = folder / "stderr"
        self.state = folder / "state"
        self.config.write_text(yaml.safe_dump({"state": str(self.state), **settings}))
        tools = folder / "tools"
        tools.mkdir()
        if copy:
            _write_dumpcap(tools / "dumpcap", self.captured)
        self._host = host
        self._command = (
            *("env", f"PATH={tools}:{os.environ['PATH']}"),
            *(sys.executable, *program, "run"),
            *("-c", self.config, *(("-i", iface) if iface else ()), "--log", self.log),
        )
        self._starts = 0
        self.start()

    def start(self) -> None:
        """Start it, after its end again."""
        self._starts += 1
        with self.diagnostics.open("a") as stderr:
            self.process = self._host.start(*self._command, stderr=stderr)

    def wait_until_ready(self) -> None:
        """Return when the sensor says that it captures, and tshark is what it will be."""

        def look() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"the sensor ended at its start\n{self.evidence()}")
            return len(self.matching(event_type="status", state="started")) == self._starts

        wait_for(look, "the sensor to start", evidence=self.evidence)
        wait_for(lambda: set(self.children()) >= CAPTURE_TOOLS, "dumpcap and tshark", evidence=self.evidence)

    def lines(self, path: Path | None = None) -> list[Line]:
        """Give every whole line of the log."""
        text = (path or self.log).read_text() if (path or self.log).exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def matching(self, **wanted: object) -> list[Line]:
        """Give the lines that have all the `wanted` values."""
        return [line for line in self.lines() if all(line.get(k) == v for k, v in wanted.items())]

    def wait_for_line(self, what: str, **wanted: object) -> Line:
        """Wait for a line that has all the `wanted` values."""

        def look() -> list[Line]:
            if self.process.poll() is not None and not self.matching(**wanted):
                raise AssertionError(f"the sensor ended before {what}\n{self.evidence()}")
            return self.matching(**wanted)

        return wait_for(look, f"{what}: {wanted}", evidence=self.evidence)[0]

    def wait_for_diagnostics(self, text: str) -> None:
        """Wait until the sensor has said something on stderr."""
        wait_for(lambda: text in self.diagnostics.read_text(), repr(text), evidence=self.evidence)

    def children(self) -> dict[str, psutil.Process]:
        """Give a running capture tool of each name."""
        return {child.name(): child for child in self.capture_tools()}

    def capture_tools(self) -> list[psutil.Process]:
        """Give all running capture tools: one of each for each worker."""
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if child.name() in CAPTURE_TOOLS:
                    found.append(child)
        return found

    def stop(self, *, seconds: float = 30) -> int:
        """End the sensor as systemd does, and give its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        finally:
            self.process.kill()

    def evidence(self) -> str:
        """Say what a person would look at first."""
        log = self.log.read_text().splitlines()[-20:] if self.log.exists() else ["(no log)"]
        return "\n".join(["-- stderr", self.diagnostics.read_text(), "-- log", *log])


def _write_dumpcap(path: Path, copy: Path) -> None:
    """Write a dumpcap that becomes the real one, under the same process id, with tee behind it."""
    real = shlex.quote(require_tool("dumpcap"))
    write_program(path, f'#!/bin/bash\nexec {real} "$@" > >(exec tee --append {shlex.quote(str(copy))})\n')
