"""Installs the pack below /etc/fail2ban and removes it. A file that the operator changed is kept.

Nothing here restarts or reloads anything.
"""

import difflib
import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from portsentry_py.errors import OutputError, PermissionDenied
from portsentry_py.fail2ban.client import NotInstalled
from portsentry_py.fail2ban.jail_config import jail_files
from portsentry_py.fail2ban.pack import ETC, LOG, PackFile, pack_files

# Every version that was ever installed, so that an upgrade knows our files from the operator's.
MANIFEST = "var/lib/portsentry-py/fail2ban.sha256"

Action = Literal["installed", "upgraded", "unchanged", "kept", "removed", "created"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened to one path; of a kept one, the diff to the shipped file and the reason."""

    path: Path
    action: Action
    diff: str = ""
    note: str = ""


def install(root: Path) -> list[Outcome]:
    """Installs or upgrades the pack below `root`; one outcome for the log and for each file.

    Raises:
        NotInstalled: there is no fail2ban in that tree.
        OutputError, PermissionDenied: a file cannot be written.
    """
    etc = root / ETC
    if not etc.is_dir():
        raise NotInstalled(root=root)
    files = pack_files()
    # The log comes first: fail2ban does not start while the log of an enabled jail is missing.
    outcomes = [_create_log(root / LOG)]
    known = _read_manifest(root / MANIFEST)
    shipped = {_key(file, file.content) for file in files}
    if not shipped <= known:
        # Before the files: if this stops in between, the manifest has a version too many, not one too few.
        _write_manifest(root / MANIFEST, known | shipped)
    return outcomes + [_install_file(etc / file.target, file, known) for file in files]


def uninstall(root: Path) -> list[Outcome]:
    """Removes the unchanged files below `root`; one outcome for each file that was there.

    Changed files stay, and so do the files that they need, and the log.

    Raises:
        OutputError, PermissionDenied: a file cannot be removed.
    """
    etc = root / ETC
    known = _read_manifest(root / MANIFEST)
    found = [(etc / file.target, file) for file in reversed(pack_files())]
    outcomes = [_uninstall_file(etc, path, file, known) for path, file in found if os.path.lexists(path)]
    if not any(outcome.action == "kept" for outcome in outcomes):
        _remove_manifest(root / MANIFEST)
    return outcomes


def _install_file(path: Path, file: PackFile, known: set[tuple[str, str]]) -> Outcome:
    with _writing(path):
        if not os.path.lexists(path):
            _replace(path, file.content)
            return Outcome(path, "installed")
        installed = path.read_bytes() if path.exists() else b""
        if installed == file.content:
            return Outcome(path, "unchanged")
        if path.is_symlink() or _key(file, installed) not in known:
            return Outcome(path, "kept", _diff(path, installed, file), "changed by the operator")
        _replace(path, file.content)
        return Outcome(path, "upgraded")


def _uninstall_file(etc: Path, path: Path, file: PackFile, known: set[tuple[str, str]]) -> Outcome:
    with _writing(path):
        installed = path.read_bytes() if path.exists() else b""
        if path.is_symlink() or (installed != file.content and _key(file, installed) not in known):
            return Outcome(path, "kept", _diff(path, installed, file), "changed by the operator")
        user = _user_of(path, etc)
        if user is not None:
            return Outcome(path, "kept", note=f"needed by {user}; fail2ban does not start without it")
        path.unlink()
        return Outcome(path, "removed")


def _user_of(path: Path, etc: Path) -> Path | None:
    """A jail file that names this filter or action."""
    if path.parent.name == "jail.d":
        return None
    name = re.compile(rf"^[^#;\n]*(?<![\w-]){re.escape(path.stem)}(?![\w-])", re.MULTILINE)
    jails = jail_files(etc)
    return next((jail for jail in jails if name.search(jail.read_text("utf-8", "replace"))), None)


def _key(file: PackFile, content: bytes) -> tuple[str, str]:
    return file.target, hashlib.sha256(content).hexdigest()


def _diff(path: Path, installed: bytes, file: PackFile) -> str:
    before, after = (text.decode("utf-8", "backslashreplace").splitlines() for text in (installed, file.content))
    return "\n".join(difflib.unified_diff(before, after, str(path), f"{file.target} (shipped)", lineterm=""))


def _create_log(path: Path) -> Outcome:
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o640)
        except FileExistsError:
            return Outcome(path, "unchanged")
        os.fchmod(descriptor, 0o640)  # the umask may have taken rights away
        os.close(descriptor)
        with suppress(LookupError, PermissionError):  # no such group here, or not ours to give
            shutil.chown(path, group="adm")
        return Outcome(path, "created")


def _read_manifest(path: Path) -> set[tuple[str, str]]:
    """Pairs of target and digest; the file has the format of sha256sum."""
    with _writing(path):
        lines = path.read_text("utf-8", "replace").splitlines() if path.exists() else []
    return {(target, digest) for digest, _, target in (line.partition("  ") for line in lines)}


def _write_manifest(path: Path, known: set[tuple[str, str]]) -> None:
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, "".join(f"{digest}  {target}\n" for target, digest in sorted(known)).encode())


def _remove_manifest(path: Path) -> None:
    with _writing(path):
        path.unlink(missing_ok=True)
    with suppress(OSError):  # other files of the sensor can be there
        path.parent.rmdir()


def _replace(path: Path, content: bytes) -> None:
    """Replaces a file in one step or not at all; fail2ban does not read files with the temporary name."""
    path.parent.mkdir(exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """An error of the system becomes one sentence about the path that the operator knows."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.EACCES, errno.EPERM}:
            raise PermissionDenied(f"{path}: cannot write it (permission denied); run this as root.") from error
        raise OutputError(f"{path}: cannot write it ({error.strerror}); correct that and run this again.") from error
