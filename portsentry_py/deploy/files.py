"""What undoes a change of files: they get back what they held."""

import os
import shutil
from contextlib import ExitStack
from pathlib import Path

from portsentry_py.fail2ban.placing import put


def restore_later(undo: ExitStack, *paths: Path) -> None:
    """Puts on the stack that these files, and the folders that they need, become what they are now."""
    for path in paths:
        for folder in reversed([folder for folder in path.parents if not folder.exists()]):
            undo.callback(_remove_folder, folder)
        if path.is_symlink() or not path.exists():
            undo.callback(_restore_link, path, path.readlink() if path.is_symlink() else None)
        else:
            status = path.stat()
            undo.callback(_restore, path, path.read_bytes(), status.st_mode & 0o7777, status.st_uid, status.st_gid)


def restore_owner_later(undo: ExitStack, path: Path) -> None:
    """The same for a file whose content is not changed, such as a log: its owner and mode, or that it is missing."""
    if not path.exists():
        restore_later(undo, path)
    else:
        status = path.stat()
        undo.callback(path.chmod, status.st_mode & 0o7777)
        undo.callback(os.chown, path, status.st_uid, status.st_gid)


def remove(path: Path) -> None:
    """Removes a file, a link, or a folder with all that is in it; it can be missing."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _restore_link(path: Path, target: Path | None) -> None:
    path.unlink(missing_ok=True)
    if target is not None:
        path.symlink_to(target)


def _restore(path: Path, content: bytes, mode: int, user: int, group: int) -> None:
    if not path.is_file() or path.read_bytes() != content:
        put(path, content)
    os.chown(path, user, group)
    path.chmod(mode)


def _remove_folder(folder: Path) -> None:
    """A folder that was made; what others have put into it since stays."""
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
