"""What the tests ask about processes: have they ended, which files do they hold open."""

from collections.abc import Iterable
from pathlib import Path

import psutil

# The beginning of a command line, for a program that inherits signals as from `nohup ... &`, and worse.
WITHOUT_SIGNALS = ("env", "--ignore-signal=HUP,INT,QUIT,USR1,CHLD", "--block-signal=TERM,QUIT")


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or is a zombie."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def all_ended(processes: Iterable[psutil.Process]) -> bool:
    """Whether none of these still runs; a process that has the number of an old one is another."""
    return all(not process.is_running() or has_ended(process.pid) for process in processes)


def open_files() -> dict[str, str]:
    """Our own descriptors, and what each of them is."""
    entries = list(Path("/proc/self/fd").iterdir())  # one of them is the list's, and gone now
    return {entry.name: str(entry.readlink()) for entry in entries if entry.is_symlink()}


def status_of(text: str) -> dict[str, str]:
    """The fields of a /proc/PID/status."""
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def capabilities(status: dict[str, str]) -> list[int]:
    """The permitted, effective, ambient and inheritable capabilities in a /proc/PID/status, as masks."""
    return [int(status[name], 16) for name in ("CapPrm", "CapEff", "CapAmb", "CapInh")]
