"""Captures made to deceive, through the real tshark: the replay gives lines or a sentence, and ends."""

import gzip
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.fuzz.captures import check_file, traffic
from tests.support import pcap
from tests.support.build import SCANNER, SCANNER6, Sent, icmp_unreachable, refused, syn, udp, write_pcap, write_pcapng
from tests.support.needs import require_tool

HEADER = pcap.head()
FRAME = syn(SCANNER, 22)[0].frame
SECOND = 1_700_000_000


@pytest.fixture(autouse=True)
def _tshark() -> None:
    require_tool("tshark")


def record(frame: bytes, held: int | None = None, long: int | None = None, second: int = SECOND) -> bytes:
    """A record of a pcap file, with lengths that may be lies."""
    sizes = (len(frame) if held is None else held, len(frame) if long is None else long)
    return struct.pack("<IIII", second, 0, *sizes) + frame


def block(kind: int, body: bytes, length: int | None = None, trailer: int | None = None) -> bytes:
    """A block of a pcapng file, with lengths that may be lies."""
    honest = 12 + len(body)
    ends = [struct.pack("<I", honest if one is None else one) for one in (length, trailer)]
    return struct.pack("<I", kind) + ends[0] + body + ends[1]


def option(code: int, content: bytes, length: int | None = None) -> bytes:
    size = len(content) if length is None else length
    return struct.pack("<HH", code, size) + content + b"\0" * (-len(content) % 4)


SECTION = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
END = option(0, b"")


def interface(*options: bytes, link: int = 1, snap: int = 65_535) -> bytes:
    return block(1, struct.pack("<HHI", link, 0, snap) + b"".join(options) + (END if options else b""))


def packet(frame: bytes = FRAME, nth: int = 0, held: int | None = None, micros: int = SECOND * 10**6) -> bytes:
    """A packet of a pcapng file, of its nth interface."""
    sizes = (len(frame) if held is None else held, len(frame))
    padded = frame + b"\0" * (-len(frame) % 4)
    return block(6, struct.pack("<IIIII", nth, micros >> 32, micros & 0xFFFFFFFF, *sizes) + padded)


LENGTHS = (0, 1, 15, 0xFFFF, 262_145, 0x7FFFFFFF, 0xFFFFFFFF)
HOSTILE: dict[str, bytes] = {
    **{f"pcap record that holds {one:#x}": HEADER + record(FRAME, held=one) + record(FRAME) for one in LENGTHS},
    **{f"pcap packet said to be {one:#x} long": HEADER + record(FRAME, long=one) * 5 for one in LENGTHS},
    **{
        f"pcap with the snap length {one:#x}": HEADER[:16] + struct.pack("<II", one, 1) + record(FRAME) * 5
        for one in LENGTHS
    },
    **{
        f"pcap of the link type {one}": HEADER[:20] + struct.pack("<I", one) + record(FRAME) * 5
        for one in (0, 2, 12, 101, 105, 113, 127, 147, 187, 195, 220, 228, 229, 276, 0xFFFF, 0xFFFFFFFF)
    },
    **{
        f"pcap of the year {year}": HEADER + record(FRAME, second=second) * 9
        for year, second in (("1970", 0), ("2106", 0xFFFFFFFF))
    },
    **{
        f"pcapng block of length {one:#x}": SECTION
        + interface()
        + packet()
        + block(6, bytes(20), length=one)
        + packet()
        for one in LENGTHS
    },
    **{
        f"pcapng trailer {one:#x}": SECTION + interface() + block(5, bytes(8), trailer=one) + packet()
        for one in LENGTHS
    },
    **{f"pcapng packet that holds {one:#x}": SECTION + interface() + packet(held=one) + packet() for one in LENGTHS},
    **{
        f"pcapng packet of interface {one:#x}": SECTION + interface() + packet(nth=one) + packet()
        for one in LENGTHS[1:]
    },
    **{
        f"pcapng option of length {one:#x}": SECTION + interface(option(2, b"eth0", length=one)) + packet()
        for one in (0, 1, 5, 0x7FFF, 0xFFFF)
    },
    **{
        f"pcapng with the time unit {one:#x}": SECTION
        + interface(option(9, bytes([one])))
        + packet(micros=(1 << 64) - 1)
        + packet()
        for one in (0, 1, 9, 12, 20, 127, 128, 160, 191, 255)
    },
    **{
        f"pcapng with the time offset {one}": SECTION + interface(option(14, struct.pack("<q", one))) + packet() * 9
        for one in (-(1 << 63), -SECOND - 1, 253_402_300_799 - SECOND, 253_402_300_800 - SECOND, (1 << 63) - 1)
    },
    **{
        f"pcapng with an interface called {name!r}": SECTION + interface(option(2, name)) + packet() * 9
        for name in (b"\x1b[31m", b'a"b', b"a\tb", b"a\nb", b"\xff\xfe", b"x" * 4000, "\u202e".encode(), b"a,b")
    },
    "pcapng with five thousand interfaces": SECTION
    + b"".join(interface(option(2, b"%04d" % nth + b"x" * 40)) for nth in range(5_000))
    + b"".join(packet(nth=nth) for nth in range(5_000)),
    "pcapng with as many sections": (SECTION + interface() + packet()) * 500,
    "pcapng of the other byte order": SECTION[:8] + SECTION[8:12][::-1] + SECTION[12:] + interface() + packet(),
    "nothing but a magic number": HEADER[:4],
    "gzip of nothing": gzip.compress(b"", mtime=0),
    "gzip of gzip": gzip.compress(gzip.compress(HEADER + record(FRAME) * 5, mtime=0), mtime=0),
    "gzip with the wrong sum": gzip.compress(HEADER + record(FRAME) * 5, mtime=0)[:-8] + bytes(8),
    "escape sequences": b"\x1b[31m\x9b2J\n" * 100,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_gives_lines_or_a_sentence(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(HOSTILE[name])
    check_file(path)


def short() -> list[Sent]:
    """Two probes, one answered, of each family."""
    return refused(syn(SCANNER, 22), syn(SCANNER6, 22))


FORMATS: dict[str, Callable[[Path], bytes]] = {
    "pcap": lambda path: write_pcap(path, short()).read_bytes(),
    "pcapng": lambda path: write_pcapng(path, "eth0", short()).read_bytes(),
    "gzip": lambda path: gzip.compress(write_pcap(path, short()).read_bytes(), mtime=0),
}
# Each costs a run of tshark: of the lengths of a file every one is tried by one run in `STEP`.
STEP = 17
# A shorter piece is no capture: tshark shows a byte as a packet of its own.
HEADER_BYTES = 24


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS)
def test_a_file_may_end_anywhere(form: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    whole = FORMATS[form](path)
    counts = []
    for length in [*range(HEADER_BYTES, len(whole), STEP), len(whole)]:
        path.write_bytes(whole[:length])
        counts.append(check_file(path))
    # Not one more with each: of some pieces, tshark takes the format for another.
    assert max(counts) == counts[-1] == len(short())


def cut_frames() -> Iterator[tuple[bytes, int]]:
    """Each kind of packet, ending after each of its bytes, and how long it is said to have been."""
    asked = udp(SCANNER, 9)[0]
    tagged = [Sent(one.time_us, one.src, one.dst, one.proto, one.payload, vlan=7) for one in (asked, *udp(SCANNER6, 9))]
    for sent in (*traffic(), *tagged, icmp_unreachable(icmp_unreachable(asked))):
        frame = sent.frame
        for length in range(len(frame) + 1):
            yield frame[:length], length
            yield frame[:length], len(frame)


def test_a_packet_may_end_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    frames = list(cut_frames())
    path.write_bytes(HEADER + b"".join(record(frame, long=long) for frame, long in frames))
    assert check_file(path) == len(frames)


def test_every_byte_of_a_packet_may_be_another(tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    frames = [
        frame[:at] + bytes([other]) + frame[at + 1 :]
        for frame in (one.frame for one in traffic())
        for at in range(len(frame))
        for other in (0, 0xFF, frame[at] ^ 1, frame[at] ^ 0x80, 0x7F)
    ]
    path.write_bytes(HEADER + b"".join(map(record, frames)))
    assert check_file(path) == len(frames)


def bomb(path: Path, pieces: int, first: bytes = HEADER) -> Path:
    """Mebibytes of zeros behind a header, in a thousandth of the room."""
    with gzip.open(path, "wb") as file:
        file.write(first)
        for _ in range(pieces):
            file.write(bytes(1 << 20))
    return path


def test_a_gzip_bomb_of_empty_packets_is_left_at_its_bound(tmp_path: Path) -> None:
    """Sixteen zeros are a record without a packet: these would be two million."""
    path = bomb(tmp_path / "x.pcap.gz", 32)
    assert path.stat().st_size < 50_000
    assert 500_000 <= check_file(path) < 1_500_000


def test_a_gzip_bomb_without_packets_ends(tmp_path: Path) -> None:
    size = 15 << 20  # tshark's own bound for a block is 16 MiB
    unknown = struct.pack("<II", 0x0BAD, size)
    path = bomb(tmp_path / "x.pcapng.gz", 200, SECTION + interface() + unknown)
    assert path.stat().st_size < 300_000
    assert check_file(path) == 0
