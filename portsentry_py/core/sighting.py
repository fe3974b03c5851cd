"""One step of an attempt, once it is known who spoke first: the noun between flow table and source table."""

import enum
from typing import NamedTuple

from portsentry_py.core.packet import Packet
from portsentry_py.events.model import Direction, Proto, ScanType


class Kind(enum.IntEnum):
    """What happened to an attempt. Numbers, because they are looked up for each packet."""

    PROBE = enum.auto()  # a first packet to something that nobody is known to serve
    REPEAT = enum.auto()  # the same probe again
    REFUSED = enum.auto()  # answered with RST or an ICMP error
    SILENT = enum.auto()  # not answered within the settling time
    TRAPPED = enum.auto()  # answered by a trap port that we opened
    ANSWERED = enum.auto()  # somebody serves it after all: the attempt is retracted
    SERVED = enum.auto()  # a first packet to a port known to be served
    PROVEN = enum.auto()  # the source acknowledged what we sent, and did not use the connection
    SESSION = enum.auto()  # the source used a connection to a served port
    EXPECTED = enum.auto()  # we asked for it after all: the attempt is retracted, and nothing speaks for the source


class Sighting(NamedTuple):
    """One step of one attempt by `source` on `target`.

    `packet` is the probe, whatever the kind; `time_us` is the time of the step. `home_known` is False in a
    replay without `--home`: then clients of many servers look like scanners, and a detector must be careful.
    """

    kind: Kind
    time_us: int
    source: str
    target: str
    port: int
    proto: Proto
    scan_type: ScanType
    direction: Direction
    packet: Packet
    home_known: bool = True
