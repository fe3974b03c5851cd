"""Fragments of IPv4 and IPv6 packets, of any size and in any order."""

import struct
from collections.abc import Sequence
from dataclasses import replace

from tests.lab.attacks.wire.ip import FRAGMENT, Packet


def fragments(whole: Packet, *sizes: int, number: int = 1, before: bytes = b"", first: int = 0) -> list[Packet]:
    """The packet in pieces.

    Args:
        whole: without extension headers of its own, unless they are to be cut too.
        sizes: bytes of each piece, multiples of eight; the last repeats.
        number: the identification of the whole.
        before: extension headers (IPv6) that each piece repeats; the last of them announces a fragment.
        first: the next header of IPv6 where `before` is given.
    """
    return [
        piece(whole, start, end - start, number=number, before=before, first=first)
        for start, end in _cuts(len(whole.payload), sizes)
    ]


def piece(whole: Packet, start: int, size: int, *, number: int = 1, before: bytes = b"", first: int = 0) -> Packet:
    """One piece: that many bytes from `start` on."""
    content = whole.payload[start : start + size]
    more = start + size < len(whole.payload)
    if whole.family == 4:
        return replace(whole, payload=content, ip_id=number, offset=start, more=more)
    upper = whole.proto if whole.first is None else whole.first
    head = struct.pack("!BBHI", upper, 0, start | more, number)
    return replace(whole, payload=before + head + content, first=first if before else FRAGMENT)


def atomic(whole: Packet) -> Packet:
    """An IPv6 packet with a fragment header that is a whole by itself (RFC 6946)."""
    return piece(whole, 0, len(whole.payload))


def _cuts(total: int, sizes: Sequence[int]) -> list[tuple[int, int]]:
    found, start, left = [], 0, list(sizes)
    while start < total:
        size = left.pop(0) if len(left) > 1 else left[0]
        found.append((start, min(start + size, total)))
        start += size
    return found
