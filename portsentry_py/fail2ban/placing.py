"""Places shipped files and removes them. A file that the operator changed is kept."""

import difflib
import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from portsentry_py.errors import OutputError, PermissionDenied
from portsentry_py.fail2ban.pack import PackFile
from portsentry_py.replacement import replace

Action = Literal["installed", "upgraded", "unchanged", "kept", "removed", "created"]
Known = frozenset[tuple[str, str]]
"""Pairs of target and digest: every version of a file that was ever placed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened to one path; of a kept one, the diff to the shipped file and the reason."""

    path: Path
    action: Action
    diff: str = ""
    note: str = ""


def place(path: Path, file: PackFile, known: Known) -> Outcome:
    """Installs or upgrades one file.

    Raises:
        OutputError, PermissionDenied: it cannot be written.
    """
    with writing(path):
        if not os.path.lexists(path):
            put(path, file.content)
            return Outcome(path, "installed")
        installed = path.read_bytes() if path.exists() else b""
        if installed == file.content:
            return Outcome(path, "unchanged")
        if path.is_symlink() or key(file, installed) not in known:
            return Outcome(path, "kept", _diff(path, installed, file), "changed by the operator")
        put(path, file.content)
        return Outcome(path, "upgraded")


def remove(path: Path, file: PackFile, known: Known, needed: str = "") -> Outcome:
    """Removes one file that exists, unless the operator changed it or it is `needed` for a reason.

    Raises:
        OutputError, PermissionDenied: it cannot be removed.
    """
    with writing(path):
        installed = path.read_bytes() if path.exists() else b""
        if path.is_symlink() or (installed != file.content and key(file, installed) not in known):
            return Outcome(path, "kept", _diff(path, installed, file), "changed by the operator")
        if needed:
            return Outcome(path, "kept", note=needed)
        path.unlink()
        return Outcome(path, "removed")


def key(file: PackFile, content: bytes) -> tuple[str, str]:
    """A version of a file, as the manifest has it."""
    return file.target, hashlib.sha256(content).hexdigest()


def read_manifest(path: Path) -> Known:
    """What was placed before; the file has the format of sha256sum."""
    with writing(path):
        lines = path.read_text("utf-8", "replace").splitlines() if path.exists() else []
    return frozenset((target, digest) for digest, _, target in (line.partition("  ") for line in lines))


def record(path: Path, files: list[PackFile]) -> Known:
    """Adds these versions to a manifest; the versions that it had before.

    It is written before the files: if that stops in between, the manifest has a version too many, not one too few.
    """
    known = read_manifest(path)
    shipped = {key(file, file.content) for file in files}
    if not shipped <= known:
        lines = (f"{digest}  {target}\n" for target, digest in sorted(known | shipped))
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            put(path, "".join(lines).encode())
    return known


def _diff(path: Path, installed: bytes, file: PackFile) -> str:
    before, after = (text.decode("utf-8", "backslashreplace").splitlines() for text in (installed, file.content))
    return "\n".join(difflib.unified_diff(before, after, str(path), f"{file.target} (shipped)", lineterm=""))


def put(path: Path, content: bytes) -> None:
    """Replaces a file in one step or not at all, and makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace(path, content, 0o644)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """An error of the system becomes one sentence about the path that the operator knows."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.EACCES, errno.EPERM}:
            raise PermissionDenied(f"{path}: cannot write it (permission denied); run this as root.") from error
        raise OutputError(f"{path}: cannot write it ({error.strerror}); correct that and run this again.") from error
