"""What `status` shows: the sensor, its log, the jails with their bans, and the latest sources."""

import json
import os
import time
from dataclasses import dataclass, fields, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from portsentry_py.errors import InputError
from portsentry_py.events.model import Event, EvidenceEvent, to_record, utc
from portsentry_py.fail2ban.client import Fail2banClient
from portsentry_py.fail2ban.jails import Fail2banState, JailState, read_jails
from portsentry_py.report.log_reader import LogTail, StatusLine, read_tail

SCHEMA_VERSION = 1
_SOURCES = 10
# A running sensor writes in every minute in which it sees a packet.
_FRESH_SECONDS = 180


@dataclass(frozen=True, slots=True)
class SensorView:
    """The sensor, by its last `status` line.

    Attributes:
        running: whether it runs; None if the log does not show it.
        state: the `state` of the line. This and the next five are None or empty if no such line was read.
        reason: the `reason` of the line.
        version: the version of portsentry-py that wrote the line.
        timestamp: the time of the line, UTC.
        age_seconds: its age.
        counts: its counts, named as in the log (`packets`, `packets_dropped`, `lines_lost` …).
        started: the last start of the sensor, UTC; None if no line about it was read.
        note: what is wrong, one sentence; empty if nothing is.
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
    """The log, and the part of it that was read.

    Attributes:
        path: the log.
        size_bytes: its size.
        files: the files that were read, the log first, then the rotated one.
        bytes_read: the bytes that were read of them.
        lines_read: the lines in these bytes.
        lines_unreadable: the lines among them that are torn, damaged or not the sensor's.
        first_line: time of the first readable line, UTC; nothing older is known.
        last_line: time of the last readable line, UTC.
        last_line_age_seconds: its age.
        note: what is wrong, one sentence; empty if nothing is.
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
class Overview:
    """Everything that `status` shows.

    Attributes:
        timestamp: the time of the overview, UTC.
        sensor: the sensor.
        log: the log.
        fail2ban: the jails named portsentry* and their bans. The evidence of a ban is the last line with the
            verdict `ban` about its address. If there is none, it is the last line with another verdict,
            because a jail in mode aggressive also bans for `watch`.
        sources: one line of each of the latest sources with the verdict ban, watch or ignore, newest first:
            the last line of each technique, and of these the one with the most severe verdict.
        schema: version of this form; keys may be added without a new one.
    """

    timestamp: str
    sensor: SensorView
    log: LogView
    fail2ban: Fail2banState
    sources: tuple[EvidenceEvent, ...]
    schema: int = SCHEMA_VERSION

    def to_json(self) -> str:
        """JSON with the field names as keys; a line of the log has the keys of the log."""
        return json.dumps(self, default=_record)


def _record(part: Any) -> dict[str, object]:
    if isinstance(part, Event):
        return to_record(part)
    return {item.name: getattr(part, item.name) for item in fields(part)}


def look(log: str | Path, client: Fail2banClient) -> Overview:
    """The overview of this moment. A failure of fail2ban becomes a note.

    Args:
        log: the event log.
        client: the fail2ban server.

    Raises:
        InputError: the log cannot be read.
        PermissionDenied: the user may not read it.
    """
    if str(log) == "-":
        raise InputError("the log is standard output, which cannot be read again; name a file with --log.")
    now_us = time.time_ns() // 1000
    return overview(read_tail(Path(log)), read_jails(client, now_us), now_us)


def overview(tail: LogTail, fail2ban: Fail2banState, now_us: int) -> Overview:
    """The overview of a log and the jails at a time in microseconds since 1970."""
    latest = list(tail.sources.values())[:_SOURCES]
    return Overview(
        timestamp=utc(now_us),
        sensor=_sensor(tail, now_us),
        log=_log(tail, now_us),
        fail2ban=replace(fail2ban, jails=tuple(_explained(jail, tail) for jail in fail2ban.jails)),
        sources=tuple(sorted(latest, key=lambda line: line.timestamp, reverse=True)),
    )


def _sensor(tail: LogTail, now_us: int) -> SensorView:
    status = tail.status
    running = _running(tail, now_us)
    return SensorView(
        running=running,
        state=status.state if status else None,
        reason=status.reason if status else None,
        version=status.version if status else None,
        timestamp=status.timestamp if status else None,
        age_seconds=_age(status.timestamp, now_us) if status else None,
        counts=status.counts if status else {},
        started=tail.started,
        note=_sensor_note(tail, running),
    )


def _running(tail: LogTail, now_us: int) -> bool | None:
    if tail.status is None or tail.last_line is None:
        return None
    if tail.status.state == "stopped":
        return False
    return True if _age(tail.last_line, now_us) <= _FRESH_SECONDS else None


def _sensor_note(tail: LogTail, running: bool | None) -> str:
    state = tail.status.state if tail.status else None
    if state == "interrupted":
        return "the capture is interrupted, and nothing is seen until it is back; read its diagnostics."
    if state is None:
        return f"the part of {tail.path} that was read does not say whether the sensor runs."
    if running is False:
        return "it does not run, so nothing is seen; start it with `portsentry-py run`."
    if running is None:
        return "it has written nothing for a while: no traffic, or it was killed."
    return dropped_note(tail.status)


def dropped_note(status: StatusLine | None) -> str:
    """What to do about packets that the kernel dropped, one sentence; empty if it dropped none."""
    dropped = status.counts.get("packets_dropped", 0) if status else 0
    if not dropped:
        return ""
    return f"{dropped} packets found the kernel's buffer full and were not seen; raise capture.buffer_mib."


def _log(tail: LogTail, now_us: int) -> LogView:
    if tail.lines and tail.unreadable == tail.lines:
        note = "none of its lines is the sensor's; check whether another program writes it."
    elif not tail.lines:
        note = "it is empty."
    else:
        note = ""
    return LogView(
        path=str(tail.path),
        size_bytes=tail.size_bytes,
        files=tuple(map(str, tail.files)),
        bytes_read=tail.bytes_read,
        lines_read=tail.lines,
        lines_unreadable=tail.unreadable,
        first_line=tail.first_line,
        last_line=tail.last_line,
        last_line_age_seconds=_age(tail.last_line, now_us) if tail.last_line else None,
        note=note,
    )


def _explained(jail: JailState, tail: LogTail) -> JailState:
    """The jail with the evidence of its bans, and with a note if it does not read this log."""
    bans = (replace(ban, evidence=tail.bans.get(ban.address) or tail.sources.get(ban.address)) for ban in jail.bans)
    return replace(jail, bans=tuple(bans), note=jail.note or _jail_note(jail, tail.path))


def _jail_note(jail: JailState, log: Path) -> str:
    """What is wrong with the logs of a jail. In fail2ban's list, a path with blanks cannot be recognized."""
    if not jail.logs:
        return f"it reads no file, so nothing is banned; set backend = auto for [{jail.name}] in jail.local."
    if " " in str(log) or os.path.realpath(log) in {os.path.realpath(path) for path in jail.logs if "\0" not in path}:
        return ""
    return f"it reads {', '.join(jail.logs)}, not {log}; set logpath for [{jail.name}] in jail.local."


def _age(timestamp: str, now_us: int) -> int:
    """Seconds since a time; 0 if the clock was set back."""
    moment = datetime.fromisoformat(timestamp[:-1]).replace(tzinfo=timezone.utc)
    return max(0, now_us // 1_000_000 - int(moment.timestamp()))
