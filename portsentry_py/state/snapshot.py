"""The shape of the state file, as msgspec reads and writes it.

msgspec checks types, bounds and words; `codec` checks addresses, and that nothing is there twice.
"""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct

from portsentry_py.core.decode import MAX_TIME_US
from portsentry_py.core.served_ports import PortKind
from portsentry_py.core.source_record import MAX_JUDGED, MAX_OPENED, MAX_STACKS
from portsentry_py.core.standing import GUEST_SESSIONS, MAX_DAYS
from portsentry_py.events.model import Direction, Proto, Reason, ScanType, Technique, Tool, Verdict

VERSION = 3
"""Another shape needs another version."""

Number = Annotated[int, Meta(ge=0, le=MAX_TIME_US)]
"""A count, or microseconds."""
Byte = Annotated[int, Meta(ge=0, le=255)]
Port = Annotated[int, Meta(ge=0, le=65_535)]
Address = Annotated[str, Meta(max_length=45)]
Source = Annotated[str, Meta(max_length=49)]
"""An address, or an IPv6 network."""
Index = Annotated[int, Meta(ge=0)]
"""The place of an endpoint in its block: many sources probe the same ones."""
Stack = tuple[Byte, Byte]


class _Row(Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """Written as an array of its fields, which are named in no file."""


class SavedAttempt(_Row):
    """An attempt on an endpoint."""

    endpoint: Index
    first_us: Number
    last_us: Number
    scan_type: ScanType
    settled: bool
    refused: bool
    has_twin: bool


class SavedScan(_Row):
    """A scan that has not ended, without its source; `reason` is the finding's, `rule` the verdict's."""

    technique: Technique
    reason: Reason
    scan_type: ScanType
    bannable: bool
    group: Source
    verdict: Verdict
    rule: Reason
    said_verdict: Verdict | None
    first_weight: Number
    next_weight: Number
    first_us: Number
    said_us: Number
    wait_us: Number
    probed_us: Number
    probed: Index
    said_types: list[ScanType]


class SavedSource(_Row):
    """A source with its attempts, the latest first, and its open scans. The other names are the record's."""

    source: Source
    direction: Direction
    first_us: Number
    last_us: Number
    address: Address
    unserved: Annotated[list[SavedAttempt], Meta(max_length=MAX_JUDGED)]
    opened: Annotated[list[Index], Meta(max_length=MAX_OPENED)]
    proofs: Annotated[list[Index], Meta(max_length=MAX_STACKS)]
    checks: Annotated[list[Index], Meta(max_length=MAX_STACKS)]
    types: dict[ScanType, Number]
    tools: dict[Tool, Number]
    stacks: Annotated[dict[Stack, Number], Meta(max_length=MAX_STACKS)]
    proven_stacks: Annotated[tuple[Stack, ...], Meta(max_length=MAX_STACKS)]
    attempts: Number
    probes: Number
    trap_touches: Number
    trap_answered: bool
    scans: Annotated[list[SavedScan], Meta(max_length=2)]


class SavedPort(_Row):
    """A port that answered."""

    address: Address
    kind: PortKind
    port: Port
    answered_us: Number


class SavedAcquaintance(_Row):
    """An address that had sessions; the names are those of `Acquaintance`."""

    address: Address
    days: Annotated[tuple[Number, ...], Meta(max_length=MAX_DAYS)]
    sessions_us: Annotated[tuple[Number, ...], Meta(min_length=1, max_length=GUEST_SESSIONS)]
    stacks: Annotated[tuple[Stack, ...], Meta(max_length=MAX_STACKS)]


class Block(_Row):
    """A part of the state, small enough to be made between two packets."""

    endpoints: Sequence[tuple[Address, Proto, Port]] = []
    known: list[SavedSource] = []
    newcomers: list[SavedSource] = []
    learned: list[SavedPort] = []
    standing: list[SavedAcquaintance] = []
