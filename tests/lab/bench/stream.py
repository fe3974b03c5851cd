"""A stand-in for dumpcap that makes packets instead of capturing any: `stream.py PACKETS PROGRESS`.

It hands over so many packets, each from another source, as fast as they are taken. PROGRESS is the number of
those that are through. When it is told to end, another one goes on where it stopped: what is on a wire, two
captures do not make twice as much.
"""

from __future__ import annotations

import fcntl
import signal
import sys
import time
from itertools import islice
from pathlib import Path

from tests.support import pcap
from tests.support.frames import Link
from tests.support.workloads import strangers

_BATCH = 500


def main(packets: int, progress: Path) -> int:
    """Hand over what is left, then wait for the end, as dumpcap does when nothing comes."""
    # Kept waiting and asked for: a signal in the middle of a write cuts a packet in two.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    output = sys.stdout.buffer
    output.write(pcap.head())
    output.flush()
    print("File: -", file=sys.stderr, flush=True)
    with progress.with_suffix(".turn").open("w") as turn:
        while not (is_ours(turn.fileno()) or told_to_end()):
            time.sleep(0.01)
        sent = through(progress)
        frames = strangers(packets, Link(), sent)
        while not told_to_end() and (batch := list(islice(frames, _BATCH))):
            now = time.time_ns() // 1000
            output.write(b"".join(pcap.record(now, frame) for frame in batch))
            output.flush()
            sent += len(batch)
            progress.write_text(str(sent), encoding="ascii")
        signal.sigwait({signal.SIGTERM})
    return 0


def told_to_end() -> bool:
    """Whether SIGTERM waits."""
    return signal.SIGTERM in signal.sigpending()


def through(progress: Path) -> int:
    """Give how many packets are through."""
    text = progress.read_text(encoding="ascii") if progress.exists() else ""
    return int(text or 0)


def is_ours(turn: int) -> bool:
    """Whether it is our turn: the one before has ended."""
    try:
        fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2])))
