"""The IP packets of a capture file, whatever its link type."""

from __future__ import annotations

import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_NULL, _ETHERNET, _RAW, _COOKED, _COOKED2, _IPV4, _IPV6 = 0, 1, 101, 113, 276, 228, 229
_IP = (b"\x08\x00", b"\x86\xdd")
_VLAN = (b"\x81\x00", b"\x88\xa8", b"\x91\x00")
_PPPOE = b"\x88\x64"
_PPP_IP = (b"\x00\x21", b"\x00\x57")
_MACS_BYTES = 12
_ENDS = {b"\xd4\xc3\xb2\xa1": ("<", 1e-6), b"\xa1\xb2\xc3\xd4": (">", 1e-6)}
_NANO_ENDS = {b"\x4d\x3c\xb2\xa1": ("<", 1e-9), b"\xa1\xb2\x3c\x4d": (">", 1e-9)}


class Framed(NamedTuple):
    """A packet: its time, what stands between the MAC addresses and it (its type, tags), and itself."""

    time: float
    head: bytes
    packet: bytes


class UnusableCaptureError(Exception):
    """No IP packets to be had, and why."""


def read(path: Path) -> list[Framed]:
    """Give the IP packets of a capture.

    Raises:
        UnusableCaptureError: it cannot be read, or there are none.
    """
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.pcap"
        done = subprocess.run(
            ["editcap", "-F", "pcap", path, plain], capture_output=True, text=True, timeout=120, check=False
        )
        if not plain.exists() or not plain.stat().st_size:
            reason = done.stderr.strip().splitlines()
            raise UnusableCaptureError(reason[-1].strip() if reason else "editcap gave no reason")
        found = list(_frames(plain.read_bytes()))
    if not found:
        raise UnusableCaptureError("no IP packet on a link type that is known here")
    return found


def _frames(content: bytes) -> Iterator[Framed]:
    ends = {**_ENDS, **_NANO_ENDS}
    if content[:4] not in ends:
        return
    end, unit = ends[content[:4]]
    (link,) = struct.unpack_from(f"{end}I", content, 20)
    at = 24
    while at + 16 <= len(content):
        seconds, fraction, size, _ = struct.unpack_from(f"{end}IIII", content, at)
        framed = _framed(link & 0xFFFF, content[at + 16 : at + 16 + size])
        if framed is not None:
            yield Framed(seconds + fraction * unit, *framed)
        at += 16 + size


def _framed(link: int, data: bytes) -> tuple[bytes, bytes] | None:
    """Give the head of an Ethernet frame, without MAC addresses, and the IP packet."""
    if link == _ETHERNET:
        return _after_macs(data[_MACS_BYTES:])
    skipped = {_NULL: 4, _RAW: 0, _IPV4: 0, _IPV6: 0, _COOKED: 16, _COOKED2: 20}.get(link)
    if skipped is None or len(data) <= skipped:
        return None
    packet = data[skipped:]
    head = {4: _IP[0], 6: _IP[1]}.get(packet[0] >> 4)
    return None if head is None else (head, packet)


def _after_macs(data: bytes) -> tuple[bytes, bytes] | None:
    at = 0
    while data[at : at + 2] in _VLAN:
        at += 4
    if data[at : at + 2] == _PPPOE and data[at + 8 : at + 10] in _PPP_IP:
        at += 10
    elif data[at : at + 2] in _IP:
        at += 2
    else:
        return None
    return data[:at], data[at:]


def write(path: Path, frames: list[tuple[float, bytes]]) -> None:
    """Write a pcap file of Ethernet frames with their times."""
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 1))
        for moment, frame in frames:
            micros = round(moment * 1e6)
            size = len(frame)
            file.write(struct.pack("<IIII", micros // 1_000_000, micros % 1_000_000, size, size) + frame)
