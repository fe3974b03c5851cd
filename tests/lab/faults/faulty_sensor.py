"""The sensor that is given the faults, and what can be seen of it from outside."""

import contextlib
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from tests.lab.faults.sender import PORTS
from tests.support.namespaces import Host
from tests.support.sensor import Sensor

# Each SYN gets its line at once: no rate limit, no bound and no waiting table suppresses any, and the outcome
# of an attempt on a served port is not waited for.
SETTINGS: dict[str, Any] = {
    "connections": "all",
    "served": {"tcp": [f"{PORTS[0]}-{PORTS[-1]}"]},
    "lines": {"per_source_per_minute": 10_000, "per_second": 10_000},
    "limits": {"max_sources": 1_000_000, "max_flows": 1_000_000, "new_sources_per_second": 100_000},
    "capture": {"workers": 1},
}


class FaultySensor(Sensor):
    """A sensor with SETTINGS and its own, and what can be seen of its processes from outside."""

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Write the configuration; a section is merged with ours."""
        sections = {
            name: {**SETTINGS.get(name, {}), **section}
            for name, section in settings.items()
            if isinstance(section, dict)
        }
        super().configure({**SETTINGS, **settings, **sections})

    def evidence(self) -> str:
        reported = [json.dumps(line) for line in self.lines() if line["event_type"] == "status"]
        return "\n".join(["-- stderr", self.diagnostics.read_text(), "-- status", *reported[-5:]])

    def family(self) -> list[psutil.Process]:
        """The sensor and every process that it has started."""
        me = psutil.Process(self.process.pid)
        return [me, *me.children(recursive=True)]

    def child(self, name: str) -> psutil.Process:
        """The running capture tool of that name."""
        return self.wait_for(lambda: self.children().get(name), name)

    def launcher(self) -> psutil.Process:
        return next(one for one in self.family()[1:] if any("launcher" in word for word in one.cmdline()))

    def zombies(self) -> list[str]:
        """The children that ended and that nobody has collected."""
        return [str(one) for one in self.family() if one.status() == psutil.STATUS_ZOMBIE]

    def leftovers(self) -> list[str]:
        """The files that it has left behind, besides its log and its state."""
        kept = {self.state.name, f"{self.state.name}.lock"}
        left = [path.name for path in self.state.parent.glob("*") if path.name not in kept]
        return left + [path.name for path in self.temporary.iterdir()]

    def descriptors(self) -> Counter[str]:
        """What it holds open, pipes and sockets without their numbers."""
        found: Counter[str] = Counter()
        for entry in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed since it was listed
                found[str(entry.readlink()).partition(":[")[0]] += 1
        return found


def strays(host: Host) -> list[psutil.Process]:
    """All that runs on a host and was started there by nobody who runs."""
    known = {process.pid for process in host.started}
    found = []
    for pid in host.pids():
        with contextlib.suppress(psutil.NoSuchProcess):
            one = psutil.Process(pid)
            if not known & {pid, *(parent.pid for parent in one.parents())}:
                found.append(one)
    return found
