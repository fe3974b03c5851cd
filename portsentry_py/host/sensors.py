"""The sensors that run on this host, by the command lines of its processes, and the memory that they occupy."""

import resource
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

_COMMANDS = {"portsentry-py", "portsentry_py"}
_MODULE = "portsentry_py/__main__.py"


def running_sensors(root: Path = Path("/")) -> list[int]:
    """The process numbers of every `portsentry-py run` that this user may see."""
    found = []
    for folder in (root / "proc").glob("[0-9]*"):
        with suppress(OSError):
            if _is_sensor((folder / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")):
                found.append(int(folder.name))
    return sorted(found)


def memory_bytes(sensors: Iterable[int], root: Path = Path("/")) -> int:
    """The memory of these processes and their descendants; what they share is counted once, if this user may see it.

    A capture's buffer belongs to its dumpcap. Processes that end meanwhile count nothing.
    """
    parents = dict(_parents(root))
    found = {*sensors}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sum(_occupied(root / "proc" / str(pid)) for pid in found)


def _parents(root: Path) -> Iterator[tuple[int, int]]:
    for folder in (root / "proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            # A name can hold blanks and brackets.
            _, parent, *_ = (folder / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
            yield int(folder.name), int(parent)


def _occupied(process: Path) -> int:
    with suppress(OSError):
        lines = (process / "smaps_rollup").read_text("ascii").splitlines()
        return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
    with suppress(OSError, ValueError, IndexError):
        return int((process / "statm").read_text("ascii").split()[1]) * resource.getpagesize()
    return 0


def _is_sensor(words: list[str]) -> bool:
    """Whether Python runs the command; its launcher and a `sudo` before it are no sensors."""
    if not Path(words[0]).name.startswith("python"):
        return False
    program, command, *_ = [*(word for word in words[1:] if not word.startswith("-")), "", ""]
    return command == "run" and (Path(program).name in _COMMANDS or program.endswith(_MODULE))
