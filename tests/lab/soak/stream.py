"""A stand-in for dumpcap that hands over a capture file as fast as it is taken: `stream.py CAPTURE PROGRESS`.

PROGRESS holds how many bytes and packets of it are through. When it is told to end, another one goes on where
it stopped, at a whole record.
"""

from __future__ import annotations

import signal
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.lab.bench.stream import is_ours, told_to_end
from tests.support import pcap

_BATCH = 500
_RECORD = struct.Struct("<IIII")
_LOOK_SECONDS = 0.01


def main(capture: Path, progress: Path) -> int:
    """Hand over what is left, then wait for the end, as dumpcap does when nothing comes."""
    # Kept waiting and asked for: a signal in the middle of a write cuts a packet in two.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    output = sys.stdout.buffer
    output.write(pcap.head())
    output.flush()
    print("File: -", file=sys.stderr, flush=True)
    with progress.with_suffix(".turn").open("w") as turn, capture.open("rb", buffering=1 << 20) as file:
        while not (is_ours(turn.fileno()) or told_to_end()):
            time.sleep(_LOOK_SECONDS)
        at, packets = through(progress)
        file.seek(max(at, len(pcap.head())))
        while not told_to_end() and (batch := _batch(file.read)):
            output.write(b"".join(batch))
            output.flush()
            packets += len(batch) // 2
            whole = progress.with_suffix(".new")
            whole.write_text(f"{file.tell()} {packets}", encoding="ascii")
            whole.replace(progress)
        signal.sigwait({signal.SIGTERM})
    return 0


def _batch(read: Callable[[int], bytes]) -> list[bytes]:
    parts: list[bytes] = []
    while len(parts) < 2 * _BATCH and (head := read(_RECORD.size)):
        parts += (head, read(_RECORD.unpack(head)[2]))
    return parts


def through(progress: Path) -> tuple[int, int]:
    """Give how many bytes and packets are through."""
    text = progress.read_text(encoding="ascii") if progress.exists() else "0 0"
    at, packets = text.split()
    return int(at), int(packets)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
