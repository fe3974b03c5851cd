"""The sensors that run on this host, by the command lines of its processes."""

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


def _is_sensor(words: list[str]) -> bool:
    """Whether Python runs the command; its launcher and a `sudo` before it are no sensors."""
    if not Path(words[0]).name.startswith("python"):
        return False
    program, command, *_ = [*(word for word in words[1:] if not word.startswith("-")), "", ""]
    return command == "run" and (Path(program).name in _COMMANDS or program.endswith(_MODULE))
