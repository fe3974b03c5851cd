"""The words of tshark 3.6 have the numbers that tshark means."""

import subprocess
from pathlib import Path

from portsentry_py.capture.file import replay_lines
from portsentry_py.capture.toolchain import find_tools
from portsentry_py.core.decode import decode
from portsentry_py.core.packet import Packet
from portsentry_py.core.tshark36 import NUMBERS, numbers_of
from tests.support.build import HOST, SCANNER, Sent, write_pcap
from tests.support.needs import require_tool

# IPv6 extension headers, which tshark removes, and protocols with addresses of their own.
_OTHERS = {0, 43, 44, 51, 60} | {83, 93, 97, 143}
_NAMELESS = {*range(144, 224)} - {173}


def test_each_word_has_its_number_and_no_other_has() -> None:
    numbers = [int(number) for number in NUMBERS.values()]
    assert sorted(numbers) == [*range(144), 173, 224, 255]
    assert all(word == word.strip() and word and "," not in word for word in NUMBERS)


def test_a_column_of_words_is_one_of_numbers() -> None:
    assert numbers_of("Destination Options for IPv6,TCP") == ["60", "6"]
    assert numbers_of("IPIP,Generic Routing Encapsulation,UDP") == ["4", "47", "17"]
    assert numbers_of("Ethernet,Unassigned,225") == ["143", "255", "225"]


def test_an_unknown_word_stays() -> None:
    assert numbers_of("6") == ["6"]
    assert numbers_of("0,60,17") == ["0", "60", "17"]
    assert numbers_of("tcp, TCP,") == ["tcp", " TCP", ""]


def test_the_words_are_those_of_tshark() -> None:
    """Newer versions have other words for a few numbers, and no word with another number."""
    command = [require_tool("tshark"), "-G", "values"]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    rows = (row.decode() for row in printed.splitlines() if row.startswith(b"V\tip.proto\t"))
    meant = {word: number for _, _, number, word in (row.split("\t") for row in rows)}
    both = meant.keys() & NUMBERS.keys() - {"Unassigned"}
    assert len(both) > 120
    assert {word: meant[word] for word in both} == {word: NUMBERS[word] for word in both}


def test_every_protocol_of_a_protocol_scan_is_decoded(tmp_path: Path) -> None:
    require_tool("tshark")
    protocols = sorted({*range(256)} - _OTHERS)
    tools, path = find_tools(), tmp_path / "scan.pcap"
    write_pcap(path, [Sent(nth, SCANNER, HOST, proto, b"R" * 20) for nth, proto in enumerate(protocols)])
    packets = [decode(line) for some in replay_lines(tools, path) for line in some]
    old = tools.version.startswith("3.")
    for proto, packet in zip(protocols, packets, strict=True):
        assert isinstance(packet, Packet), proto
        assert packet.proto == (255 if old and proto in _NAMELESS else proto)
