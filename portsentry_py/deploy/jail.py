"""The jails in a running fail2ban."""

import re
from contextlib import ExitStack, suppress

from portsentry_py.deploy.files import restore_later, restore_owner_later
from portsentry_py.deploy.system import System
from portsentry_py.errors import Fail2banError
from portsentry_py.fail2ban import installer
from portsentry_py.fail2ban.client import Fail2banClient
from portsentry_py.fail2ban.conflicts import taken
from portsentry_py.fail2ban.firewall import firewall_file
from portsentry_py.fail2ban.jail_config import jail_files
from portsentry_py.fail2ban.pack import ETC, FILTER, FLEET_FILE, LOG, pack_files
from portsentry_py.fail2ban.placing import Outcome
from portsentry_py.fail2ban.reload import reload

_OTHER_WAY = "Or install without the jail: --no-jail."


def must_be_free(system: System) -> None:
    """Makes sure that no other program has a jail of the same name, which ours would change.

    Raises:
        Fail2banError: one has; the sentence names the file and the other way.
    """
    for sentence in taken(system.root):
        raise Fail2banError(f"{sentence} {_OTHER_WAY}")


def answers() -> None:
    """Makes sure that fail2ban runs and that its configuration is valid, before anything is changed.

    Raises:
        Fail2banError, PermissionDenied: it does not; the sentence names the other way.
    """
    try:
        Fail2banClient().ask("ping")
        Fail2banClient().ask("-t")
    except Fail2banError as error:
        raise Fail2banError(f"{error} {_OTHER_WAY}") from error


def place(system: System, ban_action: str, undo: ExitStack, *, fleet: bool = False) -> list[Outcome]:
    """Writes the pack; fail2ban reads it and bans, what the fleet reports too if this host is in one.

    Raises:
        Fail2banError: fail2ban refuses the configuration.
        OutputError, PermissionDenied: a file cannot be written.
    """
    if system.running:
        undo.callback(reload)
    restore_owner_later(undo, system.root / LOG)
    files = [*pack_files(), firewall_file(ban_action), FLEET_FILE]
    restore_later(undo, system.root / installer.MANIFEST, *(system.root / ETC / file.target for file in files))
    outcomes = installer.install(system.root, ban_action, fleet=fleet)
    if system.running:
        reload()
    return outcomes


def another_reads_the_log(system: System) -> bool:
    """Whether a jail file that is not ours names the log, as that of portsentry 2.x does."""
    setting = re.compile(rf"^logpath\s*=.*/{re.escape(LOG)}(\s|$)", re.MULTILINE)
    files = (path for path in jail_files(system.root / ETC) if not path.name.startswith(f"{FILTER}."))
    return any(setting.search(path.read_text(encoding="utf-8", errors="replace")) for path in files)


def take_away(system: System) -> list[Outcome]:
    """Removes the pack and ends its bans.

    Raises:
        OutputError, PermissionDenied: a file cannot be removed.
    """
    outcomes = installer.uninstall(system.root)
    if system.running:
        with suppress(Fail2banError):  # it does not run, so it bans nobody
            reload()
    return outcomes
