"""Installs the pack below /etc/fail2ban and removes it. A file that the operator changed is kept.

Nothing here restarts or reloads anything.
"""

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

from portsentry_py.fail2ban.client import NotInstalled
from portsentry_py.fail2ban.firewall import firewall_file
from portsentry_py.fail2ban.jail_config import jail_files
from portsentry_py.fail2ban.pack import ETC, FLEET_FILE, LOG, pack_files
from portsentry_py.fail2ban.placing import Outcome, place, read_manifest, record, remove, writing

# Every version that was ever installed, so that an upgrade knows our files from the operator's.
MANIFEST = "var/lib/portsentry-py/fail2ban.sha256"


def install(root: Path, ban_action: str = "", *, fleet: bool | None = None) -> list[Outcome]:
    """Installs or upgrades the pack below `root`; one outcome for the log and for each file.

    Args:
        root: the tree.
        ban_action: the banaction of the jails; empty for the one of fail2ban's own configuration.
        fleet: whether the jail of the fleet is enabled; None leaves it as it is.

    Raises:
        NotInstalled: there is no fail2ban in that tree.
        OutputError, PermissionDenied: a file cannot be written.
    """
    etc = root / ETC
    if not etc.is_dir():
        raise NotInstalled(root=root)
    optional = [(firewall_file(ban_action), bool(ban_action))]
    if fleet is not None:
        optional.append((FLEET_FILE, fleet))
    files = pack_files() + [file for file, is_wanted in optional if is_wanted]
    # The log comes first: fail2ban does not start while the log of an enabled jail is missing.
    outcomes = [_create_log(root / LOG)]
    known = record(root / MANIFEST, files)
    outcomes += [place(etc / file.target, file, known) for file in files]
    unused = [(etc / file.target, file) for file, is_wanted in optional if not is_wanted]
    return outcomes + [remove(path, file, known) for path, file in unused if os.path.lexists(path)]


def uninstall(root: Path) -> list[Outcome]:
    """Removes the unchanged files below `root`; one outcome for each file that was there.

    Changed files stay, and so do the files that they need, and the log.

    Raises:
        OutputError, PermissionDenied: a file cannot be removed.
    """
    etc = root / ETC
    known = read_manifest(root / MANIFEST)
    found = [(etc / file.target, file) for file in reversed([*pack_files(), firewall_file(""), FLEET_FILE])]
    outcomes = [remove(path, file, known, _user_of(path, etc)) for path, file in found if os.path.lexists(path)]
    if not any(outcome.action == "kept" for outcome in outcomes):
        _remove_manifest(root / MANIFEST)
    return outcomes


def _user_of(path: Path, etc: Path) -> str:
    """The reason to keep a filter or action: a jail file names it; empty if none does."""
    if path.parent.name == "jail.d":
        return ""
    name = re.compile(rf"^[^#;\n]*(?<![\w-]){re.escape(path.stem)}(?![\w-])", re.MULTILINE)
    users = (jail for jail in jail_files(etc) if name.search(jail.read_text("utf-8", "replace")))
    return next((f"needed by {user}; fail2ban does not start without it" for user in users), "")


def _create_log(path: Path) -> Outcome:
    with writing(path):
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


def _remove_manifest(path: Path) -> None:
    with writing(path):
        path.unlink(missing_ok=True)
    with suppress(OSError):  # other files of the sensor can be there
        path.parent.rmdir()
