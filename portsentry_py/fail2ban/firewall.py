"""Which ban action this host can carry out, and the jail file that says so."""

import re
from dataclasses import dataclass
from pathlib import Path

from portsentry_py.errors import UsageError
from portsentry_py.fail2ban.client import NotInstalled
from portsentry_py.fail2ban.jail_config import JailConfig
from portsentry_py.fail2ban.pack import ETC, JAIL, PackFile

NFTABLES = "nftables[type=allports]"
IPTABLES = "portsentry-py-iptables"
# fail2ban reads it after the shipped jails and before jail.local, so the operator's own setting wins.
_TARGET = "jail.d/portsentry-py.firewall.conf"
_TEXT = """\
# From portsentry-py.  Override: jail.local

[{jail}]
banaction = {action}
"""
# The stock actions whose names contain the key run the program.
_PROGRAMS = {"nft": "nft", "iptables": "iptables", "ipset": "ipset", "firewallcmd": "firewall-cmd", "ufw": "ufw"}
_PLACES = ("usr/sbin", "usr/bin", "sbin", "bin", "usr/local/sbin", "usr/local/bin")
_ACTION = re.compile(r"[\w.-]+(\[[^\n%]*\])?", re.ASCII)
_SHIPPED = "%(banaction_allports)s"


@dataclass(frozen=True, slots=True)
class BanAction:
    """What the jails ban with: the setting, empty if fail2ban's configuration needs none of ours, and why."""

    setting: str
    reason: str


def choose(root: Path, wanted: str = "") -> BanAction:
    """The ban action for the jails on the system whose tree begins at `root`.

    Args:
        root: the tree.
        wanted: what the operator asks for; empty to choose by what is installed.

    Raises:
        UsageError: `wanted` is no ban action.
        NotInstalled: no firewall program is installed.
    """
    if wanted:
        if not _ACTION.fullmatch(wanted):
            raise UsageError(f"{wanted} is no ban action; name one of {root / ETC / 'action.d'}, such as nftables.")
        return BanAction(wanted, f"{wanted}, as you asked")
    jails = JailConfig(root / ETC, without=(_TARGET,))
    own = jails.own(JAIL, "banaction")
    if own not in {"", _SHIPPED}:
        return BanAction("", f"{own}, which your jail files set")
    action = jails.value(JAIL, "banaction_allports").strip()
    lacking = missing_programs(root, action)
    if action and not lacking and not _is_iptables(action):
        return BanAction("", f"{action}, which your fail2ban is set to")
    why = f"{action} needs {lacking[0]}, which is not installed" if lacking else "it covers forwarded ports"
    for setting in (IPTABLES, NFTABLES) if _is_iptables(action) else (NFTABLES, IPTABLES):
        if not missing_programs(root, setting):
            return BanAction(setting, f"{setting}: {why}")
    raise NotInstalled("nft", package="nftables", root=root)


def _is_iptables(action: str) -> bool:
    return "iptables" in action and "ipset" not in action


def firewall_file(action: str) -> PackFile:
    """The jail file that sets a ban action."""
    return PackFile(_TARGET, _TEXT.format(jail=JAIL, action=action).encode())


def missing_programs(root: Path, action: str) -> list[str]:
    """The programs that a stock ban action runs, and that are not installed below `root`."""
    needed = (program for part, program in _PROGRAMS.items() if part in action)
    return [program for program in needed if not any((root / place / program).exists() for place in _PLACES)]
