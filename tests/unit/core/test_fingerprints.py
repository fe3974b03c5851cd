"""Scanners are recognized by what they write into the headers."""

import struct
from typing import get_args

import pytest

from portsentry_py.core.fingerprints import FINGERPRINTS, tool_of
from portsentry_py.core.packet import ACK, FIN, ICMP, PSH, RST, SYN, TCP, UDP, URG, Packet
from portsentry_py.events.model import Tool
from tests.support.build import (
    HOST,
    HOST6,
    MSS_OPTION,
    SCANNER,
    SCANNER6,
    STACK_OPTIONS,
    connect,
    scans,
    strict,
    syn,
    watch,
)

HOST_NUMBER = 0xC000020A  # 192.0.2.10
UNICORNSCAN_OPTIONS = MSS_OPTION + b"\4\2\x08\x0a" + bytes(8) + b"\1\3\3\0"


def segment(
    *,
    flags: int = SYN,
    seq: int = 0x1234_5678,
    window: int = 1024,
    options: bytes = b"",
    ip_id: int = 0x1111,
    dest_port: int = 22,
    src: str = SCANNER,
    dst: str = HOST,
) -> Packet:
    """A TCP first packet with these header fields."""
    head = Packet(0, src, dst, TCP, 40_000, dest_port, flags, seq, window=window, ttl=50, ip_id=ip_id)
    return head._replace(header_bytes=20 + len(options), options=options)


REAL = {
    "mirai": [
        segment(seq=HOST_NUMBER, window=14_600, dest_port=23),
        segment(seq=HOST_NUMBER, window=5840, dest_port=2323),
    ],
    "zmap": [
        segment(ip_id=54_321, window=65_535),
        segment(ip_id=54_321, window=65_535, options=MSS_OPTION),
        Packet(0, SCANNER, HOST, ICMP, 8, 0, ip_id=54_321),
        Packet(0, SCANNER, HOST, UDP, 40_000, 53, ip_id=54_321),
    ],
    "masscan": [
        segment(ip_id=(HOST_NUMBER ^ 22 ^ 0x1234_5678) & 0xFFFF, window=1024),
        segment(ip_id=(HOST_NUMBER ^ 443 ^ 7) & 0xFFFF, dest_port=443, seq=7, options=MSS_OPTION),
    ],
    "nmap": [
        segment(window=1024, options=MSS_OPTION),
        segment(window=4096, options=MSS_OPTION),
        segment(window=1024, options=MSS_OPTION, src=SCANNER6, dst=HOST6, ip_id=0),
        segment(flags=FIN),
        segment(flags=0),
        segment(flags=FIN | PSH | URG, window=3072),
        segment(flags=URG),
        segment(flags=FIN | RST),
        segment(flags=SYN | FIN, options=MSS_OPTION),
        segment(flags=0xFF, options=MSS_OPTION),
    ],
    "unicornscan": [segment(window=16_384, options=UNICORNSCAN_OPTIONS)],
    "hping3": [segment(window=512), segment(window=512, flags=FIN), segment(window=512, flags=FIN | PSH | URG)],
}
CASES = [(name, packet) for name, packets in REAL.items() for packet in packets]


@pytest.mark.parametrize(("name", "packet"), CASES)
def test_a_scanner_is_known_by_its_headers(name: str, packet: Packet) -> None:
    assert tool_of(packet) == name


@pytest.mark.parametrize(("name", "rule"), [(name, rule) for name, rule, _ in FINGERPRINTS])
def test_no_rule_matches_a_packet_of_a_later_tool(name: str, rule: object) -> None:
    """The first rule that matches names the tool: masscan can send nmap's window and option."""
    assert callable(rule)
    names: list[str] = [name for name, _, _ in FINGERPRINTS]
    later = [packet for other, packet in CASES if names.index(other) > names.index(name)]
    assert not [packet for packet in later if rule(packet)]


# Window and options of first packets of ordinary systems.
STACKS = {
    "linux": (64_240, STACK_OPTIONS),
    "linux, old": (29_200, STACK_OPTIONS),
    "windows": (64_240, bytes.fromhex("020405b40103030801010402")),
    "macos": (65_535, bytes.fromhex("020405b4010303060101080a0000000100000000040200 00")),
    "freebsd": (65_535, bytes.fromhex("020405b4010303060402080a0000000100000000")),
    "embedded": (5840, MSS_OPTION),
    "embedded, small": (2920, MSS_OPTION),
    "lwip": (2144, bytes.fromhex("02040218")),
}


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("flags", [SYN, SYN | 0xC0])
def test_an_operating_system_is_no_scanner(stack: str, flags: int) -> None:
    window, options = STACKS[stack]
    assert tool_of(segment(window=window, options=options, flags=flags)) is None


@pytest.mark.parametrize(
    "packet",
    [
        segment(window=1024, options=b""),
        segment(window=1025, options=MSS_OPTION),
        segment(window=1024, options=bytes.fromhex("020405dc")),
        segment(window=1024, options=MSS_OPTION, flags=SYN | ACK),
        segment(flags=FIN | ACK),
        segment(window=16_383, options=UNICORNSCAN_OPTIONS),
        segment(window=16_384, options=MSS_OPTION),
        segment(window=512, options=MSS_OPTION),
        segment(ip_id=54_320, window=65_535),
        segment(seq=0, ip_id=0, window=65_535),
        Packet(0, SCANNER, HOST, UDP, 40_000, 53, ip_id=7),
        Packet(0, SCANNER, HOST, ICMP, 8, 0),
        Packet(0, SCANNER6, HOST6, UDP, 40_000, 53),
        Packet(0, SCANNER, HOST, 47),
    ],
)
def test_an_unknown_tool_has_no_name(packet: Packet) -> None:
    assert tool_of(packet) is None


def test_ipv6_has_neither_identification_nor_an_address_of_32_bits() -> None:
    for window in (1024, 5840):
        assert tool_of(segment(src=SCANNER6, dst=HOST6, seq=0, ip_id=0, window=window)) is None
    assert tool_of(segment(src=SCANNER6, dst=HOST6, seq=HOST_NUMBER, ip_id=0, window=5840)) is None


def test_the_words_of_the_line_are_those_of_the_table() -> None:
    names: list[str] = [name for name, _, _ in FINGERPRINTS]
    assert set(names) == set(get_args(Tool)) == set(REAL)
    assert all(source for _, _, source in FINGERPRINTS)


def test_the_line_names_the_tool_that_half_of_the_probes_are_from() -> None:
    (scan,) = scans(watch(strict(), syn(SCANNER, 100, 200, 300, 400)))
    assert scan.tool == "nmap"
    (scan,) = scans(watch(strict(), syn(SCANNER, 100), connect(SCANNER, 200, 300, 400, at=1)))
    assert scan.tool is None


def test_masscan_is_recognized_by_the_packet_on_the_wire() -> None:
    """The fingerprint ties address, port, sequence number and identification of the packet as it came."""
    probes = []
    for port in (100, 200, 300, 400):
        (probe,) = syn(SCANNER, port, options=b"", seq=99)
        (low,) = struct.unpack("!H", struct.pack("!I", HOST_NUMBER ^ port ^ 99)[2:])
        probes.append(type(probe)(**{**vars(probe), "ip_id": low}))
    (scan,) = scans(watch(strict(), probes))
    assert scan.tool == "masscan"
