"""The file format pcap (draft-ietf-opsawg-pcap): written in one way, read in all."""

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

ETHERNET = 1
_MAGIC = 0xA1B2C3D4
_VERSION, _SNAP_BYTES = (2, 4), 65_535
# The magic number as it stands in a file: byte order, and the unit of the fractions of a second.
_FORMS = {
    struct.pack(f"{order}I", magic): (order, unit)
    for order in "<>"
    for magic, unit in ((_MAGIC, 1e-6), (0xA1B23C4D, 1e-9))
}


class NoPcapError(ValueError):
    """These bytes are no pcap file."""


def head(link: int = ETHERNET) -> bytes:
    """The beginning of a file whose packets begin with the header of this link type."""
    return struct.pack("<IHHiIII", _MAGIC, *_VERSION, 0, 0, _SNAP_BYTES, link)


def record(time_us: int, packet: bytes) -> bytes:
    """A packet as it stands in the file."""
    return struct.pack("<IIII", *divmod(time_us, 1_000_000), len(packet), len(packet)) + packet


def write(path: Path, packets: Iterable[tuple[int, bytes]], link: int = ETHERNET) -> Path:
    """Write packets with their times, in microseconds since 1970."""
    with path.open("wb", buffering=1 << 20) as file:
        file.write(head(link))
        file.writelines(record(time_us, packet) for time_us, packet in packets)
    return path


def read(content: bytes) -> tuple[int, list[tuple[float, bytes]]]:
    """The link type, and the packets with their times in seconds since 1970; a torn last one is left out.

    Raises:
        NoPcapError: the bytes do not begin like such a file.
    """
    if content[:4] not in _FORMS:
        raise NoPcapError(f"no pcap file: it begins with {content[:4].hex()}")
    order, unit = _FORMS[content[:4]]
    (link,) = struct.unpack_from(f"{order}I", content, 20)
    return link & 0xFFFF, list(_packets(content, order, unit))


def _packets(content: bytes, order: str, unit: float) -> Iterator[tuple[float, bytes]]:
    at = len(head())
    while at + 16 <= len(content):
        seconds, fraction, size, _ = struct.unpack_from(f"{order}IIII", content, at)
        at += 16
        if at + size <= len(content):
            yield seconds + fraction * unit, content[at : at + size]
        at += size
