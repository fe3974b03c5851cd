"""`check --live`: a test packet that a capture of ours and the running sensor must receive."""

import socket
import struct
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from portsentry_py.core.decode import decode
from portsentry_py.core.packet import ICMP, Packet
from portsentry_py.core.self_test import ADDRESS, ICMP_TYPE, is_self_test
from portsentry_py.errors import PermissionDenied, PortsentryError
from portsentry_py.events.model import utc
from portsentry_py.report.log_reader import read_tail

_ETH_P_IP = 0x0800
_SYS_NET = Path("/sys/class/net")
_CAPTURE_SECONDS = 5.0
# A sensor reports a test packet at its next tick, at most once in ten seconds.
_SENSOR_SECONDS = 15.0
_PAUSE_SECONDS = 0.25
_IPV4_HEADER = struct.Struct("!BBHHHBBH4s4s")
_ICMP_HEADER = struct.Struct("!BBHI")

_Send = Callable[[Iterable[str]], None]
_Clock = Callable[[], float]


class _Capture(Protocol):
    def wait(self, timeout_seconds: float) -> None: ...
    def read(self) -> Iterable[str]: ...


def send_test_packets(names: Iterable[str]) -> None:
    """Sends a packet out of each interface to the interface's own link address, so no switch forwards it.

    Raises:
        PermissionDenied: the user may not capture, so the user may not send it.
        OSError: an interface is gone or down.
    """
    for name in names:
        device = "lo" if name == "any" else name
        try:
            with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0) as raw:
                raw.sendto(_packet(), (device, _ETH_P_IP, 0, 0, _link_address(_SYS_NET / device)))
        except PermissionError as error:
            raise PermissionDenied("you may not send a test packet; run as root.") from error


def _link_address(device: Path) -> bytes:
    """The link address by the device's folder in /sys/class/net; empty if it has none."""
    try:
        return bytes.fromhex((device / "address").read_text(encoding="ascii").replace(":", ""))
    except (OSError, ValueError):
        return b""


def _packet() -> bytes:
    """An IPv4 packet (RFC 791) with an ICMP message of eight bytes."""
    address = socket.inet_aton(ADDRESS)
    message = _ICMP_HEADER.pack(ICMP_TYPE, 0, ~(ICMP_TYPE << 8) & 0xFFFF, 0)
    length = _IPV4_HEADER.size + len(message)
    fields = (0x45, 0, length, 0, 0, 1, ICMP)
    header = _IPV4_HEADER.pack(*fields, 0, address, address)
    words = sum(struct.unpack("!10H", header))
    return _IPV4_HEADER.pack(*fields, ~(words % 0xFFFF) & 0xFFFF, address, address) + message


def unreached(
    capture: _Capture, names: Iterable[str], send: _Send = send_test_packets, clock: _Clock = time.monotonic
) -> list[str]:
    """The interfaces on which the capture does not receive the test packet in time."""
    names = sorted(names)
    reached: set[str] = set()
    deadline = clock() + _CAPTURE_SECONDS
    while clock() < deadline and not reached.issuperset(names):
        send(set(names) - reached)
        capture.wait(_PAUSE_SECONDS)
        for line in capture.read():
            packet = decode(line)
            if isinstance(packet, Packet) and is_self_test(packet):
                reached.update(names if names == ["any"] else [packet.in_iface])
    return [name for name in names if name not in reached]


def sensor_receives(
    log: Path, names: Iterable[str], send: _Send = send_test_packets, clock: _Clock = time.monotonic
) -> bool:
    """Whether a running sensor reports in this log, in time, that it received a test packet."""
    begun = utc(time.time_ns() // 1000)
    deadline = clock() + _SENSOR_SECONDS
    names = list(names)
    while clock() < deadline:
        send(names)
        time.sleep(_PAUSE_SECONDS)
        try:
            status = read_tail(log).status
        except PortsentryError:
            continue
        if status is not None and status.reason == "self_test" and status.timestamp > begun:
            return True
    return False
