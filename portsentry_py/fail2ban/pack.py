"""What is shipped to /etc/fail2ban: actions, filter and jails, with the names and paths in them."""

from dataclasses import dataclass

from portsentry_py.config.settings import DEFAULT_LOG
from portsentry_py.shipped import shipped

FILTER = "portsentry-py"
JAIL = "portsentry"
FLEET_JAIL = "portsentry-fleet"
MODES = ("normal", "strict", "aggressive", "scan", "trap", "sweep", "slow", "network")
NETWORK_MODE = "network"
# Paths below the root of a system.
ETC = "etc/fail2ban"
LOG = DEFAULT_LOG.lstrip("/")
# In the order of installation: fail2ban does not start with a jail whose filter is missing.
FOLDERS = ("action.d", "filter.d", "jail.d")


@dataclass(frozen=True, slots=True)
class PackFile:
    """One shipped file; `target` is its path below /etc/fail2ban."""

    target: str
    content: bytes


def pack_files() -> list[PackFile]:
    """The shipped files, in the order of installation."""
    return [
        PackFile(f"{name}/{entry.name}", entry.read_bytes())
        for name in FOLDERS
        for entry in sorted((shipped("fail2ban") / name).glob("*.conf"))
    ]
