"""Target `captures`: any file that is given as a capture, through the real tshark; no coverage, and slow.

A replay gives lines as they must be, or one sentence about the file, and ends.
"""

import gzip
import struct
import tempfile
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random

from portsentry_py.capture.toolchain import Tools, find_tools
from portsentry_py.errors import InputError
from portsentry_py.sensor.replay import Replay
from tests.lab.fuzz.oracle import check_line, check_sentences, line_of
from tests.lab.fuzz.trial import Raw
from tests.support.build import (
    HOME,
    SCANNER,
    SCANNER6,
    Sent,
    icmp_unreachable,
    refused,
    strict,
    syn,
    udp,
    write_pcap,
    write_pcapng,
)
from tests.support.paths import CASES

_MOST_SEED_BYTES = 5_000
_RECORD = struct.Struct("<IIII")
_FILE_HEADER = 24


@cache
def tools() -> Tools:
    return find_tools()


def check(data: bytes) -> None:
    """Fail if the replay of this file is not as it must be."""
    with tempfile.TemporaryDirectory(prefix="portsentry-py-") as folder:
        path = Path(folder, "x")
        path.write_bytes(data)
        check_file(path)


def check_file(path: Path) -> int:
    """Fail if the replay of a file is not as it must be; gives the packets that were read."""
    player = Replay(strict(connections="all"), HOME.home, tools(), lambda _path, _packets: None)
    try:
        for event in player.events([path]):
            check_line(line_of(event))
    except InputError as error:
        check_sentences(str(error), 1)
    for sentence in player.summary.damage:
        check_sentences(sentence, 1)
    return player.summary.packets


def mutated(data: bytes, random: Random, raw: Raw) -> bytes:
    """Something else in a header or a frame, or cut, or packed; of a packed one, what is inside."""
    if data.startswith(b"\x1f\x8b") and random.random() < 3 / 4:
        try:
            return gzip.compress(raw(gzip.decompress(data)), mtime=0)
        except (OSError, EOFError, zlib.error):
            return raw(data)
    kind = random.randrange(6)
    if kind == 0:
        return data[: random.randrange(len(data) + 1)]
    if kind == 1:
        return gzip.compress(data, mtime=0)
    if kind == 2 and len(data) > _FILE_HEADER:
        # A link type: what follows is taken for something else altogether.
        return (
            data[:20]
            + struct.pack("<I", random.choice((0, 1, 12, 101, 105, 113, 127, 147, 195, 220, 276, 999)))
            + data[24:]
        )
    if kind == 3 and len(data) > _FILE_HEADER + 16:
        at = random.choice(list(_records(data)) or [_FILE_HEADER])
        lie = random.choice((0, 1, 13, 24, 33, 60, 65_535, 262_144, 262_145, 0x7FFFFFFF, 0xFFFFFFFF))
        where = at + random.choice((0, 4, 8, 12))
        return data[:where] + struct.pack("<I", lie) + data[where + 4 :]
    return raw(data)


def _records(data: bytes) -> Iterator[int]:
    at = _FILE_HEADER
    while at + _RECORD.size <= len(data):
        yield at
        at += _RECORD.size + _RECORD.unpack_from(data, at)[2]


def traffic() -> list[Sent]:
    asked = [*syn(SCANNER, 22, 23), *syn(SCANNER6, 22), *udp(SCANNER, 9), *udp(SCANNER6, 9)]
    return [*refused(asked[:3]), *asked[3:], *map(icmp_unreachable, asked[3:])]


def seeds() -> list[bytes]:
    """The smallest of the repository's own captures, and one of each format."""
    with tempfile.TemporaryDirectory() as folder:
        pcap = write_pcap(Path(folder, "a"), traffic()).read_bytes()
        pcapng = write_pcapng(Path(folder, "b"), "eth0", traffic()).read_bytes()
    own = [path.read_bytes() for path in sorted(CASES.glob("*/capture.pcap")) if path.stat().st_size < _MOST_SEED_BYTES]
    return [pcap, pcapng, gzip.compress(pcap, mtime=0), *own[:4]]
