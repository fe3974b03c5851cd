"""The proof that a ban of the jail is really in the kernel: fail2ban says so even when its action failed."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TypeVar

from portsentry_py.errors import CaptureError, ConfigError, PermissionDenied, PortsentryError, UsageError

DOCUMENTATION = tuple(map(ip_network, ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")))
# What a ban leaves behind, wherever the operator's action puts it.
LISTINGS = (
    ("nft", "list", "ruleset"),
    ("iptables-save",),
    ("ip6tables-save",),
    ("ipset", "list"),
    ("ip", "-4", "route", "show"),
    ("ip", "-6", "route", "show"),
)
BAN_SECONDS = 20.0
COMMAND_SECONDS = 60

Found = TypeVar("Found")


@dataclass(frozen=True)
class BanReport:
    """A ban that was really in the kernel: where, and how long it took to come and to go."""

    address: str
    rules: tuple[str, ...]
    ban_seconds: float
    unban_seconds: float


def ban_and_unban(
    address: str = "192.0.2.1", *, jail: str = "portsentry", etc: Path | None = None
) -> BanReport:
    """Has the running fail2ban ban a documentation address, looks for it in the kernel, and unbans it.

    fail2ban calls an address banned even when its action failed; the kernel does not. Whatever else the jail
    does at a ban, such as sending mail, it does here too.

    Args:
        address: one that is reserved for documentation.
        jail: the jail that has to ban.
        etc: fail2ban's configuration, if it is not /etc/fail2ban.

    Raises:
        UsageError: the address could be somebody's.
        CaptureError: fail2ban is missing or does not run, or nothing here can list the kernel's rules.
        PermissionDenied: fail2ban lets only root in.
        ConfigError: the jail is not loaded.
        PortsentryError: the ban did not come into the kernel, or did not leave it.
    """
    address = _documentation_address(address)
    _ask_fail2ban(etc, "ping")
    _ask_fail2ban(etc, "status", jail)
    if _rules_about(address):
        raise PortsentryError(
            f"{address} is blocked already: run `fail2ban-client unban {address}`, or test with another"
        )
    try:
        begun = time.monotonic()
        _ask_fail2ban(etc, "set", jail, "banip", address)
        rules = _within(lambda: _rules_about(address))
        banned = time.monotonic()
    finally:
        _ask_fail2ban(etc, "set", jail, "unbanip", address)
    unbanned = time.monotonic()
    gone = _within(lambda: not _rules_about(address))
    if not rules:
        raise PortsentryError(
            f"fail2ban says that it banned {address}, but the kernel has no rule about it: look for ERROR in "
            f"fail2ban's log and give [{jail}] a banaction that works here"
        )
    if not gone:
        raise PortsentryError(
            f"{address} is unbanned, but the kernel still has a rule about it: look for ERROR in "
            "fail2ban's log, and remove the rule by hand"
        )
    return BanReport(address, rules, banned - begun, time.monotonic() - unbanned)


def _documentation_address(text: str) -> str:
    with suppress(ValueError):
        address = ip_address(text)
        if any(address in network for network in DOCUMENTATION):
            return str(address)
    raise UsageError(f"{text} is not a documentation address, so it could be somebody's: use 192.0.2.1")


def _ask_fail2ban(etc: Path | None, *words: str) -> None:
    program = shutil.which("fail2ban-client")
    if program is None:
        raise CaptureError("fail2ban-client is not installed: run `apt-get install fail2ban`")
    where = [] if etc is None else ["-c", str(etc)]
    try:
        done = subprocess.run(
            [program, *where, *words],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=COMMAND_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CaptureError(f"{program} cannot be run ({error}): reinstall fail2ban") from error
    if done.returncode == 0:
        return
    said = " ".join((done.stdout + done.stderr).split())
    if "ermission denied" in said:
        raise PermissionDenied("fail2ban's socket lets only root in: run this as root")
    if words == ("ping",):
        raise CaptureError("fail2ban is not running: run `systemctl start fail2ban`")
    if "does not exist" in said:
        raise ConfigError(
            f"fail2ban has no jail {words[1]}: run `portsentry-py fail2ban install`, "
            "then `fail2ban-client reload`"
        )
    raise PortsentryError(f"`fail2ban-client {' '.join(words)}` failed ({said}): look into fail2ban's log")


def _rules_about(address: str) -> tuple[str, ...]:
    """Finds the address in what the kernel's firewalls and routes hold, line by line."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    found = [(shutil.which(command, path=path), words) for command, *words in LISTINGS]
    programs = [[program, *words] for program, words in found if program is not None]
    if not programs:
        raise CaptureError("no rule can be looked up: run `apt-get install nftables`")
    listed = ""
    for command in programs:
        with suppress(OSError, subprocess.TimeoutExpired):
            listed += subprocess.run(
                command,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=COMMAND_SECONDS,
                check=False,
            ).stdout
    word = re.compile(rf"(?<![\w.:]){re.escape(address)}(?![\w:]|\.\d)")
    return tuple(line.strip() for line in listed.splitlines() if word.search(line))


def _within(look: Callable[[], Found]) -> Found:
    """Asks again until there is something, or until it should have been there."""
    deadline = time.monotonic() + BAN_SECONDS
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found
