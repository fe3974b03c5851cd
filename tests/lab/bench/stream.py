"""A stand-in for dumpcap that makes packets, each from another source: `stream.py PACKETS PROGRESS`."""

import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from tests.lab.support.stand_in import hand_over, place_in
from tests.support import pcap
from tests.support.frames import Link
from tests.support.workloads import strangers

_BATCH = 500


def through(progress: Path) -> int:
    return int(place_in(progress) or 0)


def main(packets: int, progress: Path) -> None:
    def batches(place: str) -> Iterator[tuple[bytes, str]]:
        sent = int(place or 0)
        frames = strangers(packets, Link(), sent)
        while batch := list(islice(frames, _BATCH)):
            now_us = time.time_ns() // 1000
            sent += len(batch)
            yield b"".join(pcap.record(now_us, frame) for frame in batch), str(sent)

    hand_over(progress, batches)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
