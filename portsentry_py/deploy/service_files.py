"""The files of the services: units, user, logs, rotation and configuration."""

import os
from contextlib import ExitStack, suppress
from pathlib import Path

from portsentry_py.deploy.files import remove, restore_later
from portsentry_py.deploy.system import System
from portsentry_py.fail2ban import placing
from portsentry_py.fail2ban.pack import PackFile
from portsentry_py.fail2ban.placing import Outcome
from portsentry_py.shipped import shipped

RECORDS = "var/lib/portsentry-py-install"
CONFIG = "etc/portsentry-py/portsentry.yaml"
# The file of `portsentry-py allow`, and where docs/fleet.md puts the secret of this host.
_OPERATORS = ("etc/portsentry-py/allowlist", "etc/portsentry-py/fleet.json")
SYSUSERS = "etc/sysusers.d/portsentry-py.conf"
TMPFILES = "etc/tmpfiles.d/portsentry-py.conf"
FLEET_TMPFILES = "etc/tmpfiles.d/portsentry-py-fleet.conf"
FLEET_UNITS = ("portsentry-py-fleet.service", "portsentry-py-fleet-unban.service")
_MANIFEST = f"{RECORDS}/files.sha256"
# Folders that a small system lacks, such as /etc/sysusers.d.
_FOLDERS = f"{RECORDS}/folders"
_TARGETS = {
    "portsentry-py.sysusers": SYSUSERS,
    "portsentry-py.tmpfiles": TMPFILES,
    "portsentry-py.logrotate": "etc/logrotate.d/portsentry-py",
    "portsentry-py.service": "etc/systemd/system/portsentry-py.service",
    "portsentry.yaml": CONFIG,
}
_FLEET_TARGETS = {
    "portsentry-py-fleet.tmpfiles": FLEET_TMPFILES,
    **{unit: f"etc/systemd/system/{unit}" for unit in FLEET_UNITS},
}
_SHIPPED_PROGRAM = b"/usr/bin/portsentry-py"


def service_files(program: Path) -> list[PackFile]:
    """The shipped files of the sensor; the unit runs this program."""
    return _shipped(_TARGETS, program)


def fleet_files(program: Path) -> list[PackFile]:
    """The same of the fleet."""
    return _shipped(_FLEET_TARGETS, program)


def _shipped(targets: dict[str, str], program: Path) -> list[PackFile]:
    files = [PackFile(target, (shipped("config") / name).read_bytes()) for name, target in targets.items()]
    return [
        PackFile(file.target, file.content.replace(_SHIPPED_PROGRAM, str(program).encode()))
        if file.target.endswith(".service")
        else file
        for file in files
    ]


def place(system: System, file: PackFile, undo: ExitStack) -> Outcome:
    """Writes one file, unless the operator changed it.

    Raises:
        OutputError, PermissionDenied: it cannot be written.
    """
    path, manifest = system.root / file.target, system.root / _MANIFEST
    folders = system.root / _FOLDERS
    restore_later(undo, manifest, folders, path)
    folders.parent.mkdir(parents=True, exist_ok=True)
    with folders.open("a", encoding="utf-8") as record:
        record.writelines(f"{folder.relative_to(system.root)}\n" for folder in path.parents if not folder.exists())
    return placing.place(path, file, placing.record(manifest, [file]))


def take_away(system: System, *, purge: bool) -> list[Outcome]:
    """Removes the files; those that the operator changed stay unless `purge`.

    Raises:
        OutputError, PermissionDenied: one cannot be removed.
    """
    outcomes = _remove(system, service_files(Path("/")), purge=purge) + take_fleet_away(system, purge=purge)
    for path in (system.root / name for name in _OPERATORS):
        if purge:
            remove(path)
        elif path.exists():
            os.chown(path, 0, 0)  # its user goes, and another one may get the number
            outcomes.append(Outcome(path, "kept", note="your file"))
    record = system.root / _FOLDERS
    for folder in record.read_text("utf-8").splitlines() if record.exists() else ():
        with suppress(OSError):  # a folder with other files stays
            (system.root / folder).rmdir()
    return outcomes


def take_fleet_away(system: System, *, purge: bool = False) -> list[Outcome]:
    """Removes the files of the fleet alone, as `take_away`.

    Raises:
        OutputError, PermissionDenied: one cannot be removed.
    """
    return _remove(system, fleet_files(Path("/")), purge=purge)


def _remove(system: System, files: list[PackFile], *, purge: bool) -> list[Outcome]:
    known = placing.read_manifest(system.root / _MANIFEST)
    outcomes: list[Outcome] = []
    for file in files:
        path = system.root / file.target
        if not os.path.lexists(path):
            continue
        if purge:
            with placing.writing(path):
                path.unlink()
            outcomes.append(Outcome(path, "removed"))
        else:
            outcomes.append(placing.remove(path, file, known))
    return outcomes
