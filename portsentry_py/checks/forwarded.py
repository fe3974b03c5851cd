"""Ports that this host forwards to containers and other hosts, and whether a ban covers them."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable

from portsentry_py.fail2ban.programs import ran

_LISTINGS = (("nft", "list", "ruleset"), ("iptables-save", "-t", "nat"), ("ip6tables-save", "-t", "nat"))
_TIMEOUT_SECONDS = 20
# A line of nft, or of iptables-save, that gives packets to another address.
_FORWARDS = re.compile(r"\bdnat\b.*\bto\b|-j DNAT\b", re.IGNORECASE)
_PORTS = re.compile(r"(?:\bdport |--dports? )(\{[^}]*\}|[\d:,-]+)")
_MOST_SHOWN = 8
# Where a ban sees forwarded packets: before the address translation, or on their way through.
COVERING = {"prerouting", "forward", "ingress", "docker-user"}


def forwarded_ports(listing: str) -> list[str]:
    """The ports in the rules of a listing that forward; `all` for a rule without a port."""
    rules = [line for line in listing.splitlines() if _FORWARDS.search(line)]
    found = {found[1].strip("{} ") if (found := _PORTS.search(rule)) else "all" for rule in rules}
    return sorted(found)


def shown(ports: Iterable[str]) -> str:
    """The ports for a sentence."""
    ports = list(ports)
    rest = f" and {len(ports) - _MOST_SHOWN} more" if len(ports) > _MOST_SHOWN else ""
    return ", ".join(ports[:_MOST_SHOWN]) + rest


def kernel_rules() -> str:
    """The rules of the kernel, as far as this user may see them with the programs that are installed."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    listed = ""
    for name, *words in _LISTINGS:
        program = shutil.which(name, path=path)
        if program is None:
            continue
        try:
            listed += ran([program, *words], _TIMEOUT_SECONDS).stdout
        except (OSError, subprocess.TimeoutExpired):
            continue
    return listed
