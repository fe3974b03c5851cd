"""`status`: sensor, log, jails and the latest sources, as the log's end and fail2ban tell them now."""

import os
import time
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from portsentry_py.errors import InputError
from portsentry_py.events.model import utc
from portsentry_py.fail2ban.jails import Fail2banState, JailState, Standing, ask
from portsentry_py.report.log_reader import EvidenceLine, LogTail, StatusLine, read_tail

SCHEMA_VERSION = 1
SOURCES = 10
# A sensor writes every minute in which it saw a packet.
_FRESH_SECONDS = 180


@dataclass(frozen=True, slots=True)
class SensorView:
    """The sensor, by its last `status` line.

    Attributes:
        running: True or False as far as can be told, None if it cannot.
        state: the line's `state` (started, running, interrupted, restarted, reloaded, damaged, stopped); this
            and the five below are None or empty if no such line was found.
        reason: the line's `reason`.
        version: the version of portsentry-py that wrote it.
        timestamp: when it was written, UTC.
        age_seconds: how long ago.
        counts: its numbers, as named in the log (`packets`, `packets_dropped`, `lines_lost` …).
        started: when the sensor last started, UTC; None if that is not in what was read.
        note: what should worry the operator, one sentence; empty if nothing.
    """

    running: bool | None
    state: str | None
    reason: str | None
    version: str | None
    timestamp: str | None
    age_seconds: int | None
    counts: dict[str, int]
    started: str | None
    note: str


@dataclass(frozen=True, slots=True)
class LogView:
    """The log, and how much of it was read.

    Attributes:
        path: where it is.
        size_bytes: its size.
        files: what was read, the log first, then the rotated one.
        bytes_read: how many bytes of these.
        lines_read: how many lines.
        lines_unreadable: how many of them are torn, damaged or not the sensor's.
        first_line: time of the first readable line of what was read, UTC; nothing older is known here.
        last_line: time of the last one, UTC.
        last_line_age_seconds: how long ago.
        note: what should worry the operator, one sentence; empty if nothing.
    """

    path: str
    size_bytes: int
    files: tuple[str, ...]
    bytes_read: int
    lines_read: int
    lines_unreadable: int
    first_line: str | None
    last_line: str | None
    last_line_age_seconds: int | None
    note: str


@dataclass(frozen=True, slots=True)
class BanView:
    """One ban and why.

    Attributes:
        address: who is banned: an address or, by an administrator's hand, a network.
        banned_at: since when, UTC; None if fail2ban does not tell.
        ends_at: until when, UTC; None if unknown or for ever.
        ban_seconds: how long in all; None if unknown or for ever.
        left_seconds: how long from now on; None if unknown or for ever.
        permanent: it has no end.
        evidence: the log's last `scan` or `trap` line with the verdict `ban` about this address (where there
            is none, the last with another verdict: a jail in mode aggressive bans `watch` too); None if what
            was read of the log has no line about it.
    """

    address: str
    banned_at: str | None
    ends_at: str | None
    ban_seconds: int | None
    left_seconds: int | None
    permanent: bool
    evidence: EvidenceLine | None


@dataclass(frozen=True, slots=True)
class JailView:
    """One jail whose name begins with `portsentry`.

    Attributes:
        name: its name.
        currently_banned: addresses banned now; None if fail2ban does not tell.
        total_banned: bans since fail2ban started; None if fail2ban does not tell.
        logs: the files that it reads.
        bans: the bans in force, the one that ends first first.
        note: what is wrong with it, one sentence; empty if nothing is.
    """

    name: str
    currently_banned: int | None
    total_banned: int | None
    logs: tuple[str, ...]
    bans: tuple[BanView, ...]
    note: str


@dataclass(frozen=True, slots=True)
class Fail2banView:
    """What fail2ban says.

    Attributes:
        standing: `answers`, `absent` (not installed), `silent` (not running), `forbidden` (the user may not
            ask) or `failed`.
        note: what is wrong and the fix, one sentence; empty if nothing is.
        jails: those named portsentry*, by name.
    """

    standing: Standing
    note: str
    jails: tuple[JailView, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything that `status` shows.

    Attributes:
        timestamp: when this was found, UTC.
        sensor: the sensor.
        log: the log.
        fail2ban: the jails and their bans.
        sources: one line about each of the latest sources with the verdict ban, watch or ignore, newest
            first: the last that each technique wrote about it, and of these the one with the gravest verdict;
            keys as in the log.
        schema: version of this form; keys may be added without a new one.
    """

    timestamp: str
    sensor: SensorView
    log: LogView
    fail2ban: Fail2banView
    sources: tuple[EvidenceLine, ...]
    schema: int = SCHEMA_VERSION

    def to_json(self) -> dict[str, object]:
        """The same as mappings, sequences, text, numbers, booleans and None; field names are the keys."""
        return asdict(self)


def look(
    log: str | Path, socket: Path | None = None, *, process: bool | None = None, now_us: int | None = None
) -> Overview:
    """Look at log and fail2ban. What fail2ban refuses to say becomes a note, the rest is shown.

    Args:
        log: the event log.
        socket: fail2ban's socket; None for the one that its configuration names.
        process: whether a process of the sensor runs; None if nobody looked.
        now_us: the time, in microseconds since 1970; None for the clock's.

    Raises:
        InputError: the log cannot be read.
        PermissionDenied: the user may not read it.
    """
    if str(log) == "-":
        raise InputError("the log is standard output, which cannot be read again; name a file with --log.")
    tail = read_tail(Path(log))
    now = time.time_ns() // 1000 if now_us is None else now_us
    return Overview(
        timestamp=utc(now),
        sensor=_sensor(tail, process, now),
        log=_log(tail, now),
        fail2ban=_fail2ban(ask(socket, now), tail),
        sources=tuple(
            sorted(list(tail.sources.values())[:SOURCES], key=lambda line: line.timestamp, reverse=True)
        ),
    )


def _sensor(tail: LogTail, process: bool | None, now_us: int) -> SensorView:
    status = tail.status
    running = _running(tail, process, now_us)
    return SensorView(
        running=running,
        state=status.state if status else None,
        reason=status.reason if status else None,
        version=status.version if status else None,
        timestamp=status.timestamp if status else None,
        age_seconds=_age(status.timestamp, now_us) if status else None,
        counts=dict(status.counts) if status else {},
        started=tail.started,
        note=_sensor_note(tail, running),
    )


def _running(tail: LogTail, process: bool | None, now_us: int) -> bool | None:
    if process is not None:
        return process
    if tail.status is None or tail.last_line is None:
        return None
    if tail.status.state == "stopped":
        return False
    return True if _age(tail.last_line, now_us) <= _FRESH_SECONDS else None


def _sensor_note(tail: LogTail, running: bool | None) -> str:
    state = tail.status.state if tail.status else None
    if state == "interrupted" and running is not False:
        return "the capture is interrupted: nothing is seen until it is back; its diagnostics say why."
    if running and state in {None, "stopped"}:
        return f"a sensor runs, but has not said so in {tail.path}; is it writing elsewhere?"
    if running is False and state not in {None, "stopped"}:
        return "it ended without saying so: it was killed, or the machine went down; start it again."
    if running is False:
        return "it does not run, so nothing is seen; start it with: portsentry-py run"
    if running is None and state is None:
        return f"what was read of {tail.path} does not say whether the sensor runs."
    if running is None:
        return "it has written nothing for a while: no traffic, or it was killed."
    return dropped_note(tail.status)


def dropped_note(status: StatusLine | None) -> str:
    """What to do about packets that the kernel dropped, one sentence; empty if it dropped none."""
    dropped = status.counts["packets_dropped"] if status else 0
    if not dropped:
        return ""
    return (
        f"while it was behind, {dropped} packets found the kernel's buffer full and were not seen; "
        "raise capture.buffer_mib."
    )


def _log(tail: LogTail, now_us: int) -> LogView:
    if tail.lines and tail.unreadable == tail.lines:
        note = "none of its lines is the sensor's; is it another program's log?"
    elif not tail.lines:
        note = "it is empty."
    else:
        note = ""
    return LogView(
        path=str(tail.path),
        size_bytes=tail.size_bytes,
        files=tuple(str(path) for path in tail.files),
        bytes_read=tail.bytes_read,
        lines_read=tail.lines,
        lines_unreadable=tail.unreadable,
        first_line=tail.first_line,
        last_line=tail.last_line,
        last_line_age_seconds=_age(tail.last_line, now_us) if tail.last_line else None,
        note=note,
    )


def _fail2ban(state: Fail2banState, tail: LogTail) -> Fail2banView:
    return Fail2banView(state.standing, state.note, tuple(_jail(jail, tail) for jail in state.jails))


def _jail(jail: JailState, tail: LogTail) -> JailView:
    bans = tuple(
        BanView(
            address=ban.address,
            banned_at=ban.banned_at,
            ends_at=ban.ends_at,
            ban_seconds=ban.ban_seconds,
            left_seconds=ban.left_seconds,
            permanent=ban.permanent,
            evidence=tail.bans.get(ban.address) or tail.sources.get(ban.address),
        )
        for ban in jail.bans
    )
    note = jail.note or _jail_note(jail, tail.path)
    return JailView(jail.name, jail.currently_banned, jail.total_banned, jail.logs, bans, note)


def _jail_note(jail: JailState, log: Path) -> str:
    """Whether the jail reads this log; a path with blanks cannot be told in fail2ban's list of paths."""
    if not jail.logs:
        return (
            f"it reads no file, so nothing new is banned; set backend = auto for [{jail.name}] in jail.local."
        )
    if " " in str(log) or os.path.realpath(log) in {
        os.path.realpath(path) for path in jail.logs if "\0" not in path
    }:
        return ""
    return f"it reads {', '.join(jail.logs)}, not {log}; set logpath for [{jail.name}] in jail.local."


def _age(timestamp: str, now_us: int) -> int:
    moment = datetime.fromisoformat(timestamp[:-1]).replace(tzinfo=timezone.utc)
    return max(0, now_us // 1_000_000 - int(moment.timestamp()))
