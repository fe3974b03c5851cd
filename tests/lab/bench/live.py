"""What is sent and replayed: floods, a scanner, visitors, all of them in turn, and what costs the core most."""

import struct
import subprocess
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.lab.bench import core, costliest
from tests.support import tcpreplay
from tests.support.frames import ACK, FIN, SYN, Link
from tests.support.namespaces import Lab
from tests.support.workloads import SERVED, TARGET, Frames, flood, mixed, pool, scanner, visitors

WORST = "costliest packets"
_TARGET = IPv4Address(TARGET).packed
# The kernel of a silent lab has no IPv6 address, but the packets are for the sensor's host.
SETTINGS: Mapping[str, Any] = MappingProxyType({"home": [TARGET, costliest.TARGET6], "served": {"tcp": [*SERVED]}})


def worst_name() -> str:
    """The costliest of all combinations of protocol, headers and sources, on this machine."""
    return core.found()[0].name


def _worst(count: int, link: Link) -> Iterator[bytes]:
    addresses = link.destination + link.source
    for frame in dict(costliest.patterns())[worst_name()](count, link):
        yield addresses + frame[len(addresses) :]


KINDS: Mapping[str, Frames] = MappingProxyType(
    {
        "forged flood": flood,
        "one scanner": scanner,
        "forged pool": pool,
        "visitors": visitors,
        "all four in turn": mixed,
        WORST: _worst,
    }
)


# The target takes part in these; the others are sent to it alone.
_DIALOGUES = frozenset({"visitors", "all four in turn"})


def start(lab: Lab, capture: Path, per_second: int | None, packets: int | None = None) -> subprocess.Popen[str]:
    """Start sending a capture that is named after its kind, in a lab with a feed."""
    if capture.stem in _DIALOGUES:
        return tcpreplay.start_both(lab, capture, per_second, packets)
    return tcpreplay.start(lab.visitor, capture, per_second, packets)


def passed(kind: str, packets: int) -> int:
    """How many of the first packets the kernel's filter lets through: not first segments and the target's own ends."""
    if kind not in _DIALOGUES:
        return packets
    return sum(not _is_kept(frame) for frame in islice(KINDS[kind](packets, Link()), packets))


def _is_kept(frame: bytes) -> bool:
    # Both addresses of IPv4, the ports of TCP behind a header without options, its flags (RFC 791, RFC 9293).
    source, target = frame[26:30], frame[30:34]
    ports, flags = struct.unpack("!HH", frame[34:38]), frame[47]
    if flags == FIN | ACK:
        return source == _TARGET and ports[0] in SERVED
    return flags == SYN and target == _TARGET and ports[1] in SERVED


def note() -> str:
    """What the costliest packets are, as a sentence."""
    return f"The costliest packets that the search found (see what the core costs): {worst_name()}.\n"
