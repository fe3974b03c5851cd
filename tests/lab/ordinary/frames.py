"""The IP packets of a capture file, whatever its link type."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.support import pcap
from tests.support.running import ran

_NULL, _ETHERNET, _RAW, _COOKED, _COOKED2, _IPV4, _IPV6 = 0, 1, 101, 113, 276, 228, 229
_IP = (b"\x08\x00", b"\x86\xdd")
_VLAN = (b"\x81\x00", b"\x88\xa8", b"\x91\x00")
_PPPOE = b"\x88\x64"
_PPP_IP = (b"\x00\x21", b"\x00\x57")
_MACS_BYTES = 12


class Framed(NamedTuple):
    """A packet: its time, what stands between the MAC addresses and it (its type, tags), and itself."""

    time: float
    head: bytes
    packet: bytes


class UnusableCaptureError(Exception):
    """No IP packets to be had, and why."""


def read(path: Path) -> list[Framed]:
    """The IP packets of a capture.

    Raises:
        UnusableCaptureError: it cannot be read, or there are none.
    """
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.pcap"
        done = ran("editcap", "-F", "pcap", path, plain)
        if not plain.exists() or not plain.stat().st_size:
            reason = done.stderr.strip().splitlines()
            raise UnusableCaptureError(reason[-1].strip() if reason else "editcap gave no reason")
        found = list(_frames(plain.read_bytes()))
    if not found:
        raise UnusableCaptureError("no IP packet on a link type that is known here")
    return found


def _frames(content: bytes) -> Iterator[Framed]:
    link, packets = pcap.read(content)
    for moment, data in packets:
        framed = _framed(link, data)
        if framed is not None:
            yield Framed(moment, *framed)


def _framed(link: int, data: bytes) -> tuple[bytes, bytes] | None:
    """The head of an Ethernet frame, without MAC addresses, and the IP packet."""
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
