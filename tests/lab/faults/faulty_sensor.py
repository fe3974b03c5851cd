"""The sensor that is given the faults, and what can be seen of it from outside."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.lab.faults.sender import PORTS
from tests.support.namespaces import IFACE, Host
from tests.support.sensor import Line, Sensor
from tests.support.waiting import Found, wait_for

# Each SYN is to have its line, and at once: no ration, no bound and no waiting room holds any back, and what
# becomes of an attempt on a served port is not waited for.
SETTINGS: dict[str, Any] = {
    "connections": "all",
    "served": {"tcp": [f"{PORTS[0]}-{PORTS[-1]}"]},
    "lines": {"per_source_per_minute": 10_000, "per_second": 10_000},
    "limits": {"max_sources": 1_000_000, "max_flows": 1_000_000, "new_sources_per_second": 100_000},
    "capture": {"workers": 1},
}
RUN = ("-m", "portsentry_py")


class Patient(Sensor):
    """One `portsentry-py run`, whose temporary files and programs are its own.

    Args:
        host: where it runs.
        folder: is filled with its files, a new one for each patient.
        settings: on top of SETTINGS.
        iface: what it watches; empty for its default.
        tools: scripts that stand in for programs, by name.
        log: the event log.
        piped: it writes the log to its standard output, and a reader here to the file.
        program: the words for Python.
    """

    def __init__(
        self,
        host: Host,
        folder: Path,
        settings: Mapping[str, Any],
        *,
        iface: str = IFACE,
        tools: Mapping[str, str],
        log: Path | None = None,
        piped: bool = False,
        program: tuple[str, ...] = RUN,
    ) -> None:
        self.host = host
        self.log = log or folder / "portsentry.log"
        self.config = folder / "portsentry.yaml"
        self.diagnostics = folder / "stderr"
        self.temporary = folder / "tmp"
        self.temporary.mkdir(parents=True)
        self.temporary.chmod(0o1777)  # as /tmp is: the children may be other users
        self.state = folder / "state/state"
        self._starts = 0
        self.configure(settings)
        self.tools = folder / "tools"
        self.tools.mkdir()
        for name, script in tools.items():
            (self.tools / name).write_text(script, encoding="utf-8")
            (self.tools / name).chmod(0o755)
        self._words = (
            *("env", f"PATH={self.tools}:{os.environ['PATH']}", f"TMPDIR={self.temporary}"),
            *(sys.executable, *program, "run", "-c", self.config, *(("-i", iface) if iface else ())),
            *("--log", "-" if piped else self.log),
        )
        self._piped = piped
        self.reads = threading.Event()
        self.reads.set()
        self._cache: dict[tuple[int, int], tuple[int, list[Line]]] = {}
        self.start()

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Write the configuration; a section is merged with ours."""
        merged = {"state": str(self.state), **SETTINGS, **settings}
        for name, section in settings.items():
            if isinstance(section, dict):
                merged[name] = {**SETTINGS.get(name, {}), **section}
        self.config.write_text(yaml.safe_dump(merged))

    def start(self) -> None:
        """Start it, for the first time or anew, with the same files."""
        self._starts += 1
        with self.diagnostics.open("a") as stderr:
            output = subprocess.PIPE if self._piped else subprocess.DEVNULL
            self.process = self.host.start(*self._words, stdout=output, stderr=stderr)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        """Take what it writes, unless nobody reads."""
        if self.process.stdout is None:
            return
        output = self.process.stdout.fileno()
        with self.log.open("ab", buffering=0) as file:
            while self.reads.wait() and (chunk := os.read(output, 65_536)):
                file.write(chunk)

    def stop(self, *, seconds: float = 30) -> int:
        """End it, when all that it wrote has been read."""
        code = super().stop(seconds=seconds)
        self._reader.join()
        return code

    def lines(self, path: Path | None = None) -> list[Line]:
        """Give every whole line of the log, of which only what is new is read."""
        path = path or self.log
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return []
        with file:
            status = os.fstat(file.fileno())
            identity = (status.st_dev, status.st_ino)
            at, known = self._cache.get(identity, (0, []))
            if status.st_size < at:
                at, known = 0, []
            file.seek(at)
            whole, newline, _ = file.read().rpartition(b"\n")
        if newline:
            known = [*known, *map(json.loads, whole.split(b"\n"))]
            self._cache[identity] = (at + len(whole) + 1, known)
        return known

    def evidence(self) -> str:
        """Say what a person would look at first."""
        told = [json.dumps(line) for line in self.lines() if line["event_type"] == "status"]
        return "\n".join(["-- stderr", self.diagnostics.read_text(), "-- status", *told[-5:]])

    def wait_for(self, look: Callable[[], Found | None], what: str) -> Found:
        """Wait until `look` finds something; a sensor that has ended is not waited for."""

        def alive() -> Found | None:
            found = look()
            if not found and self.process.poll() is not None:
                raise AssertionError(f"it ended before {what}\n{self.evidence()}")
            return found

        return wait_for(alive, what, evidence=self.evidence)

    def family(self) -> list[psutil.Process]:
        """Give the sensor and every process that it has started."""
        me = psutil.Process(self.process.pid)
        return [me, *me.children(recursive=True)]

    def child(self, name: str) -> psutil.Process:
        """Give the running capture tool of that name."""
        return self.wait_for(lambda: self.children().get(name), name)

    def launcher(self) -> psutil.Process:
        """Give the process that starts dumpcap for it."""
        return next(one for one in self.family()[1:] if any("launcher" in word for word in one.cmdline()))

    def zombies(self) -> list[str]:
        """Give the children that ended and that nobody has collected."""
        return [str(one) for one in self.family() if one.status() == psutil.STATUS_ZOMBIE]

    def leftovers(self) -> list[str]:
        """Give the files that it has left behind, besides its log and its state."""
        kept = {self.state.name, f"{self.state.name}.lock"}
        left = [path.name for path in self.state.parent.glob("*") if path.name not in kept]
        return left + [path.name for path in self.temporary.iterdir()]

    def descriptors(self) -> Counter[str]:
        """Give what it holds open, pipes and sockets without their numbers."""
        found: Counter[str] = Counter()
        for entry in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed since it was listed
                found[str(entry.readlink()).partition(":[")[0]] += 1
        return found


def strays(host: Host) -> list[psutil.Process]:
    """Give all that runs on a host and was started there by nobody who runs."""
    listed = subprocess.run(
        ["ip", "netns", "pids", host.namespace], capture_output=True, text=True, timeout=30, check=True
    )
    known = {process.pid for process in host.started}
    found = []
    for pid in map(int, listed.stdout.split()):
        with contextlib.suppress(psutil.NoSuchProcess):
            one = psutil.Process(pid)
            if not known & {pid, *(parent.pid for parent in one.parents())}:
                found.append(one)
    return found
