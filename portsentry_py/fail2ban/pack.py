"""What is shipped to /etc/fail2ban: actions, filter and jails, with the names and paths in them."""

from dataclasses import dataclass

from portsentry_py.config.settings import DEFAULT_FLEET_LOG, DEFAULT_LOG
from portsentry_py.shipped import shipped

FILTER = "portsentry-py"
JAIL = "portsentry"
FLEET_JAIL = "portsentry-fleet"
MODES = ("normal", "strict", "aggressive", "scan", "trap", "sweep", "slow", "network")
NETWORK_MODE = "network"
# Paths below the root of a system.
ETC = "etc/fail2ban"
LOG = DEFAULT_LOG.lstrip("/")
FLEET_LOG = DEFAULT_FLEET_LOG.lstrip("/")
# In the order of installation: fail2ban does not start with a jail whose filter is missing.
FOLDERS = ("action.d", "filter.d", "jail.d")


@dataclass(frozen=True, slots=True)
class PackFile:
    """One shipped file; `target` is its path below /etc/fail2ban."""

    target: str
    content: bytes


# fail2ban reads it after the shipped jails and before jail.local, so the operator's own setting wins.
FLEET_FILE = PackFile(
    "jail.d/portsentry-py.fleet.conf",
    f"# From portsentry-py: a fleet is configured.  Override: jail.local\n\n[{FLEET_JAIL}]\nenabled = true\n".encode(),
)


def pack_files() -> list[PackFile]:
    """The shipped files, in the order of installation."""
    return [
        PackFile(f"{name}/{entry.name}", entry.read_bytes())
        for name in FOLDERS
        for entry in sorted((shipped("fail2ban") / name).glob("*.conf"))
    ]
