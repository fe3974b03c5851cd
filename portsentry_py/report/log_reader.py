"""The end of the event log, read back: never more than a bound, and whatever stands in it.

The log may be torn, truncated or written to by others: what cannot be read is counted. What is handed on
holds numbers, addresses, times and plain words only, so it can be shown on a terminal as it is.
"""

import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, fields
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path

from portsentry_py.errors import InputError, PermissionDenied
from portsentry_py.events.model import StatusEvent

LIMIT_BYTES = 8 * 1024 * 1024
_LONGEST_LINE = 8192  # ours are a tenth of it
_LARGEST_COUNT = 2**63 - 1
_HEAD = b'{"timestamp":"'
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_WORD = re.compile(r"[a-z][a-z0-9_]{0,39}")
_VERSION = re.compile(r"[0-9A-Za-z.+!_-]{1,40}")
_GRAVITY = {"ignore": 0, "watch": 1, "ban": 2}
COUNTS = tuple(item.name for item in fields(StatusEvent) if item.type is int and item.name != "schema")


@dataclass(frozen=True, slots=True)
class StatusLine:
    """A `status` line; keys as in the log, the numbers under `counts`."""

    timestamp: str
    state: str
    reason: str
    version: str
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class EvidenceLine:
    """What a `scan` or `trap` line says about its source; keys as in the log."""

    timestamp: str
    event_type: str
    verdict: str
    src_ip: str
    source_verified: bool
    scan_type: str
    technique: str
    state: str
    direction: str
    dest_ip: str
    dest_port: int
    proto: str
    ports: int
    ports_sample: tuple[int, ...]
    hosts: int
    first_seen: str
    last_seen: str
    attempts: int
    reason: str


@dataclass(slots=True)
class LogTail:
    """What the end of a log tells.

    Attributes:
        path: the log.
        size_bytes: its size.
        files: the files that were read, the log first.
        bytes_read: how much of them.
        lines: the lines in that, readable or not.
        unreadable: lines among them that are not ours, torn or damaged.
        last_line: time of the last readable line.
        first_line: time of the first readable line of what was read.
        status: the last `status` line.
        started: time of the last `started` line.
        sources: one line of each source with the verdict ban, watch or ignore, the latest source first:
            the last line that each technique wrote about it, and of these the one with the gravest verdict.
        bans: the last line of each source with the verdict ban.
    """

    path: Path
    size_bytes: int = 0
    files: list[Path] = field(default_factory=list)
    bytes_read: int = 0
    lines: int = 0
    unreadable: int = 0
    last_line: str | None = None
    first_line: str | None = None
    status: StatusLine | None = None
    started: str | None = None
    sources: dict[str, EvidenceLine] = field(default_factory=dict)
    bans: dict[str, EvidenceLine] = field(default_factory=dict)
    _told: set[tuple[str, str]] = field(default_factory=set)

    def take(self, evidence: EvidenceLine) -> None:
        """Keep what a line says about its source, unless a later one of its technique is known."""
        source = evidence.src_ip
        if evidence.verdict == "ban":
            self.bans.setdefault(source, evidence)
        if evidence.verdict not in _GRAVITY or (source, evidence.technique) in self._told:
            return
        self._told.add((source, evidence.technique))
        known = self.sources.get(source)
        if known is None or _GRAVITY[evidence.verdict] > _GRAVITY[known.verdict]:
            self.sources[source] = evidence


def read_tail(path: Path, limit: int = LIMIT_BYTES) -> LogTail:
    """Read the last `limit` bytes of the log, and of `PATH.1`, the one before it, while there is room.

    Raises:
        InputError: there is no such log, or it cannot be read.
        PermissionDenied: the user may not read it.
    """
    tail = LogTail(path)
    try:
        identity, tail.size_bytes, text = _end_of(path, limit)
    except PermissionError as error:
        raise PermissionDenied(
            f"{path}: you may not read the log; run as root or join the group that may (adm)."
        ) from error
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: there is no such log; start the sensor or name another with --log."
        ) from error
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise InputError(f"{path}: cannot read the log ({reason}); name another with --log.") from error
    _take(tail, path, text)
    if len(text) < limit:
        before = path.with_name(path.name + ".1")
        with suppress(OSError, ValueError):
            identity_before, _, text = _end_of(before, limit - len(text))
            if identity_before != identity:  # it is not the log itself, rotated this moment
                _take(tail, before, text)
    return tail


def _end_of(path: Path, limit: int) -> tuple[tuple[int, int], int, bytes]:
    """Identity, size and last bytes of a file, from the beginning of a line."""
    # A FIFO of that name must not hold us up.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is not a file")
        if status.st_size <= limit:
            text = file.read(status.st_size)
        else:
            # One byte more tells whether the first line is whole.
            file.seek(status.st_size - limit - 1)
            _, _, text = file.read(limit + 1).partition(b"\n")
    return (status.st_dev, status.st_ino), status.st_size, text


def _take(tail: LogTail, path: Path, text: bytes) -> None:
    """Read a file's lines, the last one first: what is known already is newer."""
    tail.files.append(path)
    tail.bytes_read += len(text)
    for line in _backwards(text):
        tail.lines += 1
        try:
            _note(tail, _Record(line))
        except (ValueError, RecursionError):
            tail.unreadable += 1


def _backwards(text: bytes) -> Iterator[bytes]:
    end = len(text) - text.endswith(b"\n")
    while end >= 0 and text:
        start = text.rfind(b"\n", 0, end) + 1
        yield text[start:end]
        end = start - 1


class _Record:
    """A line's values, each of the kind asked for or a ValueError."""

    def __init__(self, line: bytes) -> None:
        if not line.startswith(_HEAD) or len(line) > _LONGEST_LINE:
            raise ValueError("not a line of ours")
        self._record: dict[str, object] = json.loads(line.decode("ascii"))  # it begins with a brace

    def text(self, key: str, pattern: re.Pattern[str]) -> str:
        found = self._record.get(key)
        if not isinstance(found, str) or not pattern.fullmatch(found):
            raise ValueError(key)
        return found

    def word(self, key: str) -> str:
        return self.text(key, _WORD)

    def time(self, key: str) -> str:
        found = self.text(key, _TIME)
        datetime.fromisoformat(found[:-1])  # a day of the calendar
        return found

    def count(self, key: str) -> int:
        return _count(self._record.get(key))

    def counts(self, key: str) -> tuple[int, ...]:
        found = self._record.get(key)
        if not isinstance(found, list):
            raise ValueError(key)  # noqa: TRY004 - all that is wrong with a line is one error
        return tuple(_count(item) for item in found)

    def flag(self, key: str) -> bool:
        found = self._record.get(key)
        if not isinstance(found, bool):
            raise ValueError(key)  # noqa: TRY004 - same
        return found

    def address(self, key: str) -> str:
        found = self._record.get(key)
        if not isinstance(found, str) or "%" in found:  # a zone may be any text
            raise ValueError(key)
        return str(ip_address(found))


def _count(found: object) -> int:
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found <= _LARGEST_COUNT:
        raise ValueError(found)
    return found


def _note(tail: LogTail, record: _Record) -> None:
    """Keep what a line tells, unless a later one told it."""
    timestamp, kind = record.time("timestamp"), record.word("event_type")
    if kind == "status":
        status = _status(record)
        tail.status = tail.status or status
        if status.state == "started":
            tail.started = tail.started or timestamp
    elif kind in {"scan", "trap"}:
        tail.take(_evidence(record))
    tail.last_line = tail.last_line or timestamp
    tail.first_line = timestamp


def _status(record: _Record) -> StatusLine:
    return StatusLine(
        timestamp=record.time("timestamp"),
        state=record.word("state"),
        reason=record.word("reason"),
        version=record.text("version", _VERSION),
        counts={name: record.count(name) for name in COUNTS},
    )


def _evidence(record: _Record) -> EvidenceLine:
    return EvidenceLine(
        timestamp=record.time("timestamp"),
        event_type=record.word("event_type"),
        verdict=record.word("verdict"),
        src_ip=record.address("src_ip"),
        source_verified=record.flag("source_verified"),
        scan_type=record.word("scan_type"),
        technique=record.word("technique"),
        state=record.word("state"),
        direction=record.word("direction"),
        dest_ip=record.address("dest_ip"),
        dest_port=record.count("dest_port"),
        proto=record.word("proto"),
        ports=record.count("ports"),
        ports_sample=record.counts("ports_sample"),
        hosts=record.count("hosts"),
        first_seen=record.time("first_seen"),
        last_seen=record.time("last_seen"),
        attempts=record.count("attempts"),
        reason=record.word("reason"),
    )
