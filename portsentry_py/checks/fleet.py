"""Checks the fleet: its library, its credentials, its two services, the broker and its jail."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from portsentry_py.checks.result import Result, broken, warning
from portsentry_py.config.settings import Fleet
from portsentry_py.config.values import OFF_WORD
from portsentry_py.deploy import fleet as services
from portsentry_py.deploy.service_files import FLEET_UNITS
from portsentry_py.deploy.system import System, succeeds, system
from portsentry_py.errors import Fail2banError, LibraryMissing, PermissionDenied, PortsentryError
from portsentry_py.fail2ban.client import Fail2banClient
from portsentry_py.fail2ban.jails import jail_names
from portsentry_py.fail2ban.pack import ETC, FLEET_JAIL
from portsentry_py.fleet.credentials import read as read_credentials
from portsentry_py.fleet.credentials import refuse_plain_text
from portsentry_py.fleet.snapshot import read as read_snapshot
from portsentry_py.host.service import acting_as, service_user

_LIBRARIES = ("nats", "nkeys", "nacl")
_INSTALL = "run `portsentry-py install`"


def is_active(unit: str) -> bool:
    """Whether systemd runs a unit."""
    return succeeds("systemctl", "--quiet", "is-active", unit)


@dataclass(frozen=True, slots=True)
class FleetHost:
    """The host that is checked; the defaults are this one."""

    system: System = field(default_factory=lambda: system(Path("/")))
    user: str | None = field(default_factory=service_user)
    is_active: Callable[[str], bool] = is_active
    client: Fail2banClient = field(default_factory=Fail2banClient)


def require_library() -> None:
    """Check that what speaks with the broker is installed.

    Raises:
        LibraryMissing: it is not.
    """
    for name in _LIBRARIES:
        if find_spec(name) is None:
            raise LibraryMissing("nats-py" if name == "nats" else name, "fleet")


def usable(settings: Fleet, path: Path) -> str:
    """The name that the credentials give this host.

    Raises:
        ConfigError: they are none, others may read them, or they name a broker beyond this host without TLS.
        PermissionDenied: the user may not read them.
    """
    credentials = read_credentials(path)
    refuse_plain_text(credentials.servers, permitted=settings.plain_text)
    return credentials.name


def check_fleet(settings: Fleet, host: FleetHost) -> Iterator[Result]:
    """Findings about the fleet, if the configuration names one or something of it is left."""
    if settings.credentials == OFF_WORD:
        if services.is_there(host.system):
            yield warning("fleet", f"it is off in the configuration, and its services are installed; {_INSTALL}.")
        return
    yield from _access(settings, host.user)
    if host.system.running:
        yield from _services(settings, host)
    if (host.system.root / ETC).is_dir():
        yield from _jail(settings, host.client)


def _access(settings: Fleet, user: str | None) -> Iterator[Result]:
    path, as_user = Path(settings.credentials), ""
    try:
        require_library()
        services.must_be_visible(path)
        with acting_as(user) as is_other:
            as_user = f" (as {user}, the user of the service)" if is_other else ""
            name = usable(settings, path)
    except PermissionDenied as error:
        # Any other user than root cannot know.
        yield (warning if os.geteuid() else broken)("fleet", f"{error}{as_user}")
    except PortsentryError as error:
        yield broken("fleet", str(error))
    else:
        yield Result("fleet", f"this host is {name} ({path})")


def _services(settings: Fleet, host: FleetHost) -> Iterator[Result]:
    for unit in FLEET_UNITS:
        if not host.system.enabled(unit):
            yield broken("fleet", f"the service {unit} does not start at boot; {_INSTALL}.")
        elif not host.is_active(unit):
            yield broken("fleet", f"the service {unit} does not run; look into `journalctl -u {unit}`.")
    if settings.state == OFF_WORD or not host.is_active(FLEET_UNITS[0]):
        return
    try:
        broker = read_snapshot(Path(settings.state)).broker
    except PortsentryError as error:
        yield warning("fleet", str(error))
        return
    if broker:
        yield Result("fleet", f"connected to {broker}, mode {settings.mode}")
    else:
        yield warning("fleet", f"no connection to a broker; look into `journalctl -u {FLEET_UNITS[0]}`.")


def _jail(settings: Fleet, client: Fail2banClient) -> Iterator[Result]:
    try:
        is_on = FLEET_JAIL in jail_names(client.ask)
    except (Fail2banError, PermissionDenied):  # the check of the jail has a word about it
        return
    if is_on:
        yield Result("fleet", f"the jail [{FLEET_JAIL}] is on")
    elif settings.mode == "ban":
        yield broken("fleet", f"nobody that others ban is banned here: the jail [{FLEET_JAIL}] is off; {_INSTALL}.")
    else:
        yield warning("fleet", f"the jail [{FLEET_JAIL}] is off, which `mode: ban` needs; {_INSTALL}.")
