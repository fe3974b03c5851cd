"""The real sensor on a host of the lab: start it, read its lines, look at its children."""

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil
import yaml

from tests.support.namespaces import IFACE, Host
from tests.support.needs import require_tool
from tests.support.programs import write_program
from tests.support.waiting import Found, wait_for

Line = dict[str, Any]

CAPTURE_TOOLS = {"dumpcap", "tshark"}
RUN = ("-m", "portsentry_py")


class Sensor:
    """One `portsentry-py run`, with files of its own.

    Args:
        host: where it runs.
        folder: gets the configuration, the log, the state, the diagnostics and the temporary files.
        settings: the configuration; without a word, the defaults.
        iface: the interface to watch; empty: what the configuration says.
        log: the event log, where it is not in the folder.
        program: what Python runs.
        tools: scripts that are found before the programs of these names.
        copy: keep in `captured` what dumpcap hands over. A second capture beside it would not do: the kernel
            gives each capture its own times, microseconds apart.
        piped: write the log to standard output; a thread copies it to the file while `reads` is set.
    """

    def __init__(
        self,
        host: Host,
        folder: Path,
        settings: Mapping[str, Any] = MappingProxyType({}),
        *,
        iface: str = IFACE,
        log: Path | None = None,
        program: tuple[str, ...] = RUN,
        tools: Mapping[str, str] = MappingProxyType({}),
        copy: bool = False,
        piped: bool = False,
    ) -> None:
        self.host = host
        self.log = log or folder / "portsentry.log"
        self.config, self.diagnostics = folder / "portsentry.yaml", folder / "stderr"
        self.state, self.captured = folder / "state/state", folder / "captured.pcapng"
        self.tools, self.temporary = folder / "tools", folder / "tmp"
        for place in (self.tools, self.temporary):
            place.mkdir(parents=True)
        self.temporary.chmod(0o1777)  # as /tmp is: the children may be other users
        self.configure(settings)
        if copy:
            tools = {"dumpcap": _copying_dumpcap(self.captured), **tools}
        for name, script in tools.items():
            write_program(self.tools / name, script)
        self._command = (
            *("env", f"PATH={self.tools}:{os.environ['PATH']}", f"TMPDIR={self.temporary}"),
            *(sys.executable, *program, "run", "-c", self.config, *(("-i", iface) if iface else ())),
            *("--log", "-" if piped else self.log),
        )
        self.reads = threading.Event()
        self.reads.set()
        self._piped = piped
        self._starts = 0
        self._known: dict[tuple[int, int], tuple[int, list[Line]]] = {}
        self.start()

    def configure(self, settings: Mapping[str, Any]) -> None:
        self.config.write_text(yaml.safe_dump({"state": str(self.state), **settings}))

    def start(self) -> None:
        """Start it, with the same files each time."""
        self._starts += 1
        with self.diagnostics.open("a") as stderr:
            output = subprocess.PIPE if self._piped else subprocess.DEVNULL
            self.process = self.host.start(*self._command, stdout=output, stderr=stderr)
        self._reader = threading.Thread(target=self._copy_output, daemon=True)
        self._reader.start()

    def _copy_output(self) -> None:
        if self.process.stdout is None:
            return
        output = self.process.stdout.fileno()
        with self.log.open("ab", buffering=0) as file:
            while self.reads.wait() and (chunk := os.read(output, 65_536)):
                file.write(chunk)

    def wait_until_ready(self) -> None:
        """Return when the sensor says that it captures, and tshark is what it will be."""
        self.wait_for(lambda: len(self.matching(event_type="status", state="started")) == self._starts, "its start")
        self.wait_for(lambda: set(self.children()) >= CAPTURE_TOOLS, "dumpcap and tshark")

    def wait_for(self, look: Callable[[], Found | None], what: str) -> Found:
        """Wait until `look` finds something; a sensor that has ended is not waited for."""

        def look_at_a_live_one() -> Found | None:
            ended = self.process.poll() is not None
            found = look()
            if ended and not found:
                raise AssertionError(f"the sensor ended before {what}\n{self.evidence()}")
            return found

        return wait_for(look_at_a_live_one, what, evidence=self.evidence)

    def wait_for_line(self, what: str, **wanted: object) -> Line:
        """Wait for a line that has all the `wanted` values."""
        return self.wait_for(lambda: self.matching(**wanted), f"{what}: {wanted}")[0]

    def wait_for_diagnostics(self, text: str) -> None:
        self.wait_for(lambda: text in self.diagnostics.read_text(), repr(text))

    def status_now(self) -> Line:
        """Ask for a status line, with SIGHUP; the sensor goes on."""
        before = len(self.matching(state="reloaded"))
        self.process.send_signal(signal.SIGHUP)
        return self.wait_for(lambda: self.matching(state="reloaded")[before:], "a status line")[0]

    def settle(self) -> Line:
        """Wait until every packet that the kernel has seen is read; returns the status line that says so."""
        return self.wait_for(
            lambda: now if not (now := self.status_now())["packets_pending"] else None, "the last packets"
        )

    def lines(self, path: Path | None = None) -> list[Line]:
        """Every whole line of the log, or of another file; only what is new is read."""
        try:
            file = (path or self.log).open("rb")
        except FileNotFoundError:
            return []
        with file:
            status = os.fstat(file.fileno())
            identity = (status.st_dev, status.st_ino)
            at, known = self._known.get(identity, (0, []))
            if status.st_size < at:  # it was truncated
                at, known = 0, []
            file.seek(at)
            whole, newline, _ = file.read().rpartition(b"\n")
        if newline:
            known = [*known, *map(json.loads, whole.split(b"\n"))]
            self._known[identity] = (at + len(whole) + 1, known)
        return known

    def matching(self, **wanted: object) -> list[Line]:
        """The lines that have all the `wanted` values."""
        return [line for line in self.lines() if all(line.get(k) == v for k, v in wanted.items())]

    def children(self) -> dict[str, psutil.Process]:
        """A running capture tool of each name."""
        return dict(self._named_tools())

    def capture_tools(self) -> list[psutil.Process]:
        """All running capture tools: one of each for each worker."""
        return [tool for _, tool in self._named_tools()]

    def _named_tools(self) -> Iterator[tuple[str, psutil.Process]]:
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if (name := child.name()) in CAPTURE_TOOLS:
                    yield name, child

    def stop(self, *, seconds: float = 60) -> int:
        """End it as systemd does, when all that it wrote has been read; returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        finally:
            self.process.kill()
            self.reads.set()
            self._reader.join()

    def evidence(self) -> str:
        log = self.log.read_text().splitlines()[-20:] if self.log.exists() else ["(no log)"]
        return "\n".join(["-- stderr", self.diagnostics.read_text(), "-- log", *log])


def scan_verdicts(sensor: Sensor, address: str) -> set[tuple[str, str]]:
    """The verdicts and reasons of the scan lines about an address."""
    return {(line["verdict"], line["reason"]) for line in sensor.matching(src_ip=address, event_type="scan")}


def _copying_dumpcap(copy: Path) -> str:
    """A dumpcap that becomes the real one, under the same process id, with tee behind it."""
    real = shlex.quote(require_tool("dumpcap"))
    return f'#!/bin/bash\nexec {real} "$@" > >(exec tee --append {shlex.quote(str(copy))})\n'
