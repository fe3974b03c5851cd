"""The program that the unit runs: this one, or a copy of it that the service can reach."""

import compileall
import os
import re
import shutil
import sys
import venv
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, PackagePath, distribution
from pathlib import Path

from portsentry_py.deploy.files import remove, restore_later
from portsentry_py.deploy.system import System
from portsentry_py.errors import InstallError
from portsentry_py.shipped import shipped

NAME = "portsentry-py"
COPY = "opt/portsentry-py"
LINK = "usr/local/bin/portsentry-py"
# The unit hides homes and has a /tmp of its own.
_HIDDEN = tuple(map(Path, ("/home", "/root", "/run", "/tmp", "/var/tmp")))  # noqa: S108 - names, nothing is written
_ON_PATH = ("usr/bin", "usr/local/bin", "bin")
# In the folder of a copy: made by us, so ours to replace and remove.
_MARK = "copied-by-portsentry-py"
_SCRIPT = """\
#!/{copy}/bin/python
from portsentry_py.cli.main import main
main()
"""
_EXTRA = re.compile(r"extra == .([\w.-]+)")
_FOR_DEVELOPERS = {"test", "fuzz"}
# A package and the extras of it that are asked for: `nats-py[nkeys]>=2.9`.
_REQUIREMENT = re.compile(r"^([\w.-]+)(?:\[([\w,.-]*)\])?")
_PACKAGE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Program:
    """The command that the unit runs, and whether it has to be copied there."""

    path: Path
    copied: bool = False


def find(system: System) -> Program:
    """The program for the unit.

    Raises:
        InstallError: the tree holds none, or the interpreter lies where a service cannot reach it.
    """
    if not system.here:
        places = [*(f"{folder}/{NAME}" for folder in _ON_PATH), f"{COPY}/bin/{NAME}"]
        for place in places:
            if (system.root / place).exists():
                return Program(Path("/", place))
        raise InstallError(f"there is no {NAME} below {system.root}; install the package there, then run this again.")
    script = Path(sys.prefix, "bin", NAME)
    if _PACKAGE.is_relative_to(sys.prefix) and script.exists() and _reachable(Path(sys.prefix)):
        return Program(script)
    if _hidden(Path(sys.base_prefix)):
        raise InstallError(
            f"the Python in {sys.base_prefix} is hidden from services; install with the system's python3."
        )
    return Program(Path("/", COPY, "bin", NAME), copied=True)


def copy(system: System, undo: ExitStack) -> None:
    """Copies this program, with the packages that it needs, to /opt.

    Raises:
        InstallError: another installation is there.
    """
    place = system.root / COPY
    new, old = (place.with_name(f".{place.name}.{word}") for word in ("new", "old"))
    if place.exists() and not (place / _MARK).exists():
        raise InstallError(f"{place} is there and was not made by this command; run {place}/bin/{NAME} install.")
    remove(new)
    restore_later(undo, new)
    undo.callback(remove, new)
    _fill(new)
    remove(old)
    if place.exists():
        undo.callback(old.rename, place)
        place.rename(old)
    undo.callback(remove, place)
    new.rename(place)


def link(system: System, program: Program, undo: ExitStack) -> None:
    """Makes the command known to shells, unless there is another of the name."""
    path = system.root / LINK
    restore_later(undo, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or not path.exists():
        path.unlink(missing_ok=True)
        path.symlink_to(program.path)


def tidy(system: System) -> None:
    """Removes the copy that was replaced."""
    remove(system.root / f"{COPY.rpartition('/')[0]}/.{NAME}.old")


def take_away(system: System) -> list[Path]:
    """Removes the link and the copy; what was removed."""
    path, place = system.root / LINK, system.root / COPY
    removed = []
    if path.is_symlink() and path.readlink().name == NAME:
        path.unlink()
        removed.append(path)
    if (place / _MARK).exists():
        remove(place)
        removed.append(place)
    return removed


def _reachable(folder: Path) -> bool:
    """Whether a service may read it, and nobody but root may change it."""
    trusted = all(
        one.stat().st_uid == 0 and not one.stat().st_mode & 0o022 and one.stat().st_mode & 0o001
        for one in (folder, *folder.parents)
    )
    return trusted and not _hidden(folder)


def _hidden(folder: Path) -> bool:
    return any(folder.is_relative_to(place) for place in _HIDDEN)


def _fill(new: Path) -> None:
    venv.create(new, symlinks=True, with_pip=False)
    site = new / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    for found in _needed():
        for file in filter(_is_copied, found.files or ()):
            (site / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(str(found.locate_file(file)), site / file)
    package = site / _PACKAGE.name
    shutil.copytree(_PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    for folder in ("config", "fail2ban"):
        shutil.copytree(shipped(folder), package / "data" / folder, dirs_exist_ok=True)
    script = new / "bin" / NAME
    script.write_text(_SCRIPT.format(copy=COPY), encoding="utf-8")
    script.chmod(0o755)
    (new / _MARK).touch()
    compileall.compile_dir(site, quiet=2)
    for path in new.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o111 else 0o644)
            os.chown(path, 0, 0)
    new.chmod(0o755)


def _is_copied(file: PackagePath) -> bool:
    return ".." not in file.parts and "__pycache__" not in file.parts


def _needed() -> Iterator[Distribution]:
    """The installed distributions that ours needs; ours can be a checkout, and is copied from where it is."""
    names, seen = [(NAME, "")], set[str]()
    while names:
        name, extras = names.pop()
        name = re.sub(r"[-_.]+", "-", name).lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            found = distribution(name)
        except PackageNotFoundError:  # for another platform or Python
            continue
        if name != NAME:
            yield found
        for line in found.requires or ():
            extra = _EXTRA.search(line)
            if not extra or (extra[1] not in _FOR_DEVELOPERS if name == NAME else extra[1] in extras.split(",")):
                names += _REQUIREMENT.findall(line)
