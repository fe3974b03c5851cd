"""Ethernet frames with a TCP segment in them, made fast enough for millions."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.support import pcap

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
NOWHERE = bytes(6)
# 2025-01-01: any moment will do, but the same in every run.
EPOCH_US = 1_735_689_600_000_000
_FRAME = struct.Struct("!6s6sHBBHHHBBHIIHHIIBBHHH")
_HOP_LIMIT, _TCP, _WINDOW, _WHOLE = 64, 6, 64_240, 0x4000
# What any modern host says in its SYN: MSS, SACK, timestamps, window scale.
_OPTIONS = bytes.fromhex("020405b4 0402 080a 0000000100000000 01 030307")
_OPTIONS_SUM = sum(struct.unpack("!10H", _OPTIONS))


Ends = tuple[int, int, int, int]


@dataclass(frozen=True)
class Link:
    destination: bytes = NOWHERE
    source: bytes = NOWHERE


def sequence_of(number: int) -> int:
    """The sequence number of the segment made from that number."""
    return number * 2_654_435_761 & 0xFFFFFFFF


def segment(link: Link, ends: Ends, flags: int, number: int, hops: int = _HOP_LIMIT, *, ack: int = 0) -> bytes:
    """One frame, with right checksums.

    Args:
        link: its Ethernet addresses.
        ends: source, its port, target, its port.
        flags: of TCP.
        number: any number, from which those of the headers are made.
        hops: the hop limit.
        ack: the acknowledgement.
    """
    source, source_port, target, target_port = ends
    options, options_sum = (_OPTIONS, _OPTIONS_SUM) if flags & SYN else (b"", 0)
    size = 20 + len(options)
    identification = number & 0xFFFF
    sequence = sequence_of(number)
    offset = size << 2
    hosts = (source >> 16) + (source & 0xFFFF) + (target >> 16) + (target & 0xFFFF)
    tcp = (
        hosts
        + _TCP
        + size
        + source_port
        + target_port
        + (sequence >> 16)
        + (sequence & 0xFFFF)
        + (ack >> 16)
        + (ack & 0xFFFF)
    )
    return (
        _FRAME.pack(
            *(link.destination, link.source, 0x0800),
            *(0x45, 0, 20 + size, identification, _WHOLE, hops, _TCP),
            *(_checksum(0x4500 + 20 + size + identification + _WHOLE + (hops << 8 | _TCP) + hosts),),
            *(source, target, source_port, target_port, sequence, ack, offset, flags, _WINDOW),
            *(_checksum(tcp + (offset << 8 | flags) + _WINDOW + options_sum), 0),
        )
        + options
    )


def _checksum(total: int) -> int:
    total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - ((total & 0xFFFF) + (total >> 16))


def write(path: Path, frames: Iterable[bytes], per_second: int) -> Path:
    """Write a capture of the frames, evenly spaced."""
    return pcap.write(
        path, ((EPOCH_US + number * 1_000_000 // per_second, frame) for number, frame in enumerate(frames))
    )
