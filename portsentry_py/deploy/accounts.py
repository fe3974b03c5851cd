"""The service's user and groups: made, remembered and removed."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from portsentry_py.deploy.files import restore_later
from portsentry_py.deploy.service_files import RECORDS, SYSUSERS
from portsentry_py.deploy.system import System, run

USER = "portsentry"
_RECORD = f"{RECORDS}/accounts"
# A group of Wireshark's own package that our file makes where it is missing.
_NAMES = {"passwd": (USER,), "group": (USER, "wireshark")}
_REMOVERS = {"passwd": "userdel", "group": "groupdel"}
_DUMPCAP = "usr/bin/dumpcap"

Account = tuple[str, str]


def create(system: System, undo: ExitStack) -> None:
    """Makes the user and groups that are missing, and remembers which.

    Raises:
        InstallError: systemd-sysusers fails.
    """
    before = _present(system)
    record = system.root / _RECORD
    restore_later(undo, record)
    undo.callback(_remove, system, lambda: _present(system) - before)
    run("systemd-sysusers", f"--root={system.root}", system.root / SYSUSERS)
    made = _made(record) | (_present(system) - before)
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text("".join(f"{file} {name}\n" for file, name in sorted(made)), encoding="utf-8")


def remove(system: System) -> None:
    """Removes the user and groups that `create` made.

    Raises:
        InstallError: one cannot be removed.
    """
    _remove(system, lambda: _made(system.root / _RECORD) & _present(system) - _in_use(system))


def _remove(system: System, accounts: Callable[[], set[Account]]) -> None:
    where = () if system.here else ("--prefix", str(system.root))
    # A user first: its group goes with it.
    for file, remover in _REMOVERS.items():
        for found, name in sorted(accounts()):
            if found == file:
                run(remover, *where, name)


def _present(system: System) -> set[Account]:
    """Those of ours that the files of the system hold."""
    found: set[Account] = set()
    for file, names in _NAMES.items():
        path = system.root / "etc" / file
        lines = path.read_text("utf-8", "replace").splitlines() if path.exists() else []
        found |= {(file, name) for name in names if any(line.startswith(f"{name}:") for line in lines)}
    return found


def _made(record: Path) -> set[Account]:
    lines = record.read_text("utf-8", "replace").splitlines() if record.exists() else []
    accounts = {(file, name) for file, _, name in (line.partition(" ") for line in lines)}
    return {(file, name) for file, name in accounts if name in _NAMES.get(file, ())}


def _in_use(system: System) -> set[Account]:
    """Wireshark's group, if dumpcap has been given to it since or somebody else is in it."""
    path, dumpcap = system.root / "etc/group", system.root / _DUMPCAP
    for line in path.read_text("utf-8", "replace").splitlines():
        name, _, number, members = (*line.split(":"), "", "", "", "")[:4]
        if name == "wireshark":
            others = set(filter(None, members.split(","))) - {USER}
            owned = dumpcap.exists() and str(dumpcap.stat().st_gid) == number
            return {("group", name)} if others or owned else set()
    return set()
