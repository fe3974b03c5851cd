"""The services of the fleet: placed where the configuration names credentials, else taken away."""

import os
from contextlib import ExitStack
from pathlib import Path

from portsentry_py.deploy import service_files, unit
from portsentry_py.deploy.accounts import USER
from portsentry_py.deploy.files import remove, restore_owner_later
from portsentry_py.deploy.service_files import FLEET_UNITS
from portsentry_py.deploy.system import System
from portsentry_py.errors import InstallError
from portsentry_py.fail2ban.placing import Outcome, writing

STATE = "var/lib/portsentry-py-fleet"
# The units hide these, whatever the file's mode.
_HIDDEN = ("/home", "/root", "/tmp", "/var/tmp", "/run/user")  # noqa: S108 - names, nothing is written


def must_be_visible(credentials: Path) -> None:
    """Makes sure that the services can see a file.

    Raises:
        InstallError: they cannot, even if it is theirs.
    """
    if any(credentials.is_relative_to(folder) for folder in _HIDDEN):
        raise InstallError(
            f"{credentials}: hidden from services; move it to /etc/portsentry-py and correct fleet.credentials."
        )


def is_there(system: System) -> bool:
    """Whether anything of the services is left: a file, their state, or that one starts at boot."""
    names = (STATE, *(file.target for file in service_files.fleet_files(Path("/"))))
    return any(os.path.lexists(system.root / name) for name in names) or any(map(system.enabled, FLEET_UNITS))


def remember(system: System, undo: ExitStack) -> None:
    """Puts on the stack that the services run if they run now, and that the state they make goes.

    Raises:
        InstallError: a program fails, while undoing.
    """
    state = system.root / STATE
    if not state.exists():
        undo.callback(remove, state)
    for name in FLEET_UNITS:
        unit.restart_later(undo, name)


def hand_over(system: System, credentials: Path, undo: ExitStack) -> None:
    """Gives the credentials to the user of the service, who alone can read them then.

    Raises:
        InstallError: there is no such user.
        OutputError, PermissionDenied: the file cannot be changed, or is a link.
    """
    path = system.root / credentials.relative_to("/")
    ids = _ids(system)
    with writing(path):
        # Not through a link: what it points to would change its owner.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            restore_owner_later(undo, path)
            os.fchmod(descriptor, 0o600)
            os.fchown(descriptor, *ids)
        finally:
            os.close(descriptor)


def enable(system: System, undo: ExitStack) -> None:
    """Lets the services start at boot.

    Raises:
        InstallError: systemctl fails.
    """
    for name in FLEET_UNITS:
        unit.enable(system, undo, name)


def restart(undo: ExitStack) -> None:
    """Starts the services with the new files.

    Raises:
        InstallError: one does not start.
    """
    for name in FLEET_UNITS:
        unit.restart(undo, name)


def take_away(system: System) -> list[Outcome]:
    """Stops the services, and removes their files and state; their log stays.

    Raises:
        InstallError: systemctl fails.
        OutputError, PermissionDenied: a file cannot be removed.
    """
    for name in reversed(FLEET_UNITS):
        unit.take_away(system, name)
    outcomes = service_files.take_fleet_away(system)
    remove(system.root / STATE)
    if system.running:
        unit.forget(*FLEET_UNITS)
    return outcomes


def _ids(system: System) -> tuple[int, int]:
    """The numbers of the user and its group, as the tree has them."""
    for line in (system.root / "etc/passwd").read_text("utf-8", "replace").splitlines():
        name, _, user, group = (*line.split(":"), "", "", "", "")[:4]
        if name == USER and user.isdecimal() and group.isdecimal():
            return int(user), int(group)
    raise InstallError(f"there is no user {USER}; run systemd-sysusers and try again.")
