"""The sensor that runs here, by its processes: what it watches, and which file it writes to."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from portsentry_py.host.sensors import running_sensors

_DIAGNOSTICS = "2"


@dataclass(frozen=True, slots=True)
class SensorView:
    """The sensors of this network namespace.

    Attributes:
        pids: their processes.
        interfaces: what their dumpcaps capture on; empty if that is unknown.
        logs: the files that they have open to append to.
    """

    pids: tuple[int, ...] = ()
    interfaces: frozenset[str] = frozenset()
    logs: tuple[Path, ...] = ()

    @property
    def watches_all(self) -> bool:
        """Whether it sees every interface, the drill's own too."""
        return "any" in self.interfaces

    def watches(self, interface: str) -> bool:
        """Whether it sees this interface, or nobody knows."""
        return not self.interfaces or self.watches_all or interface in self.interfaces

    def writes(self, log: Path) -> bool:
        """Whether it writes this file, or nobody knows."""
        with suppress(OSError):
            return not self.logs or any(one.samefile(log) for one in self.logs)
        return not self.logs


def view_sensor(root: Path = Path("/")) -> SensorView:
    """Those that this user may see.

    Args:
        root: top of the tree with proc.
    """
    proc = root / "proc"
    here = _namespace(proc / "self")
    pids = tuple(pid for pid in running_sensors(root) if _namespace(proc / str(pid)) == here)
    logs = tuple(dict.fromkeys(log for pid in pids for log in _appended(proc / str(pid))))
    return SensorView(pids, frozenset(_captured(proc, pids)), logs)


def _namespace(folder: Path) -> str:
    with suppress(OSError):
        return str((folder / "ns/net").readlink())
    return ""


def _captured(proc: Path, sensors: tuple[int, ...]) -> Iterator[str]:
    """The interfaces in the command lines of the dumpcaps that descend from a sensor."""
    parents = {int(folder.name): _parent(folder) for folder in proc.glob("[0-9]*")}
    for pid in parents:
        if sensors and not set(sensors).isdisjoint(_ancestors(pid, parents)):
            words = _words(proc / str(pid))
            if Path(words[0]).name == "dumpcap":
                yield from (name for option, name in pairwise(words) if option == "-i")


def _ancestors(pid: int, parents: dict[int, int]) -> Iterator[int]:
    seen: set[int] = set()
    while (pid := parents.get(pid, 0)) and pid not in seen:
        seen.add(pid)
        yield pid


def _parent(folder: Path) -> int:
    with suppress(OSError, ValueError, IndexError):
        # The name of a program can hold blanks and parentheses.
        return int((folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    return 0


def _words(folder: Path) -> list[str]:
    with suppress(OSError):
        return (folder / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    return [""]


def _appended(folder: Path) -> Iterator[Path]:
    """The regular files that a process has open to append to."""
    with suppress(OSError):
        for link in [one for one in (folder / "fd").iterdir() if one.name != _DIAGNOSTICS]:
            with suppress(OSError, ValueError, IndexError):
                flags = int((folder / "fdinfo" / link.name).read_text().split("flags:")[1].split()[0], 8)
                if flags & os.O_APPEND and stat.S_ISREG(link.stat().st_mode):
                    yield link.readlink()
