"""The end of the event log, read back, within a bound.

The log can be torn, written to by others, or of another version of the sensor; unreadable lines are counted.
Every value that leaves here is a number, an address, a time or a plain token, safe on a terminal.
"""

import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import MISSING, Field, dataclass, field, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from portsentry_py.errors import InputError, PermissionDenied
from portsentry_py.events.model import (
    EVENT_CLASSES,
    Event,
    EvidenceEvent,
    ScanEvent,
    SourceEvent,
    StatusEvent,
    TrapEvent,
    moment,
)

LIMIT_BYTES = 8 * 1024 * 1024
LONGEST_LINE = 8192  # ten times the sensor's longest
_LARGEST_COUNT = 2**63 - 1
_HEAD = b'{"timestamp":"'
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_TOKEN = re.compile(r"[A-Za-z0-9_.:@/+!-]{1,64}")
_SEVERITY = {"ignore": 0, "watch": 1, "ban": 2}


@dataclass(frozen=True, slots=True)
class StatusLine:
    """A `status` line. `counts` holds those of today's counts that the line has, named as in the log."""

    timestamp: str
    state: str
    reason: str
    version: str
    counts: dict[str, int]


@dataclass(slots=True)
class LogPart:
    """A log, and the part of it that was read.

    Attributes:
        files: the files that were read, the log first, then the rotated one.
        lines_read: the lines in the bytes that were read, readable or not.
        lines_unreadable: the lines among them that are torn, damaged or not the sensor's.
        first_line: time of the first readable line, UTC; nothing older is known.
        last_line: time of the last readable line, UTC.
    """

    path: Path
    size_bytes: int = 0
    files: list[Path] = field(default_factory=list)
    bytes_read: int = 0
    lines_read: int = 0
    lines_unreadable: int = 0
    first_line: str | None = None
    last_line: str | None = None

    def take(self, line: bytes) -> None:
        """Add a line that is older than all lines before it.

        Raises:
            ValueError, RecursionError: the line is not the sensor's.
        """
        raise NotImplementedError


_Part = TypeVar("_Part", bound=LogPart)


@dataclass(slots=True)
class LogTail(LogPart):
    """The content of the end of a log.

    Attributes:
        status: the last `status` line.
        started: time of the last `started` line.
        sources: one line of each source (address or IPv6 /64) with the verdict ban, watch or ignore, the latest
            source first: the last line of each technique, and of these the one with the most severe verdict.
        bans: the last line with the verdict ban of each source, of each address and of each group.
    """

    status: StatusLine | None = None
    started: str | None = None
    sources: dict[str, EvidenceEvent] = field(default_factory=dict)
    bans: dict[str, EvidenceEvent] = field(default_factory=dict)
    _seen: set[tuple[str, str]] = field(default_factory=set)

    def take(self, line: bytes) -> None:
        """Adds a line that is older than all lines before it.

        Raises:
            ValueError, RecursionError: the line is not the sensor's.
        """
        record = _record(line)
        timestamp, kind = _time(record.get("timestamp")), record.get("event_type")
        if kind == "status":
            status = _status(record)
            self.status = self.status or status
            if status.state == "started":
                self.started = self.started or timestamp
        elif kind == "scan":
            self._take_evidence(_event(ScanEvent, record))
        elif kind == "trap":
            self._take_evidence(_event(TrapEvent, record))
        else:
            _token(kind)
        self.last_line = self.last_line or timestamp
        self.first_line = timestamp

    def _take_evidence(self, line: EvidenceEvent) -> None:
        # fail2ban bans the /64 of an IPv6 source, or the address where it has none of its own.
        source = line.src_net if line.src_net.endswith("/64") else line.src_ip
        if line.verdict == "ban":
            self.bans.setdefault(source, line)
            self.bans.setdefault(line.src_ip, line)
            if line.technique == "distributed":  # the jail of networks bans this
                self.bans.setdefault(line.group_net or line.src_net, line)
        if line.verdict not in _SEVERITY or (source, line.technique) in self._seen:
            return
        self._seen.add((source, line.technique))
        known = self.sources.get(source)
        if known is None or _SEVERITY[line.verdict] > _SEVERITY[known.verdict]:
            self.sources[source] = line


def log_path(log: str | Path) -> Path:
    """The file that a command reads.

    Raises:
        InputError: the log is standard output.
    """
    if str(log) == "-":
        raise InputError("the log is standard output, which cannot be read again; name a file with --log.")
    return Path(log)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Give a failure to open or read the log its cause and fix.

    Raises:
        InputError: there is no such log, or it cannot be read.
        PermissionDenied: the user may not read it.
    """
    try:
        yield
    except PermissionError as error:
        raise PermissionDenied(
            f"{path}: you may not read the log; run as root or join the group that may (adm)."
        ) from error
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such log; start the sensor or name another with --log.") from error
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise InputError(f"{path}: cannot read the log ({reason}); name another with --log.") from error


def open_file(path: Path) -> BinaryIO:
    """Open a regular file for reading.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is not a regular file.
    """
    # Without O_NONBLOCK, a FIFO with this name blocks the reader.
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise ValueError("it is not a file")
    return file


def read_tail(path: Path, limit: int = LIMIT_BYTES) -> LogTail:
    """What the end of the log says, as `read_end` reads it."""
    return read_end(LogTail(path), limit)


def read_end(part: _Part, limit: int = LIMIT_BYTES) -> _Part:
    """Give it the last `limit` bytes of its log and, while there is room, of `PATH.1`, the log before it.

    Raises:
        InputError: there is no such log, or it cannot be read.
        PermissionDenied: the user may not read it.
    """
    path = part.path
    with reading(path):
        identity, part.size_bytes, text = _end_of(path, limit)
    _take(part, path, text)
    if len(text) < limit:
        before = path.with_name(path.name + ".1")
        with suppress(OSError, ValueError):
            identity_before, _, text = _end_of(before, limit - len(text))
            if identity_before != identity:  # the log itself has this name if it was rotated just now
                _take(part, before, text)
    return part


def _end_of(path: Path, limit: int) -> tuple[tuple[int, int], int, bytes]:
    """Identity, size and last bytes of a file, from the beginning of a line."""
    with open_file(path) as file:
        status = os.fstat(file.fileno())
        if status.st_size <= limit:
            text = file.read(status.st_size)
        else:
            # One more byte shows whether the first line is whole.
            file.seek(status.st_size - limit - 1)
            _, _, text = file.read(limit + 1).partition(b"\n")
    return (status.st_dev, status.st_ino), status.st_size, text


def _take(part: LogPart, path: Path, text: bytes) -> None:
    """Adds the lines of a file that is older than all files before it."""
    part.files.append(path)
    part.bytes_read += len(text)
    for line in _backwards(text):
        part.lines_read += 1
        try:
            part.take(line)
        except (ValueError, RecursionError):
            part.lines_unreadable += 1


def _backwards(text: bytes) -> Iterator[bytes]:
    end = len(text) - text.endswith(b"\n")
    while end >= 0 and text:
        start = text.rfind(b"\n", 0, end) + 1
        yield text[start:end]
        end = start - 1


def _record(line: bytes) -> dict[str, Any]:
    if not line.startswith(_HEAD) or len(line) > LONGEST_LINE:
        raise ValueError("not a line of the sensor")
    record: dict[str, Any] = json.loads(line.decode("ascii"))
    return record


def _token(found: object) -> str:
    if not isinstance(found, str) or not _TOKEN.fullmatch(found):
        raise ValueError(found)
    return found


def _time(found: object) -> str:
    if not isinstance(found, str) or not _TIME.fullmatch(found):
        raise ValueError(found)
    moment(found)  # refuses a day that no calendar has
    return found


def _address(found: object) -> str:
    return str(ip_address(_token(found)))  # a token has no zone, which can be any text


def _flag(found: object) -> bool:
    if not isinstance(found, bool):
        raise ValueError(found)  # noqa: TRY004 - every fault of a line is one error
    return found


def _count(found: object) -> int:
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found <= _LARGEST_COUNT:
        raise ValueError(found)
    return found


def _counts(found: object) -> tuple[int, ...]:
    if not isinstance(found, list):
        raise ValueError(found)  # noqa: TRY004 - every fault of a line is one error
    return tuple(map(_count, found))


def _tokens(found: object) -> tuple[str, ...]:
    if not isinstance(found, list):
        raise ValueError(found)  # noqa: TRY004 - every fault of a line is one error
    return tuple(map(_token, found))


_Kind = tuple[Callable[[object], object], object]


def _kind(item: Field[Any]) -> _Kind:
    """The check of a field's value in a line, and its value where an older sensor's line lacks the key."""
    if item.type is bool:
        return _flag, False
    if item.type in (int, int | None):
        return _count, 0
    if item.type == tuple[int, ...]:
        return _counts, ()
    if item.type == tuple[str, ...]:
        return _tokens, ()
    unit = item.metadata.get("unit", "")
    return (_address if "address" in unit else _time if "RFC 3339" in unit else _token), ""


_CLASSES = {kind.event_type: kind for kind in EVENT_CLASSES}
_KINDS = {kind: {item.name: _kind(item) for item in fields(kind)} for kind in EVENT_CLASSES}
_ABSENT = {
    kind: {item.name: _KINDS[kind][item.name][1] for item in fields(kind) if item.default is MISSING}
    for kind in EVENT_CLASSES
}
_FROZEN = {item.name for item in fields(SourceEvent)}
_STATUS = _KINDS[StatusEvent]
COUNTS = tuple(name for name, kind in _STATUS.items() if kind[0] is _count and name != "schema")
_Event = TypeVar("_Event", bound=Event)


def _known(record: dict[str, Any], kinds: dict[str, _Kind]) -> dict[str, Any]:
    """The checked values of the keys that this version knows; a newer sensor writes others as well."""
    return {key: kinds[key][0](content) for key, content in record.items() if key in kinds}


def _event(kind: type[_Event], record: dict[str, Any]) -> _Event:
    """A line of this kind. A key that the line of an older sensor lacks is 0 or empty."""
    known = _known(record, _KINDS[kind])
    if not known.keys() >= (_FROZEN if issubclass(kind, SourceEvent) else {"timestamp", "state"}):
        raise ValueError("a frozen key is missing")
    return kind(**{**_ABSENT[kind], **known})


def read_event(line: bytes) -> Event:
    """The event of a line; a bare `Event` for a kind of line that only a newer sensor knows.

    Raises:
        ValueError, RecursionError: the line is not the sensor's.
    """
    record = _record(line)
    kind = _CLASSES.get(_token(record.get("event_type")))
    return _event(kind, record) if kind else Event(timestamp=_time(record.get("timestamp")))


def _status(record: dict[str, Any]) -> StatusLine:
    known = _known(record, _STATUS)
    return StatusLine(
        timestamp=known["timestamp"],
        state=_token(known.get("state")),
        reason=known.get("reason", ""),
        version=known.get("version", ""),
        counts={name: known[name] for name in COUNTS if name in known},
    )
