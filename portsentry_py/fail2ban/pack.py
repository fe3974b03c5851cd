"""What is shipped to /etc/fail2ban: actions, filter and jails, and the names in them."""

import importlib.resources
from dataclasses import dataclass

FILTER = "portsentry-py"
JAIL = "portsentry"
MODES = ("normal", "strict", "aggressive", "scan", "trap", "sweep", "slow", "network")
NETWORK_MODE = "network"
# In the order of installation: fail2ban refuses to start with a jail whose filter is missing.
FOLDERS = ("action.d", "filter.d", "jail.d")


@dataclass(frozen=True)
class PackFile:
    """One shipped file and its path relative to /etc/fail2ban."""

    target: str
    content: bytes


def pack_files() -> list[PackFile]:
    """Finds the shipped files, in the order in which they have to be installed."""
    shipped = importlib.resources.files("portsentry_py") / "data" / "fail2ban"
    folders = [(name, shipped / name) for name in FOLDERS]
    return [
        PackFile(f"{name}/{entry.name}", entry.read_bytes())
        for name, folder in folders
        if folder.is_dir()
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".conf")
    ]
