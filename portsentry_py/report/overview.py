"""What `status` shows: the sensor, its log, the jails with their bans, and the latest sources."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from portsentry_py.events.model import Event, EvidenceEvent, time_us, to_record, utc
from portsentry_py.fail2ban.client import Fail2banClient
from portsentry_py.fail2ban.jails import Fail2banState, JailState, read_jails
from portsentry_py.report.log_reader import LogPart, LogTail, StatusLine, log_path, read_tail

SCHEMA_VERSION = 1
_SOURCES = 10
# A running sensor writes in every minute in which it sees a packet.
_FRESH_SECONDS = 180
# A scan that goes on has a line at least every four minutes with the default of lines.repeat_seconds.
_LASTING_SECONDS = 300


@dataclass(frozen=True, slots=True)
class SensorView:
    """The sensor, by its last `status` line; what stands in that line is None or empty if none was read.

    Attributes:
        running: whether it runs; None if the log does not show it.
        counts: the counts of the line, named as in the log (`packets`, `packets_dropped`, `lines_lost` …).
        memory_bytes: what all its processes occupy together; 0 if that is unknown.
        started: the last start of the sensor, UTC; None if no line about it was read.
        note: what is wrong, one sentence; empty if nothing is.
    """

    running: bool | None
    state: str | None = None
    reason: str | None = None
    version: str | None = None
    timestamp: str | None = None
    age_seconds: int | None = None
    counts: dict[str, int] = field(default_factory=dict)
    memory_bytes: int = 0
    started: str | None = None
    note: str = ""


@dataclass(slots=True)
class LogView(LogPart):
    """The log; `note` is what is wrong with it, one sentence, or empty."""

    last_line_age_seconds: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything that `status` shows.

    Attributes:
        fail2ban: the jails named portsentry* and their bans. The evidence of a ban is the last line with the
            verdict `ban` about its address. If there is none, it is the last line with another verdict,
            because a jail in mode aggressive also bans for `watch`.
        sources: the latest of `LogTail.sources`, newest first.
        outbound: who scans others from this host now, one sentence; empty if nobody does.
        schema: version of this form; keys may be added without a new one.
    """

    timestamp: str
    sensor: SensorView
    log: LogView
    fail2ban: Fail2banState
    sources: tuple[EvidenceEvent, ...]
    outbound: str = ""
    schema: int = SCHEMA_VERSION

    def to_json(self) -> str:
        """JSON with the field names as keys; a line of the log has the keys of the log."""
        return json.dumps(self, default=_record)


def _record(part: Any) -> object:
    if isinstance(part, Event):
        return to_record(part)
    return str(part) if isinstance(part, Path) else _values(part)


def _values(part: Any) -> dict[str, Any]:
    return {item.name: getattr(part, item.name) for item in fields(part)}


Senders = Callable[[EvidenceEvent], str]
"""Says who sends what a line about a scan by this host reports."""


def _some_process(_line: EvidenceEvent) -> str:
    return "unknown"


def look(
    log: str | Path,
    client: Fail2banClient,
    senders: Senders = _some_process,
    start: str = "portsentry-py run",
    memory_bytes: int = 0,
) -> Overview:
    """The overview of this moment. A failure of fail2ban becomes a note; `start` is the command for a dead sensor.

    Raises:
        InputError, PermissionDenied: the log cannot be read.
    """
    now_us = time.time_ns() // 1000
    found = overview(read_tail(log_path(log)), read_jails(client, now_us), now_us, senders, start)
    return replace(found, sensor=replace(found.sensor, memory_bytes=memory_bytes))


def _outbound(tail: LogTail, now_us: int, senders: Senders) -> str:
    lines = [line for line in tail.sources.values() if line.direction == "outbound" and line.state != "ended"]
    return " ".join(
        f"{line.src_ip} scans others, last {line.dest_ip} port {line.dest_port}/{line.proto}: {senders(line)}."
        for line in lines[:_SOURCES]
        if _age(line.timestamp, now_us) <= _LASTING_SECONDS
    )


def overview(
    tail: LogTail,
    fail2ban: Fail2banState,
    now_us: int,
    senders: Senders = _some_process,
    start: str = "portsentry-py run",
) -> Overview:
    """The overview of a log and the jails at a time in microseconds since 1970."""
    latest = list(tail.sources.values())[:_SOURCES]
    return Overview(
        timestamp=utc(now_us),
        sensor=_sensor(tail, now_us, start),
        log=_log(tail, now_us),
        fail2ban=replace(fail2ban, jails=tuple(_explained(jail, tail) for jail in fail2ban.jails)),
        sources=tuple(sorted(latest, key=lambda line: line.timestamp, reverse=True)),
        outbound=_outbound(tail, now_us, senders),
    )


def _sensor(tail: LogTail, now_us: int, start: str) -> SensorView:
    running = _running(tail, now_us)
    sensor = SensorView(running, started=tail.started, note=_sensor_note(tail, running, start))
    if tail.status is None:
        return sensor
    return replace(sensor, **_values(tail.status), age_seconds=_age(tail.status.timestamp, now_us))


def _running(tail: LogTail, now_us: int) -> bool | None:
    if tail.status is None or tail.last_line is None:
        return None
    if tail.status.state == "stopped":
        return False
    return True if _age(tail.last_line, now_us) <= _FRESH_SECONDS else None


def _sensor_note(tail: LogTail, running: bool | None, start: str) -> str:
    state = tail.status.state if tail.status else None
    if state == "interrupted":
        return "the capture is interrupted, and nothing is seen until it is back; read its diagnostics."
    if state is None:
        return f"the part of {tail.path} that was read does not say whether the sensor runs."
    if running is False:
        return f"it does not run, so nothing is seen; start it with `{start}`."
    if running is None:
        return f"it has written nothing for a while: no traffic, or it was killed; `{start}` starts it."
    return " ".join(filter(None, (dropped_note(tail.status), forged_note(tail.status))))


def dropped_note(status: StatusLine | None) -> str:
    """What to do about packets that the kernel dropped, one sentence; empty if it dropped none."""
    dropped = status.counts.get("packets_dropped", 0) if status else 0
    if not dropped:
        return ""
    return f"{dropped} packets found the kernel's buffer full and were not seen; raise capture.buffer_mib."


def forged_note(status: StatusLine | None) -> str:
    """What packets with a source address of ours mean that came in from outside; empty if there were none."""
    forged = status.counts.get("packets_forged", 0) if status else 0
    if not forged:
        return ""
    return (
        f"{forged} packets came in with this host's own address: somebody on its network sends in its name, or a loop."
    )


def _log(tail: LogTail, now_us: int) -> LogView:
    note = ""
    if not tail.lines_read:
        note = "it is empty."
    elif tail.lines_unreadable == tail.lines_read:
        note = "none of its lines is the sensor's; check whether another program writes it."
    age = _age(tail.last_line, now_us) if tail.last_line else None
    part = {item.name: getattr(tail, item.name) for item in fields(LogPart)}
    return LogView(**part, last_line_age_seconds=age, note=note)


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
    return max(0, now_us // 1_000_000 - time_us(timestamp) // 1_000_000)
