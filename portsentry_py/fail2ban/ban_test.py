"""The proof that a ban reaches the kernel: fail2ban also lists an address whose ban failed."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address, ip_network
from typing import TypeVar

from portsentry_py.errors import Fail2banError, UsageError
from portsentry_py.fail2ban.client import Fail2banClient, NotInstalled
from portsentry_py.fail2ban.pack import JAIL
from portsentry_py.fail2ban.programs import ran

TEST_ADDRESS = "192.0.2.1"
_DOCUMENTATION = tuple(map(ip_network, ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")))
# A ban leaves a trace in one of these, whichever action the operator chose.
_LISTINGS = (
    ("nft", "list", "ruleset"),
    ("iptables-save",),
    ("ip6tables-save",),
    ("ipset", "list"),
    ("ip", "-4", "route", "show"),
    ("ip", "-6", "route", "show"),
)
_BAN_SECONDS = 20.0
_LISTING_SECONDS = 60

_Found = TypeVar("_Found")


def ban_and_unban(client: Fail2banClient, address: str) -> tuple[str, ...]:
    """Bans a documentation address, finds it in the kernel, and unbans it; the rules that it had.

    The jail does all that it does at a ban, such as sending mail.

    Raises:
        UsageError: the address is not reserved for documentation (RFC 5737, RFC 3849).
        NotInstalled, NotAnswering, JailNotLoaded, PermissionDenied: no ban was tried.
        Fail2banError: the address was blocked before, or its rule did not come or did not go.
    """
    address = _documentation_address(address)
    client.ask("status", JAIL)
    if rules_about(address):
        raise Fail2banError(
            f"{address} is blocked already; run `fail2ban-client unban {address}`, or test with another."
        )
    try:
        client.ask("set", JAIL, "banip", address)
        rules = _wait_for(lambda: rules_about(address))
    finally:
        client.ask("set", JAIL, "unbanip", address)
    gone = _wait_for(lambda: not rules_about(address))
    if not rules:
        raise Fail2banError(
            f"fail2ban lists {address} as banned, but the kernel has no rule about it; look for ERROR in "
            f"/var/log/fail2ban.log and give [{JAIL}] a banaction that works here."
        )
    if not gone:
        raise Fail2banError(
            f"{address} is unbanned, but the kernel still has a rule about it; look for ERROR in "
            "/var/log/fail2ban.log and remove the rule by hand."
        )
    return rules


def _documentation_address(text: str) -> str:
    with suppress(ValueError):
        address = ip_address(text)
        if any(address in network for network in _DOCUMENTATION):
            return str(address)
    raise UsageError(f"{text} is not a documentation address, so it can belong to somebody; use {TEST_ADDRESS}.")


def rules_about(address: str) -> tuple[str, ...]:
    """The lines about an address in the kernel's firewalls and routes.

    Raises:
        NotInstalled: no program can list them.
    """
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    found = [(shutil.which(command, path=path), words) for command, *words in _LISTINGS]
    programs = [[program, *words] for program, words in found if program is not None]
    if not programs:
        raise NotInstalled("nft", package="nftables")
    listed = ""
    for command in programs:
        with suppress(OSError, subprocess.TimeoutExpired):
            listed += ran(command, _LISTING_SECONDS).stdout
    word = re.compile(rf"(?<![\w.:]){re.escape(address)}(?![\w:]|\.\d)")
    return tuple(line.strip() for line in listed.splitlines() if word.search(line))


def _wait_for(look: Callable[[], _Found]) -> _Found:
    """What `look` returns once that is true, or at the latest when a ban must have arrived."""
    deadline = time.monotonic() + _BAN_SECONDS
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found
