"""A stand-in for dumpcap that makes packets instead of capturing any: `stream.py PACKETS PROGRESS`.

It hands over so many packets, each from another source, as fast as they are taken, and writes each tenth that
is through as a line of PROGRESS. Then it waits for the end, as dumpcap does when nothing comes.
"""

from __future__ import annotations

import signal
import sys
import time
from itertools import islice
from pathlib import Path

from tests.bench.captures import strangers
from tests.bench.frames import FILE_HEAD, Link, record

TENTHS = 10
_BATCH = 500


def main(packets: int, progress: Path) -> int:
    """Hand over everything, then wait."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    output = sys.stdout.buffer
    output.write(FILE_HEAD)
    output.flush()
    print("File: -", file=sys.stderr, flush=True)
    frames = strangers(packets, Link())
    sent = 0
    with progress.open("w", encoding="ascii", buffering=1) as told:
        while batch := list(islice(frames, _BATCH)):
            now = time.time_ns() // 1000
            output.write(b"".join(record(frame, now) for frame in batch))
            before, sent = sent, sent + len(batch)
            for tenth in range(before * TENTHS // packets, sent * TENTHS // packets):
                print(tenth + 1, file=told)
    output.flush()
    while True:
        signal.pause()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2])))
