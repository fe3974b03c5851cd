"""Every probe has the ports, the number, the flags and the checksum that its method wants."""

import sys
from importlib import import_module

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.sctp import SCTP, SCTPChunkInit
from scapy.packet import Packet

from portsentry_py.checks.scan.model import Method, Target
from portsentry_py.checks.scan.probes import probes_of
from portsentry_py.errors import LibraryMissing

V4 = Target("10.0.0.2", bytes([10, 0, 0, 2]), "10.0.0.1")
V6 = Target("fd00::2", b"\xfd" + bytes(14) + b"\x02", "fd00::1")
FLAGS: dict[Method, str] = {
    "syn": "S",
    "null": "",
    "fin": "F",
    "xmas": "FPU",
    "maimon": "FA",
    "ack": "A",
    "window": "A",
}
WITH_PAYLOAD = (53, 111, 123, 137, 161, 520, 1900, 3478, 5353)
PORTS, NUMBERS = st.integers(1, 65_535), st.integers(1, 0xFFFFFFFF)


def read(target: Target, probe: bytes, kind: type[Packet]) -> tuple[Packet, Packet]:
    """The probe, and the same with a checksum by scapy."""
    header = IP if target.is_ipv4 else IPv6
    packet: Packet = header(src=target.source, dst=target.address) / kind(probe)
    again: Packet = packet.copy()
    del again[kind].chksum
    return packet[kind], header(bytes(again))[kind]


@pytest.mark.parametrize("target", [V4, V6])
@pytest.mark.parametrize("method", FLAGS)
@given(port=PORTS, source_port=PORTS, number=NUMBERS)
def test_a_segment(target: Target, method: Method, port: int, source_port: int, number: int) -> None:
    segment, right = read(target, probes_of(method, target)(port, source_port, number), TCP)
    assert (segment.dport, segment.sport, segment.seq) == (port, source_port, number)
    assert str(segment.flags) == FLAGS[method]
    assert segment.ack == (number if "A" in FLAGS[method] else 0)
    assert segment.chksum == right.chksum


@pytest.mark.parametrize("target", [V4, V6])
@given(port=PORTS | st.sampled_from(WITH_PAYLOAD), source_port=PORTS)
def test_a_datagram(target: Target, port: int, source_port: int) -> None:
    datagram, right = read(target, probes_of("udp", target)(port, source_port, 1), UDP)
    assert (datagram.dport, datagram.sport) == (port, source_port)
    assert datagram.chksum == right.chksum != 0
    assert bool(datagram.payload) == (port in WITH_PAYLOAD)


@given(port=PORTS, source_port=PORTS, number=NUMBERS)
def test_an_init(port: int, source_port: int, number: int) -> None:
    init, right = read(V4, probes_of("sctp-init", V4)(port, source_port, number), SCTP)
    assert (init.dport, init.sport, init.tag, init[SCTPChunkInit].init_tag) == (port, source_port, 0, number)
    assert init.chksum == right.chksum


def test_without_scapy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scapy.layers.dns", None)
    monkeypatch.delitem(sys.modules, "portsentry_py.checks.scan.probes")
    with pytest.raises(LibraryMissing, match=r"pip install 'portsentry-py\[scan\]'"):
        import_module("portsentry_py.checks.scan.probes")
