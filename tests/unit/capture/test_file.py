"""The real tshark over capture files of our own."""

import gzip
import os
import subprocess
from collections.abc import Generator
from pathlib import Path

import psutil
import pytest

from portsentry_py.capture.file import DamagedCapture, replay_lines
from portsentry_py.capture.toolchain import Tools
from portsentry_py.core.decode import decode
from portsentry_py.core.packet import Packet
from portsentry_py.errors import CaptureError, InputError
from tests.support.build import (
    HOST6,
    SCANNER,
    SCANNER6,
    Sent,
    connect,
    icmp_unreachable,
    rst,
    syn,
    udp,
    write_pcap,
    write_pcapng,
    xmas,
)
from tests.support.needs import require_tool
from tests.support.programs import fake_capture_tools

SIZE_OF_HEADER = 24


def traffic() -> list[Sent]:
    """One of each kind, so that builder, tshark and decode are held together."""
    return [
        *syn(SCANNER, 22, 23),
        rst(syn(SCANNER, 22)[0]),
        *connect(SCANNER6, 443),
        *xmas(SCANNER, 80, at=1),
        *udp(SCANNER6, 161, at=2),
        icmp_unreachable(udp(SCANNER, 162, at=3)[0]),
        icmp_unreachable(udp(SCANNER6, 161, at=3)[0]),
        *syn(SCANNER, 25, vlan=7, at=4),
    ]


def read(tools: Tools, path: Path) -> list[Packet]:
    found = [decode(text) for lines in replay_lines(tools, path) for text in lines]
    packets = [packet for packet in found if isinstance(packet, Packet)]
    assert len(packets) == len(found)
    return packets


def test_packets_come_as_they_were_sent(tools: Tools, tmp_path: Path) -> None:
    assert read(tools, write_pcap(tmp_path / "x.pcap", traffic())) == [sent.packet for sent in traffic()]


def test_pcapng_tells_its_interface(tools: Tools, tmp_path: Path) -> None:
    packets = read(tools, write_pcapng(tmp_path / "x.pcapng", "eth7", traffic()))
    assert [packet._replace(in_iface="") for packet in packets] == [sent.packet for sent in traffic()]
    assert {packet.in_iface for packet in packets} == {"eth7"}


def test_editcap_agrees_about_our_files(tools: Tools, tmp_path: Path) -> None:
    source, made = write_pcap(tmp_path / "x.pcap", traffic()), tmp_path / "made.pcapng"
    command = [require_tool("editcap"), "-F", "pcapng", str(source), str(made)]
    subprocess.run(command, check=True, capture_output=True)
    assert [packet._replace(in_iface="") for packet in read(tools, made)] == read(tools, source)


def test_gzip_is_read(tools: Tools, tmp_path: Path) -> None:
    path = tmp_path / "x.pcap.gz"
    path.write_bytes(gzip.compress(write_pcap(tmp_path / "x.pcap", traffic()).read_bytes()))
    assert len(read(tools, path)) == len(traffic())


@pytest.mark.parametrize("name", ["-w", "--help.pcap", "-r -.pcap", "a b.pcap", 'q"uote.pcap', "ümläut.pcap"])
def test_any_name_will_do(tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    write_pcap(tmp_path / name, syn(SCANNER, 22))
    monkeypatch.chdir(tmp_path)
    assert len(read(tools, Path(name))) == 1


def until_damage(tools: Tools, path: Path) -> tuple[list[str], str]:
    """The lines before the damage, and the message about it."""
    some: list[list[str]] = []
    with pytest.raises(DamagedCapture) as caught:
        some.extend(replay_lines(tools, path))  # what came before stays in the list
    return [line for lines in some for line in lines], str(caught.value)


@pytest.mark.parametrize("kept", [-1, -40, SIZE_OF_HEADER + 16 + 20])
def test_a_capture_that_breaks_off_is_read_up_to_there(tools: Tools, tmp_path: Path, kept: int) -> None:
    whole = write_pcap(tmp_path / "whole.pcap", syn(SCANNER, *range(1, 51))).read_bytes()
    path = tmp_path / "cut.pcap"
    path.write_bytes(whole[:kept])
    lines, sentence = until_damage(tools, path)
    assert len(lines) == (49 if kept < 0 else 0)
    assert sentence.startswith(f"{path}: ")
    assert sentence.endswith("; what came before the damage was read.")


def test_a_cut_gzip_is_read_up_to_there(tools: Tools, tmp_path: Path) -> None:
    whole = write_pcap(tmp_path / "whole.pcap", syn(SCANNER, *range(1, 5001))).read_bytes()
    path = tmp_path / "cut.pcap.gz"
    path.write_bytes(gzip.compress(whole)[:-500])
    lines, _ = until_damage(tools, path)
    assert 0 < len(lines) < 5000


def test_a_capture_without_packets_is_fine(tools: Tools, tmp_path: Path) -> None:
    assert read(tools, write_pcap(tmp_path / "x.pcap")) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"\x0a\x0d", "the file is too short"),
        (b"hello, this is text\n" * 50, "pcap"),
        (bytes(range(1, 250)), "give a pcap or pcapng file"),
    ],
)
def test_what_is_no_capture_is_refused(tools: Tools, tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        list(replay_lines(tools, path))
    assert not isinstance(caught.value, DamagedCapture)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_missing_capture_is_told(tools: Tools, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        list(replay_lines(tools, tmp_path / "none.pcap"))


def test_a_directory_is_no_capture(tools: Tools, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="this is no file"):
        list(replay_lines(tools, tmp_path))


def test_a_named_pipe_is_refused_at_once(tools: Tools, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="this is no file"):
        list(replay_lines(tools, pipe))


def test_a_name_with_control_characters_is_shown_without_them(tools: Tools, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        list(replay_lines(tools, tmp_path / "a\x1b[31m\nb"))
    assert str(caught.value).isprintable()


def test_reading_that_is_given_up_leaves_no_process(tools: Tools, tmp_path: Path) -> None:
    path = write_pcap(tmp_path / "x.pcap", syn(SCANNER, *range(1, 20_000)))
    before = psutil.Process().children()
    reading = replay_lines(tools, path)
    next(reading)
    assert isinstance(reading, Generator)
    reading.close()
    assert psutil.Process().children() == before


def test_an_interface_may_have_any_name(tools: Tools, tmp_path: Path) -> None:
    packets = read(tools, write_pcapng(tmp_path / "x.pcapng", "wlän0", syn(SCANNER6, 22, dst=HOST6)))
    assert [packet.dest_port for packet in packets] == [22]


@pytest.mark.parametrize("script", ["exit 1", "exit 127"])
def test_a_tshark_that_is_broken_is_not_blamed_on_the_file(tmp_path: Path, script: str) -> None:
    file = write_pcap(tmp_path / "x.pcap", traffic())
    with pytest.raises(CaptureError, match="cannot tell its version; reinstall"):
        list(replay_lines(fake_capture_tools(tmp_path, script), file))
