"""A stand-in for dumpcap that hands over a capture file: `stream.py CAPTURE PROGRESS`.

PROGRESS holds how many bytes and packets of it are through.
"""

import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.lab.support.stand_in import hand_over, place_in
from tests.support import pcap

_BATCH = 500
_RECORD = struct.Struct("<IIII")


def through(progress: Path) -> tuple[int, int]:
    """How many bytes and packets are through."""
    return _numbers(place_in(progress))


def _numbers(place: str) -> tuple[int, int]:
    at, packets = map(int, (place or f"{len(pcap.head())} 0").split())
    return at, packets


def main(capture: Path, progress: Path) -> None:
    """Hand over the file, at each time whole records."""

    def batches(place: str) -> Iterator[tuple[bytes, str]]:
        at, packets = _numbers(place)
        with capture.open("rb", buffering=1 << 20) as file:
            file.seek(at)
            while True:
                parts: list[bytes] = []
                while len(parts) < 2 * _BATCH and (head := file.read(_RECORD.size)):
                    parts += (head, file.read(_RECORD.unpack(head)[2]))
                if not parts:
                    return
                packets += len(parts) // 2
                yield b"".join(parts), f"{file.tell()} {packets}"

    hand_over(progress, batches)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
