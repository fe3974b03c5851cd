"""`check --live`: a marked packet goes out and must be heard, by a capture of ours and by the sensor."""

import socket
import struct
import time
from collections.abc import Iterable
from pathlib import Path

from portsentry_py.capture.live import LiveCapture
from portsentry_py.core.decode import decode
from portsentry_py.core.packet import ICMP, Packet
from portsentry_py.core.self_test import ADDRESS, ICMP_TYPE, is_self_test
from portsentry_py.errors import PermissionDenied, PortsentryError
from portsentry_py.events.model import utc
from portsentry_py.report.log_reader import read_tail

_ETH_P_IP = 0x0800
_SYS_NET = Path("/sys/class/net")
_CAPTURE_SECONDS = 5.0
# A sensor says at its next tick that it heard one, but not more often than every ten seconds.
_SENSOR_SECONDS = 15.0
_PAUSE_SECONDS = 0.25
_IPV4_HEADER = struct.Struct("!BBHHHBBH4s4s")
_ICMP_HEADER = struct.Struct("!BBHI")


def send_self_tests(names: Iterable[str]) -> None:
    """Send one packet out of each interface, to its own link address: a switch hands it on to nobody.

    Raises:
        PermissionDenied: only who may capture may send it.
        OSError: an interface is gone or down.
    """
    for name in names:
        device = "lo" if name == "any" else name
        try:
            own = bytes.fromhex((_SYS_NET / device / "address").read_text(encoding="ascii").replace(":", ""))
        except (OSError, ValueError):
            own = b""  # a link without addresses
        try:
            with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0) as raw:
                raw.sendto(_packet(), (device, _ETH_P_IP, 0, 0, own))
        except PermissionError as error:
            raise PermissionDenied("you may not send a test packet; run as root.") from error


def _packet() -> bytes:
    """An IPv4 packet (RFC 791) with an ICMP message of eight bytes."""
    address = socket.inet_aton(ADDRESS)
    message = _ICMP_HEADER.pack(ICMP_TYPE, 0, ~(ICMP_TYPE << 8) & 0xFFFF, 0)
    length = _IPV4_HEADER.size + len(message)
    fields = (0x45, 0, length, 0, 0, 1, ICMP)
    header = _IPV4_HEADER.pack(*fields, 0, address, address)
    words = sum(struct.unpack("!10H", header))
    return _IPV4_HEADER.pack(*fields, ~(words % 0xFFFF) & 0xFFFF, address, address) + message


def unheard(capture: LiveCapture, names: Iterable[str]) -> list[str]:
    """The interfaces whose test packet does not come through this capture."""
    names = sorted(names)
    heard: set[str] = set()
    deadline = time.monotonic() + _CAPTURE_SECONDS
    while time.monotonic() < deadline and not heard.issuperset(names):
        send_self_tests(set(names) - heard)
        for line in capture.read(_PAUSE_SECONDS):
            packet = decode(line)
            if isinstance(packet, Packet) and is_self_test(packet):
                heard.update(names if names == ["any"] else [packet.in_iface])
    return [name for name in names if name not in heard]


def sensor_hears(log: Path, names: Iterable[str]) -> bool:
    """Whether a running sensor tells, in this log, that it heard a test packet."""
    begun = utc(time.time_ns() // 1000)
    deadline = time.monotonic() + _SENSOR_SECONDS
    names = list(names)
    while time.monotonic() < deadline:
        send_self_tests(names)
        time.sleep(_PAUSE_SECONDS)
        try:
            status = read_tail(log).status
        except PortsentryError:
            continue
        if status is not None and status.reason == "self_test" and status.timestamp > begun:
            return True
    return False
