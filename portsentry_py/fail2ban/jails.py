"""What fail2ban says about our jails. Reads, never changes."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from ipaddress import ip_network
from typing import Literal

from portsentry_py.errors import Fail2banError, PermissionDenied, PortsentryError
from portsentry_py.events.model import EvidenceEvent, utc
from portsentry_py.fail2ban.client import CommandFailed, Fail2banClient, JailNotLoaded, NotAnswering, NotInstalled
from portsentry_py.fail2ban.pack import JAIL

Standing = Literal["answers", "absent", "silent", "forbidden", "failed"]

_STANDINGS: dict[type[PortsentryError], Standing] = {
    NotInstalled: "absent",
    NotAnswering: "silent",
    PermissionDenied: "forbidden",
}
_TIMEOUT_SECONDS = 10
# fail2ban counts in its own clock and time zone; beyond this difference they are not ours.
_SLACK_SECONDS = 60
_JAIL_NAME = re.compile(rf"{JAIL}(-[\w.-]+)?", re.ASCII)
_JAIL_LIST = re.compile(r"Jail list:[ \t]*(.*)")
_VALUE = re.compile(r"^[^A-Za-z\n]*([A-Z][A-Za-z ]*):[ \t]*(.*)$", re.MULTILINE)
_MOMENT = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
_BAN = re.compile(rf"([0-9A-Fa-f.:/]+)\s+({_MOMENT}) \+ (-?\d{{1,12}}) = ({_MOMENT})", re.ASCII)

_Ask = Callable[..., str]


@dataclass(frozen=True, slots=True)
class JailBan:
    """One ban. All times are None if fail2ban gives only the address.

    Attributes:
        address: the banned address; a network in jail portsentry-net or by the hand of an administrator.
        banned_at, ends_at: UTC; a permanent ban has no end, no length and no rest.
        left_seconds: the rest of its length; None if the clock of fail2ban is not ours.
        evidence: the log line that explains it; None if no such line is known.
    """

    address: str
    banned_at: str | None = None
    ends_at: str | None = None
    ban_seconds: int | None = None
    left_seconds: int | None = None
    permanent: bool = False
    evidence: EvidenceEvent | None = None


@dataclass(frozen=True, slots=True)
class JailState:
    """One jail. A number that fail2ban does not give is None, and `note` says why.

    Attributes:
        total_banned: bans since fail2ban started.
        logs: the files that it reads.
        bans: the ban that ends first comes first.
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
    """The state of fail2ban and of its jails whose names begin with `portsentry`.

    Attributes:
        standing: `answers`; `absent` (not installed); `silent` (does not run, or hangs); `forbidden` (answers
            only root); `failed` (any other error).
        note: what is wrong and the fix, one sentence; empty if nothing is.
    """

    standing: Standing
    note: str = ""
    jails: tuple[JailState, ...] = ()


def read_jails(client: Fail2banClient, now_us: int) -> Fail2banState:
    """The state at a time in microseconds since 1970. A failure becomes a note."""
    ask = partial(client.ask, timeout_seconds=_TIMEOUT_SECONDS)
    jails: list[JailState] = []
    try:
        for name in filter(is_ours, jail_names(ask)):
            jails.append(_jail(ask, name, now_us))  # noqa: PERF401 - those before a failure are kept
    except (Fail2banError, PermissionDenied) as error:
        return Fail2banState(_STANDINGS.get(type(error), "failed"), str(error), tuple(jails))
    return Fail2banState("answers", "" if jails else str(JailNotLoaded(JAIL)), tuple(jails))


def jail_names(ask: _Ask) -> list[str]:
    """The names of all jails that the server runs.

    Raises:
        Fail2banError, PermissionDenied: it does not answer, or refuses.
    """
    listed = _JAIL_LIST.search(ask("status"))
    return sorted(filter(None, re.split(r"[,\s]+", listed[1]))) if listed else []


def is_ours(name: str) -> bool:
    """Whether a jail has one of our names: `portsentry` and what begins with `portsentry-`."""
    return _JAIL_NAME.fullmatch(name) is not None


def _jail(ask: _Ask, name: str, now_us: int) -> JailState:
    """The state of one jail. An error about this jail becomes its note."""
    try:
        values = dict(_VALUE.findall(ask("status", name)))
    except CommandFailed as error:
        return JailState(name, note=str(error))
    jail = JailState(
        name,
        _number(values.get("Currently banned")),
        _number(values.get("Total banned")),
        tuple(values.get("File list", "").split()),
        tuple(map(JailBan, addresses(values.get("Banned IP list", "")))),
    )
    try:
        bans, unreadable = _bans(ask("get", name, "banip", "--with-time"), now_us)
    except CommandFailed:
        return replace(jail, note="fail2ban does not tell how long its bans last; install 0.11 or newer.")
    if not unreadable:
        return replace(jail, bans=tuple(bans))
    # An address that is missing in the list with times is banned all the same.
    known = {ban.address for ban in bans}
    bans += [ban for ban in jail.bans if ban.address not in known]
    note = f"{unreadable} lines of fail2ban's answer cannot be read; run `fail2ban-client get {name} banip`."
    return replace(jail, bans=tuple(bans), note=note)


def _bans(answer: str, now_us: int) -> tuple[list[JailBan], int]:
    """The bans in `get JAIL banip --with-time`, and the number of lines that cannot be read."""
    bans: list[JailBan] = []
    unreadable = 0
    for line in filter(str.strip, answer.splitlines()):
        found = _BAN.fullmatch(line.strip())
        banned = list(addresses(found[1])) if found else []
        if not found or not banned:
            unreadable += 1
            continue
        since, seconds = _time_us(found[2]), int(found[3])
        if seconds < 0:
            bans.append(JailBan(banned[0], _utc(since), permanent=True))
            continue
        until = _time_us(found[4])
        left = _left(until, seconds, now_us)
        bans.append(JailBan(banned[0], _utc(since), _utc(until), seconds, left))
    return bans, unreadable


def _left(until_us: int | None, ban_seconds: int, now_us: int) -> int | None:
    """Seconds until then; None if the clock or the time zone of the server cannot be ours."""
    if until_us is None:
        return None
    left = -((now_us - until_us) // 1_000_000)
    return max(0, left) if -_SLACK_SECONDS <= left <= ban_seconds + _SLACK_SECONDS else None


def _time_us(text: str) -> int | None:
    """A time as fail2ban prints it: in the time zone of this host, which it does not name."""
    try:
        moment = datetime.fromisoformat(text).astimezone(timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None
    return round(moment.timestamp()) * 1_000_000


def _utc(time_us: int | None) -> str | None:
    return None if time_us is None else utc(time_us)


def addresses(text: str) -> Iterator[str]:
    """The addresses and networks in a list, in the spelling of the log."""
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
