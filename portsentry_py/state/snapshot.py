"""The shape of the state file, as msgspec reads and writes it.

msgspec checks types, bounds and words; `codec` checks addresses, and that nothing is there twice.
"""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct

from portsentry_py.core.decode import MAX_TIME_US
from portsentry_py.core.detectors.base import MAX_JUDGED
from portsentry_py.core.flows import ServerKind
from portsentry_py.core.served_ports import PortKind
from portsentry_py.core.source_record import MAX_OPENED, MAX_STACKS
from portsentry_py.events.model import Direction, Proto, Reason, ScanType, Technique, Tool

VERSION = 2
"""Another shape needs another version."""

Number = Annotated[int, Meta(ge=0, le=MAX_TIME_US)]
"""A count, or microseconds."""
Byte = Annotated[int, Meta(ge=0, le=255)]
Port = Annotated[int, Meta(ge=0, le=65_535)]
Address = Annotated[str, Meta(max_length=45)]
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


class SavedScan(_Row):
    """A scan that has not ended, without its source."""

    technique: Technique
    reason: Reason
    scan_type: ScanType
    bannable: bool
    said_bannable: bool
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

    source: Address
    direction: Direction
    first_us: Number
    last_us: Number
    unserved: Annotated[list[SavedAttempt], Meta(max_length=MAX_JUDGED)]
    opened: Annotated[list[Index], Meta(max_length=MAX_OPENED)]
    proofs: Annotated[list[Index], Meta(max_length=MAX_STACKS)]
    types: dict[ScanType, Number]
    tools: dict[Tool, Number]
    stacks: Annotated[dict[Stack, Number], Meta(max_length=MAX_STACKS)]
    proven_stacks: Annotated[tuple[Stack, ...], Meta(max_length=MAX_STACKS)]
    attempts: Number
    probes: Number
    sessions: Number
    last_check_us: Number
    trap_touches: Number
    trap_answered: bool
    has_twin: bool
    tunnelled: bool
    scans: Annotated[list[SavedScan], Meta(max_length=2)]


class SavedPort(_Row):
    """A port that answered."""

    address: Address
    kind: PortKind
    port: Port
    answered_us: Number


class Block(_Row):
    """A part of the state, small enough to be made between two packets."""

    endpoints: Sequence[tuple[Address, Proto, Port]] = []
    known: list[SavedSource] = []
    newcomers: list[SavedSource] = []
    learned: list[SavedPort] = []
    servers: list[tuple[Address, ServerKind]] = []
