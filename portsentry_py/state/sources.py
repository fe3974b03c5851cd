"""What the state file knows of sources, for people who look: plain values, and no trust in the file."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import islice
from pathlib import Path

from portsentry_py.core.source_record import SourceRecord
from portsentry_py.errors import InputError
from portsentry_py.events.model import Direction, ScanType, Tool, utc
from portsentry_py.state.codec import BrokenSnapshot, decode
from portsentry_py.state.file import read_copy

_SAMPLE = 16
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class KnownSource:
    """What the sensor remembers of one source.

    Attributes:
        source: an IPv4 address, or an IPv6 /64.
        address: the address of its last probe.
        ports: distinct unserved ports that it asked for; `sample` has the latest of them.
        hosts: addresses of ours that it asked.
        checks: served ports that it opens and closes as a health check does.
        first_seen, last_seen: UTC, as in the log.
    """

    source: str
    address: str
    direction: Direction
    scan_type: ScanType
    ports: int
    sample: tuple[int, ...]
    hosts: int
    attempts: int
    closed: int
    open: int
    touches: int
    score: int
    tool: Tool | None
    verified: bool
    mimicked: bool
    checks: int
    first_seen: str
    last_seen: str


@dataclass(frozen=True, slots=True)
class Memory:
    """The state of the last checkpoint.

    Attributes:
        sources: the latest last.
        visits: of addresses that had sessions: the days, oldest first.
    """

    sources: tuple[KnownSource, ...] = ()
    visits: dict[str, tuple[date, ...]] = field(default_factory=dict)


def read_memory(path: Path) -> Memory | None:
    """What is in the state file, which is at most some minutes old; None if there is no such file.

    Raises:
        InputError: it is damaged, of another version, or cannot be read.
        PermissionDenied: the user may not read it.
    """
    content = read_copy(path)
    if content is None:
        return None
    try:
        state = decode(content)
    except BrokenSnapshot as error:
        raise InputError(f"{path}: the state cannot be read ({error}); name another with `state`.") from error
    return Memory(
        tuple(_sources((*state.newcomers, *state.known))),
        {known.address: tuple(_EPOCH + timedelta(days=day) for day in known.days) for known in state.standing},
    )


def _sources(records: Iterable[SourceRecord]) -> Iterable[KnownSource]:
    for record in sorted(records, key=lambda one: one.last_us):
        record.recompute()
        yield KnownSource(
            source=record.source,
            address=record.address,
            direction=record.direction,
            scan_type=record.scan_type,
            ports=record.ports,
            sample=tuple(islice(dict.fromkeys(endpoint.port for endpoint in reversed(record.unserved)), _SAMPLE)),
            hosts=len(record.targets),
            attempts=record.attempts,
            closed=record.closed,
            open=len(record.opened),
            touches=record.trap_touches,
            score=record.score,
            tool=record.tool,
            verified=record.verified,
            mimicked=record.is_mimicked,
            checks=len(record.checks),
            first_seen=utc(record.first_us),
            last_seen=utc(record.last_us),
        )
