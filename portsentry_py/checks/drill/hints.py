"""Hints: for each step of the drill that failed, the cause that this host shows, and the fix."""

import re
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

from portsentry_py.checks.drill.found import Found
from portsentry_py.checks.drill.row import Row
from portsentry_py.checks.jail import Fail2banHost, check_jail
from portsentry_py.config.allowlist import overlap, read
from portsentry_py.config.settings import Network, Settings
from portsentry_py.config.values import OFF_WORD
from portsentry_py.errors import Fail2banError, PermissionDenied, PortsentryError
from portsentry_py.events.model import time_us
from portsentry_py.fail2ban.firewall import missing_programs
from portsentry_py.fail2ban.pack import JAIL
from portsentry_py.host.service import start_command

# The drill itself takes less, so a line that is older has a wrong date.
_CLOCK_US = 120_000_000
_TIMEOUT_SECONDS = 10
# Warnings of `check`, because a sensor without fail2ban can be meant.
_NO_JAIL = ("is disabled", "not installed", "has no jail")
_ACTION = re.compile(r"[\w.-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Where:
    """What the hints look at besides the drill's own result.

    Attributes:
        settings: the configuration.
        fail2ban: the host's fail2ban.
        now_us: the time, in microseconds since 1970.
    """

    settings: Settings
    fail2ban: Fail2banHost = field(default_factory=Fail2banHost)
    now_us: int = field(default_factory=lambda: time.time_ns() // 1000)


def hints(found: Found, where: Where) -> list[str]:
    """The causes, those of the first step that failed first."""
    failed: dict[str, list[Row]] = {}
    for row in found.rows:
        for fault in row.faults(armed=found.armed):
            failed.setdefault(fault, []).append(row)
    said = [
        *(_no_sensor() if not found.sensor.pids else ()),
        *(_no_line(found, where, failed["line"]) if "line" in failed and found.sensor.pids else ()),
        *_type(failed.get("type", ())),
        *_verdict(where.settings, failed.get("verdict", ())),
        *(_no_ban(found, where, failed["ban"]) if "ban" in failed else ()),
        *(_no_block(found, where, failed["block"]) if "block" in failed else ()),
        *_forwarded(failed.get("forwarded", ())),
        *(_no_unban(found, failed["unban"]) if "unban" in failed else ()),
        *_unreached(found),
        *_clock(found, where),
        *(_strange(where.settings.log) if found.strange else ()),
    ]
    return list(dict.fromkeys(said))


def _no_sensor() -> Iterator[str]:
    yield f"no sensor runs in this network; run `{start_command()}`."


def _no_line(found: Found, where: Where, rows: Sequence[Row]) -> Iterator[str]:
    sensor, log = found.sensor, where.settings.log
    blind = sorted({one.interface for one in found.targets if not sensor.watches(one.interface)})
    if blind:
        watched = ", ".join(sorted(sensor.interfaces))
        yield (
            f"the sensor watches {watched}, and strangers come in on {', '.join(blind)}; correct `interfaces` and "
            "restart the sensor."
        )
    elif not sensor.writes(Path(log)):
        written = ", ".join(map(str, sensor.logs))
        yield (
            f"the sensor writes to {written}, and the configuration says {log}; restart the sensor, or give the drill "
            "its configuration with -c."
        )
    elif not found.arrived and not sensor.watches_all:
        yield (
            "this kernel cannot hand the drill's packets to the interface that the sensor watches; load the modules "
            "act_mirred and cls_u32, or let the sensor watch `any`."
        )
    elif where.settings.profile != "default":
        yield f"{_names(rows)}: the profile {where.settings.profile} has other rules; see docs/detection.md."
    else:
        yield f"{_names(rows)}: the sensor runs and writes no line; run `portsentry-py check --live`."


def _strange(log: str) -> Iterator[str]:
    yield f"another program writes about scans into {log}; let each sensor write a log of its own."


def _type(rows: Collection[Row]) -> Iterator[str]:
    for row in rows:
        if row.line is not None:
            kind = f"{row.line.event_type} {row.line.scan_type}"
            yield f"{row.technique.name}: the line says {kind}; others may use {row.source}, so run the drill again."


def _verdict(settings: Settings, rows: Collection[Row]) -> Iterator[str]:
    for row in rows:
        if row.line is None:
            continue
        if row.line.reason == "ignore_list":
            yield _allowed(settings, row)
        else:
            verdict = f"{row.verdict} ({row.line.reason})"
            yield f"{row.technique.name}: the verdict is {verdict}, so nobody is banned; see docs/events.md."


def _allowed(settings: Settings, row: Row) -> str:
    covering = next((one for one in settings.ignore if overlap(one, row.network)), None)
    if covering is not None:
        return f"`ignore` in the configuration has {covering}, which covers the drill's {row.source}; take it out."
    with suppress(PortsentryError):
        entries = read(Path(settings.allowlist)) if settings.allowlist != OFF_WORD else ()
        for entry in entries:
            if overlap(entry.network, row.network):
                name = entry.name
                return (
                    f"the allowlist has {name}, which covers the drill's {row.source}; run `portsentry-py deny {name}`."
                )
    return f"the sensor's allowlist covers the drill's {row.source}; see `portsentry-py list`, and `deny` that."


def _no_ban(found: Found, where: Where, rows: Sequence[Row]) -> Iterator[str]:
    if found.fail2ban:
        yield found.fail2ban
        return
    broken = [
        one.text
        for one in check_jail(where.settings.log, where.fail2ban, where.now_us)
        if one.level == "broken" or any(words in one.text for words in _NO_JAIL)
    ]
    if broken:
        yield from broken
        return
    if _wrong_date(rows, where.now_us):
        return
    ignored = _ignored(where, rows)
    if ignored:
        yield f"fail2ban's ignoreip has {ignored}, which covers the drill; take it out of jail.local, and reload."
        return
    source = rows[0].source
    yield f"{_names(rows)}: fail2ban does not ban what the log says; look for {source} in /var/log/fail2ban.log."


def _wrong_date(rows: Iterable[Row], now_us: int) -> str:
    """The date of a line that is not of this moment; empty if all are."""
    for row in rows:
        if row.line is not None and abs(time_us(row.line.timestamp) - now_us) > _CLOCK_US:
            return row.line.timestamp
    return ""


def _clock(found: Found, where: Where) -> Iterator[str]:
    """Some versions of fail2ban ban by such a line, others do not."""
    date = _wrong_date(found.rows, where.now_us)
    if date:
        yield (
            f"a line of this moment is dated {date}, and fail2ban can take it for an old one; correct the clock, and "
            "restart the sensor."
        )


def _ignored(where: Where, rows: Sequence[Row]) -> Network | None:
    words = _ask(where, "get", JAIL, "ignoreip").split()
    for word in words:
        with suppress(ValueError):
            network = ip_network(word.strip("`-|,'\""), strict=False)
            if any(overlap(network, row.network) for row in rows):
                return network
    return None


def _no_block(found: Found, where: Where, rows: Sequence[Row]) -> Iterator[str]:
    jail = rows[0].jail
    actions = _ACTION.findall(_ask(where, "get", jail, "actions").partition("\n")[2])
    lacking = {program: action for action in actions for program in missing_programs(where.fail2ban.root, action)}
    for program, action in lacking.items():
        yield (
            f"[{jail}] bans with {action}, which needs {program}, and that is not installed; install it, or run "
            "`portsentry-py fail2ban install --reload`."
        )
    if lacking:
        return
    if not found.rules:
        yield (
            f"fail2ban lists {rows[0].source} as banned, but the kernel has no rule about it: [{jail}] bans with "
            f"{', '.join(actions)}; look for ERROR in /var/log/fail2ban.log, and set a banaction that works here."
        )
        return
    open_to = " and ".join(name for name in ("tcp", "udp") if any(getattr(row, name) is False for row in rows))
    yield (
        f"the kernel has a rule about {rows[0].source} ({found.rules[0]}), but {open_to} packets of it are answered; "
        "let the banaction cover all ports and protocols."
    )


def _forwarded(rows: Collection[Row]) -> Iterator[str]:
    ports = sorted({port for row in rows for port in row.forwarded})
    if ports:
        yield (
            f"a banned source still reaches the forwarded ports {', '.join(map(str, ports))} (containers); run "
            "`portsentry-py fail2ban install --reload` for an action that covers them."
        )


def _no_unban(found: Found, rows: Sequence[Row]) -> Iterator[str]:
    if found.fail2ban:
        yield found.fail2ban
    else:
        yield (
            f"{_names(rows)}: the ban was lifted and packets are still refused, or it was not; look for ERROR in "
            "/var/log/fail2ban.log and remove the rule by hand."
        )


def _unreached(found: Found) -> Iterator[str]:
    """A firewall that drops everything, or a strict reverse path filter."""
    if not found.armed or found.fail2ban:
        return
    for target in found.targets:
        banned = [row for row in found.rows if row.technique.version == target.version and row.jail]
        if banned and (target.version, "tcp") not in found.reached:
            yield (
                f"not tried whether a ban blocks over IPv{target.version}: even a stranger who did nothing reaches no "
                f"port; a firewall drops all, or rp_filter of {target.interface} is 1."
            )


def _names(rows: Sequence[Row]) -> str:
    return ", ".join(row.technique.name for row in rows)


def _ask(where: Where, *words: str) -> str:
    with suppress(Fail2banError, PermissionDenied):
        return where.fail2ban.client.ask(*words, timeout_seconds=_TIMEOUT_SECONDS)
    return ""
