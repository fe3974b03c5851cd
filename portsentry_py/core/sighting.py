"""What a packet means once it is known who spoke first: the noun between flows and detectors."""

import enum
from typing import NamedTuple

from portsentry_py.core.packet import Packet
from portsentry_py.events.model import Direction, Proto, ScanType


class Kind(enum.IntEnum):
    """What happened to an attempt. Numbers, because they are looked up for every packet."""

    PROBE = enum.auto()  # a first packet to something that, as far as we know, nobody serves
    REPEAT = enum.auto()  # the same probe sent once more
    REFUSED = enum.auto()  # answered with RST or an ICMP error
    SILENT = enum.auto()  # not answered within the settling time
    TRAPPED = enum.auto()  # answered by a decoy port that we opened ourselves
    ANSWERED = enum.auto()  # somebody serves it after all: what was counted is taken back
    SERVED = enum.auto()  # a first packet to a port known to be served
    PROVEN = enum.auto()  # the source acknowledged what we sent, without having used the connection
    SESSION = enum.auto()  # a connection to a served port that the source really used


class Sighting(NamedTuple):
    """One step of one attempt by `source` on `target`.

    For all kinds, `packet` is the probe that it is about, and `time_us` the moment of
    the answer. `home_known` is False where a replay was not told who "we" are: then clients that ask
    many servers stand in the same place as scanners, and a detector must be more careful.
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
