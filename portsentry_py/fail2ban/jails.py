"""What fail2ban says about our jails, asked through `fail2ban-client`. Asks, never changes."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from ipaddress import ip_network
from pathlib import Path
from typing import Literal

from portsentry_py.events.model import utc
from portsentry_py.text import printable

Standing = Literal["answers", "absent", "silent", "forbidden", "failed"]

_PREFIX = "portsentry"
_TIMEOUT_SECONDS = 10
_LONGEST_QUOTE = 200
# A jail's own notion of time may differ from ours by so much before we stop believing it.
_SLACK_SECONDS = 60
_JAIL_NAME = re.compile(rf"{_PREFIX}[\w.-]*", re.ASCII)
_JAIL_LIST = re.compile(r"Jail list:[ \t]*(.*)")
_VALUE = re.compile(r"^[^A-Za-z\n]*([A-Z][A-Za-z ]*):[ \t]*(.*)$", re.MULTILINE)
_MOMENT = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
_BAN = re.compile(rf"([0-9A-Fa-f.:/]+)\s+({_MOMENT}) \+ (-?\d{{1,12}}) = ({_MOMENT})", re.ASCII)
# As fail2ban dates its log lines, before what it says on standard error.
_LOG_HEAD = re.compile(r"^[\d-]+ [\d:,]+ +\S+ +\[\d+\]: +[A-Z]+ +")


@dataclass(frozen=True, slots=True)
class JailBan:
    """One ban; the times are unknown when fail2ban gives addresses only.

    Attributes:
        address: who is banned: an address or, by an administrator's hand, a network.
        banned_at: since when, UTC.
        ends_at: until when, UTC; None for ever (`permanent`).
        ban_seconds: how long in all.
        left_seconds: how long from now on; None if unknown or for ever.
        permanent: it has no end.
    """

    address: str
    banned_at: str | None = None
    ends_at: str | None = None
    ban_seconds: int | None = None
    left_seconds: int | None = None
    permanent: bool = False


@dataclass(frozen=True, slots=True)
class JailState:
    """One jail; a number that fail2ban did not tell is None, and `note` then says why.

    Attributes:
        name: its name.
        currently_banned: addresses banned now.
        total_banned: bans since fail2ban started.
        logs: the files that it reads.
        bans: who is banned, the ban that ends first first.
        note: what is wrong with it, one sentence; empty if nothing is.
    """

    name: str
    currently_banned: int | None = None
    total_banned: int | None = None
    logs: tuple[str, ...] = ()
    bans: tuple[JailBan, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Fail2banState:
    """What became of asking fail2ban.

    Attributes:
        standing: `answers`; `absent` (not installed); `silent` (not running, or hanging); `forbidden` (the
            user may not ask); `failed` (anything else).
        note: what is wrong and the fix, one sentence; empty if nothing is.
        jails: those whose names begin with `portsentry`.
    """

    standing: Standing
    note: str = ""
    jails: tuple[JailState, ...] = ()


class _NoAnswer(Exception):
    def __init__(self, standing: Standing, note: str) -> None:
        super().__init__(note)
        self.standing = standing
        self.note = note


def ask(socket: Path | None, now_us: int) -> Fail2banState:
    """Ask fail2ban for the jails named portsentry*; nothing that goes wrong raises.

    Args:
        socket: the server's socket; None for the one that fail2ban's configuration names.
        now_us: the time that `left_seconds` counts from.
    """
    jails: list[JailState] = []
    try:
        listed = _JAIL_LIST.search(_client(socket, "status"))
        names = re.split(r"[,\s]+", listed[1]) if listed else []
        ours = sorted(name for name in names if _JAIL_NAME.fullmatch(name))
        for name in ours:
            jails.append(_jail(socket, name, now_us))  # noqa: PERF401 - those before a failure are kept
    except _NoAnswer as refused:
        return Fail2banState(refused.standing, refused.note, tuple(jails))
    if not jails:
        return Fail2banState(
            "answers",
            "fail2ban has no jail portsentry, so nothing is banned; arm it with: "
            "portsentry-py fail2ban install && fail2ban-client reload",
        )
    return Fail2banState("answers", jails=tuple(jails))


def _client(socket: Path | None, *words: str) -> str:
    program = shutil.which("fail2ban-client")
    if program is None:
        raise _NoAnswer(
            "absent", "fail2ban is not installed, so nothing is banned; do: apt-get install fail2ban"
        )
    where = ["-s", str(socket)] if socket else []
    try:
        done = subprocess.run(
            [program, *where, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _NoAnswer(
            "silent",
            f"fail2ban did not answer within {_TIMEOUT_SECONDS} s; see its log, /var/log/fail2ban.log.",
        ) from error
    except (OSError, ValueError) as error:
        raise _NoAnswer("failed", f"{program} cannot be run ({error}); reinstall fail2ban.") from error
    if done.returncode:
        raise _refusal(done.stdout + done.stderr, socket)
    return done.stdout


def _refusal(said: str, socket: Path | None) -> _NoAnswer:
    if "Permission denied" in said:
        return _NoAnswer("forbidden", "you may not ask fail2ban what is banned; run this as root.")
    if "Failed to access socket" in said or "Unable to contact server" in said:
        silent = f"fail2ban does not answer at {socket}" if socket else "fail2ban does not run"
        perhaps = ", or run this as root if it does" if os.geteuid() else ""
        return _NoAnswer(
            "silent",
            f"{silent}, so nothing new is banned; start it with: systemctl start fail2ban" + perhaps,
        )
    last = _LOG_HEAD.sub("", (said.strip().splitlines() or ["no message"])[-1])
    quote = printable(last)[:_LONGEST_QUOTE]
    return _NoAnswer("failed", f"fail2ban-client failed ({quote}); try: fail2ban-client status")


def _jail(socket: Path | None, name: str, now_us: int) -> JailState:
    try:
        told = dict(_VALUE.findall(_client(socket, "status", name)))
        jail = JailState(
            name,
            _number(told.get("Currently banned")),
            _number(told.get("Total banned")),
            tuple(told.get("File list", "").split()),
            tuple(JailBan(address) for address in _addresses(told.get("Banned IP list", ""))),
        )
    except _NoAnswer as refused:
        if refused.standing != "failed":
            raise
        return JailState(name, note=refused.note)
    try:
        bans, strange = _bans(_client(socket, "get", name, "banip", "--with-time"), now_us)
    except _NoAnswer as refused:
        if refused.standing != "failed":
            raise
        return replace(
            jail, note="this fail2ban does not tell how long its bans last; it has to be 0.11 or newer."
        )
    if strange:
        # Whom the timed list leaves out is banned all the same.
        known = {ban.address for ban in bans}
        bans += [ban for ban in jail.bans if ban.address not in known]
        note = (
            f"{strange} lines of fail2ban's answer could not be read; see: fail2ban-client get {name} banip"
        )
        return replace(jail, bans=tuple(bans), note=note)
    return replace(jail, bans=tuple(bans))


def _bans(answer: str, now_us: int) -> tuple[list[JailBan], int]:
    """The bans in `get JAIL banip --with-time`, and how many lines make no sense."""
    bans: list[JailBan] = []
    strange = 0
    for line in filter(str.strip, answer.splitlines()):
        found = _BAN.fullmatch(line.strip())
        addresses = list(_addresses(found[1])) if found else []
        if not found or not addresses:
            strange += 1
            continue
        since, seconds = _time_us(found[2]), int(found[3])
        if seconds < 0:
            bans.append(JailBan(addresses[0], _utc(since), permanent=True))
            continue
        until = _time_us(found[4])
        left = _left(until, seconds, now_us)
        bans.append(JailBan(addresses[0], _utc(since), _utc(until), seconds, left))
    return bans, strange


def _left(until_us: int | None, ban_seconds: int, now_us: int) -> int | None:
    """Seconds until then; None if the server's clock or time zone cannot be ours."""
    if until_us is None:
        return None
    left = -((now_us - until_us) // 1_000_000)
    return max(0, left) if -_SLACK_SECONDS <= left <= ban_seconds + _SLACK_SECONDS else None


def _time_us(text: str) -> int | None:
    """A time as fail2ban prints it: of this machine's time zone, which is not named."""
    try:
        moment = datetime.fromisoformat(text).astimezone(timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None
    return round(moment.timestamp()) * 1_000_000


def _utc(time_us: int | None) -> str | None:
    return None if time_us is None else utc(time_us)


def _addresses(text: str) -> Iterator[str]:
    """The addresses and networks in a list, written as the log writes them."""
    for word in text.split():
        if "%" in word:
            continue
        try:
            network = ip_network(word, strict=False)
        except ValueError:
            continue
        single = network.prefixlen == network.max_prefixlen
        yield str(network.network_address) if single else str(network)


def _number(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"[0-9]{1,18}", text.strip()) else None
