"""The sensor knows the test packet; each interface on which it does not arrive is named."""

import struct
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path

import pytest

from portsentry_py.checks.live import _link_address, _packet, sensor_receives, unreached
from portsentry_py.core.packet import ICMP, Packet
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.core.self_test import ADDRESS, is_self_test
from portsentry_py.events.model import SensorReason
from portsentry_py.sensor.status_reporter import status_event
from tests.support.build import SCANNER, US, Sent, log_lines, micros, strict, syn

FAR_SECONDS = 4e9  # a status line from the future is later than every test packet


def hurried() -> Callable[[], float]:
    """A clock that lets each wait look once or twice."""
    return count(0, 4).__next__


def arrived(iface: str) -> str:
    """The line of tshark about a test packet."""
    return Sent(0, ADDRESS, ADDRESS, ICMP, _packet()[20:], iface=iface).line


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of data that holds its own: 0 if it is right."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


def test_the_test_packet_is_valid_and_known_to_the_sensor() -> None:
    packet = _packet()
    version, _, length, _, fragment, ttl, proto = struct.unpack("!BBHHHBB", packet[:10])
    assert (version, length, fragment, ttl, proto) == (0x45, len(packet), 0, 1, ICMP)
    assert packet[12:16] == packet[16:20] == bytes([127, 0, 0, 1])
    assert (checksum(packet[:20]), checksum(packet[20:])) == (0, 0)
    received = Sent(0, ADDRESS, ADDRESS, ICMP, packet[20:]).packet
    assert isinstance(received, Packet)
    assert is_self_test(received)


def test_the_link_address_is_read_from_the_kernel(tmp_path: Path) -> None:
    (tmp_path / "address").write_text("02:00:5e:10:00:ff\n")
    assert _link_address(tmp_path) == bytes.fromhex("02005e1000ff")


@pytest.mark.parametrize("text", [None, "", "no address\n"])
def test_a_link_without_an_address_has_an_empty_one(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "address").write_text(text)
    assert _link_address(tmp_path) == b""


class Capture:
    """Receives test packets on some interfaces, one with each call."""

    def __init__(self, *lines: str) -> None:
        self._lines: Iterator[str] = iter(lines)
        self.sent: list[set[str]] = []

    def send(self, names: Iterable[str]) -> None:
        self.sent.append(set(names))

    def wait(self, timeout_seconds: float) -> None:
        assert timeout_seconds > 0

    def read(self) -> list[str]:
        return [line for line in [next(self._lines, "")] if line]


def test_an_interface_is_tried_until_its_packet_arrives() -> None:
    (foreign,) = syn(SCANNER, 23)
    capture = Capture(foreign.line, "not a line of tshark", arrived("eth1"), arrived("eth0"))
    assert unreached(capture, ["eth0", "eth1"], capture.send) == []
    assert capture.sent == [*[{"eth0", "eth1"}] * 3, {"eth0"}]


def test_a_packet_on_any_interface_reaches_a_capture_on_all() -> None:
    capture = Capture(arrived("lo"))
    assert unreached(capture, ["any"], capture.send) == []


def test_an_interface_without_its_packet_is_named() -> None:
    capture = Capture(arrived("eth1"))
    assert unreached(capture, ["eth1", "eth0"], capture.send, hurried()) == ["eth0"]


def reported(log: Path, reason: SensorReason, at: float = FAR_SECONDS) -> None:
    log.write_bytes(log_lines([status_event(Pipeline(strict(), US), micros(at), "running", reason)])[0])


def test_a_sensor_receives_if_its_log_reports_it_later(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert sensor_receives(log, ["eth0"], lambda _names: reported(log, "self_test"))


@pytest.mark.parametrize(("reason", "at"), [("none", FAR_SECONDS), ("self_test", 0)])
def test_an_older_or_other_line_is_no_report(tmp_path: Path, reason: SensorReason, at: float) -> None:
    log = tmp_path / "log"
    assert not sensor_receives(log, ["eth0"], lambda _names: reported(log, reason, at), hurried())


def test_without_a_log_no_sensor_receives(tmp_path: Path) -> None:
    assert not sensor_receives(tmp_path / "none", ["eth0"], lambda _names: None, hurried())
