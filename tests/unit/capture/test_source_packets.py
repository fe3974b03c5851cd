"""The real tshark and pyshark over capture files: the packets of one source, bounded, whatever they hold."""

import gzip
import os
import shlex
import sys
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path

import pytest

from portsentry_py.capture import source_packets
from portsentry_py.capture.source_packets import PacketReader, SourcePackets, display_filter
from portsentry_py.capture.toolchain import Tools
from portsentry_py.core.packet import ACK, PSH
from portsentry_py.errors import CaptureError, InputError
from portsentry_py.events.model import utc
from portsentry_py.privsep.sandbox import available
from tests.support import pcap
from tests.support.build import (
    FRIEND,
    HOST,
    HOST6,
    SCANNER,
    SCANNER6,
    SECOND_US,
    START_US,
    Sent,
    in_tunnel,
    micros,
    ping,
    refused,
    syn,
    tcp,
    udp,
    visit,
    write_pcap,
    write_pcapng,
)
from tests.support.needs import unsupported
from tests.support.programs import write_program
from tests.support.refused_calls import refusing

Read = Callable[..., SourcePackets]


@pytest.fixture
def read(tools: Tools) -> Read:
    def reader(*paths: Path, source: str = SCANNER, most: int = 50, seconds: float = 100.0) -> SourcePackets:
        wanted = display_filter(ip_network(source), None)
        return PacketReader(tools, wanted, most, progress=lambda _path, _packets: None, longest_seconds=seconds).read(
            paths
        )

    return reader


def test_the_filter_names_an_address_a_network_and_a_time() -> None:
    assert display_filter(ip_network(SCANNER), None) == f"ip.addr == {SCANNER}"
    assert display_filter(ip_network("2001:db8::/64"), None) == "ipv6.addr == 2001:db8::/64"
    span = display_filter(ip_network(SCANNER), (1_700_000_000_000_001, 1_700_000_060_000_000))
    assert span.endswith("&& frame.time_epoch >= 1700000000.000001 && frame.time_epoch <= 1700000060.000000")


def test_packets_from_and_to_the_source_are_dissected(read: Read, tmp_path: Path) -> None:
    file = write_pcap(tmp_path / "x.pcap", refused(syn(SCANNER, 22)), visit(FRIEND, 80), [ping(SCANNER, HOST, at=9)])
    found = read(file)
    probe, refusal, echo = found.packets
    assert (probe.src_ip, probe.src_port, probe.dest_ip, probe.dest_port) == (SCANNER, 40_000, HOST, 22)
    assert (probe.protocol, probe.flags, probe.ttl, probe.window) == ("tcp", "SYN", 64, 1024)
    assert probe.timestamp == utc(micros(0))
    assert (refusal.dest_ip, refusal.flags) == (SCANNER, "RST ACK")
    assert (echo.protocol, echo.flags, echo.src_port) == ("icmp", "type 8/0", None)
    assert (found.more, found.notes) == (False, [])


def test_a_network_of_ipv6_is_one_source(read: Read, tmp_path: Path) -> None:
    neighbour = SCANNER6.replace("::9", "::77")
    file = write_pcapng(tmp_path / "x.pcapng", "eth0", syn(SCANNER6, 22), syn(neighbour, 23))
    found = read(file, source=str(ip_network(SCANNER6).supernet(new_prefix=64)))
    assert [(packet.src_ip, packet.dest_ip) for packet in found.packets] == [(SCANNER6, HOST6), (neighbour, HOST6)]


def test_an_address_inside_a_tunnel_is_not_the_source(read: Read, tmp_path: Path) -> None:
    file = write_pcap(tmp_path / "x.pcap", [in_tunnel(syn(SCANNER, 22)[0], FRIEND)])
    assert read(file).packets == []
    assert len(read(file, source=FRIEND).packets) == 1


def test_no_more_packets_are_read_than_asked_for(read: Read, tmp_path: Path) -> None:
    """A source with very many packets costs no more time and memory than one with a few."""
    (probe,) = syn(SCANNER, 22)
    file = pcap.write(tmp_path / "x.pcap", ((START_US + number, probe.frame) for number in range(200_000)))
    found = read(file, most=5)
    assert [packet.timestamp for packet in found.packets] == [utc(START_US + number) for number in range(5)]
    assert (found.more, found.notes) == (True, [])


def test_several_files_are_read_in_order_until_there_are_enough(read: Read, tmp_path: Path) -> None:
    first = write_pcap(tmp_path / "1.pcap", syn(SCANNER, 1, 2))
    last = tmp_path / "2.pcap.gz"
    last.write_bytes(gzip.compress(write_pcap(tmp_path / "2.pcap", syn(SCANNER, 3, 4)).read_bytes()))
    assert [packet.dest_port for packet in read(first, last).packets] == [1, 2, 3, 4]
    found = read(first, last, most=3)
    assert ([packet.dest_port for packet in found.packets], found.more) == ([1, 2, 3], True)
    assert not read(first, last, most=4).more
    read(first, Path("/nonexistent"), most=1)


def test_a_reading_that_takes_too_long_ends_with_a_note(read: Read, tmp_path: Path) -> None:
    found = read(write_pcap(tmp_path / "x.pcap", syn(SCANNER, 22)), seconds=0)
    assert "took too long" in found.notes[0]


def test_a_damaged_capture_is_read_up_to_the_damage(read: Read, tmp_path: Path) -> None:
    file = write_pcap(tmp_path / "x.pcap", syn(SCANNER, 22, 23))
    os.truncate(file, file.stat().st_size - 3)
    found = read(file)
    assert [packet.dest_port for packet in found.packets] == [22]
    assert "what came before the damage was read" in found.notes[0]


@pytest.mark.parametrize(("content", "words"), [(b"", "empty"), (b"no capture at all", "give a pcap or pcapng file")])
def test_what_is_no_capture_is_refused(read: Read, tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(InputError, match=words):
        read(tmp_path / "x")


HOSTILE = [
    pytest.param(
        tcp(SCANNER, HOST, 4000, 80, PSH | ACK, data=b"GET /</field></packet>\n<packet>\x1b[2J HTTP/1.1\r\n\r\n"),
        id="http-xml",
    ),
    pytest.param(udp(SCANNER, 9999, data=b"\x1b]0;title\x07" * 3000)[0], id="long-payload"),
    pytest.param(udp(SCANNER, 9999, data=b"\0\xff\xfe")[0], id="no-text"),
    pytest.param(tcp(SCANNER, HOST, 4000, 22, 0xFF), id="all-flags"),
    pytest.param(Sent(START_US, SCANNER, HOST, 6, b"\0\1"), id="cut-header"),
    pytest.param(Sent(START_US, SCANNER, HOST, 253, b"x"), id="unknown-protocol"),
]


@pytest.mark.parametrize("sent", HOSTILE)
def test_each_packet_is_one_row_whatever_it_holds(read: Read, tmp_path: Path, sent: Sent) -> None:
    found = read(write_pcap(tmp_path / "x.pcap", [sent], syn(SCANNER, 7, at=1)))
    assert [packet.src_ip for packet in found.packets] == [SCANNER, SCANNER]
    assert found.packets[1].dest_port == 7
    assert len(found.packets[0].text) <= 100


def test_a_packet_that_dissects_into_megabytes_is_counted_and_left_out(read: Read, tmp_path: Path) -> None:
    """A name of DNS can point to itself from thousands of questions, and each of them is dissected."""
    bomb = b"\0\1\1\0" + b"\xff" * 8 + b"\xc0\x0c" * 30_000
    found = read(write_pcap(tmp_path / "x.pcap", udp(SCANNER, 53, data=bomb), syn(SCANNER, 7, at=1)))
    assert [packet.dest_port for packet in found.packets] == [7]
    assert found.notes == [f"{tmp_path / 'x.pcap'}: packets that pyshark cannot dissect: 1."]


def test_a_time_beyond_every_calendar_does_no_harm(read: Read, tmp_path: Path) -> None:
    (probe,) = syn(SCANNER, 22)
    found = read(pcap.write(tmp_path / "x.pcap", [(0xFFFF_FFFF * SECOND_US, probe.frame), (START_US, probe.frame)]))
    assert utc(START_US) in [packet.timestamp for packet in found.packets]


def test_a_sandbox_that_cannot_start_is_named_as_the_cause(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "seccomp" not in available():
        unsupported("without libseccomp nothing can refuse the call")
    python = shlex.join(refusing([sys.executable], "landlock_create_ruleset:EPERM"))
    fake = write_program(tmp_path / "python", f'#!/bin/sh\nexec {python} "$@"\n')
    file = write_pcap(tmp_path / "x.pcap", syn(SCANNER, 22))
    monkeypatch.setattr(sys, "executable", str(fake))
    with pytest.raises(CaptureError, match="cannot be confined"):
        read(file)


def test_a_pyshark_beside_the_package_is_found(read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyshark.py").write_text("raise ImportError('the private one')\n", encoding="utf-8")
    file = write_pcap(tmp_path / "x.pcap", syn(SCANNER, 22))
    monkeypatch.setattr(source_packets, "_PRIVATE", tmp_path)
    with pytest.raises(CaptureError, match=r"pyshark does not run .*the private one"):
        read(file)
