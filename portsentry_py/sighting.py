"""What a packet means once it is known who spoke first: the noun between flows and detectors."""

import enum
from typing import NamedTuple

from portsentry_py.packet import Packet


class Kind(enum.Enum):
    """What happened to an attempt."""

    PROBE = "probe"  # a first packet to something that, as far as we know, nobody serves
    AGAIN = "again"  # the same probe sent once more
    REFUSED = "refused"  # answered with RST or an ICMP error
    SILENT = "silent"  # not answered within the settling time
    ANSWERED = "answered"  # somebody serves it after all: what was counted is taken back
    SERVED = "served"  # a first packet to a port known to be served


class Sighting(NamedTuple):
    """One step of one attempt by `source` on `target`.

    For REFUSED, SILENT and ANSWERED, `packet` is the probe that it is about, and `time_us` the moment of
    the answer. `verified`: the source has proved that it receives what we send (it acknowledged our
    sequence number), in this very flow.
    """

    kind: Kind
    time_us: int
    source: str
    target: str
    port: int
    proto: str
    scan_type: str
    direction: str
    packet: Packet
    verified: bool = False
