"""The capture beside the sensor: what the sensor's own filter lets through, on every interface."""

import re
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import NamedTuple

from portsentry_py.capture.bpf import PLAIN, kernel_filter
from tests.lab.faults.sender import NETWORK
from tests.support import pcap
from tests.support.frames import SYN
from tests.support.namespaces import Host
from tests.support.needs import require_tool
from tests.support.waiting import wait_for

# Linux cooked captures, as `any` gives them: link type, and the bytes before the IP header.
_HEADERS = {113: 16, 276: 20}
_IPV4, _TCP = 4, 6
_DROPPED = re.compile(r"Packets received/dropped on interface .*?: \d+/(\d+) ")

Key = tuple[str, int, str, int]


class Seen(NamedTuple):
    """A SYN of the sender's, as it came: seconds since 1970; source, its port, target, its port."""

    time: float
    key: Key


class Capture(NamedTuple):
    """What came: all packets by number, the sender's SYNs one by one."""

    packets: int
    syns: list[Seen]


class ReferenceCapture:
    """A dumpcap of ours on all interfaces of a host, which outlives each of them."""

    def __init__(self, host: Host, folder: Path) -> None:
        self._path = folder / "reference.pcap"
        self._said = folder / "reference.stderr"
        with self._said.open("w") as stderr:
            self._process = host.start(
                *(require_tool("dumpcap"), "-q", "-P", "-i", "any", "-s", "96", "-B", "32"),
                *("-f", kernel_filter(PLAIN, vlan=False), "-w", self._path),
                stderr=stderr,
            )
        wait_for(lambda: "File: " in self._said.read_text(), "the reference capture to capture")

    def stop(self) -> Capture:
        """End it; one that has missed something cannot be used."""
        self._process.terminate()
        self._process.wait(30)
        said = self._said.read_text()
        dropped = _DROPPED.search(said)
        if dropped is None or int(dropped[1]):
            raise AssertionError(f"the reference capture did not see everything:\n{said}")
        return read(self._path)


def read(path: Path) -> Capture:
    link, packets = pcap.read(path.read_bytes())
    if link not in _HEADERS:
        raise AssertionError(f"not a capture on all interfaces: link type {link}")
    found = [(moment, packet[_HEADERS[link] :]) for moment, packet in packets]
    return Capture(len(found), [seen for moment, packet in found for seen in _syn(moment, packet)])


def _syn(moment: float, packet: bytes) -> Iterator[Seen]:
    if packet[0] >> 4 != _IPV4 or packet[9] != _TCP:
        return
    source, target = str(IPv4Address(packet[12:16])), str(IPv4Address(packet[16:20]))
    segment = packet[(packet[0] & 0xF) * 4 :]
    if source.startswith(NETWORK) and segment[13] == SYN:
        source_port, target_port = struct.unpack_from("!HH", segment)
        yield Seen(moment, (source, source_port, target, target_port))
