"""What stands in for dumpcap and makes packets instead of capturing any, as fast as they are taken.

When it is told to end, another one goes on where it stopped: two captures do not make twice as much of what
is on a wire.
"""

import fcntl
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.support import pcap

Batches = Callable[[str], Iterator[tuple[bytes, str]]]
"""From a place on: records of a capture, each batch with the place behind it."""
_LOOK_SECONDS = 0.01


def hand_over(progress: Path, batches: Batches) -> None:
    """Hand over what is left, then wait for the end, as dumpcap does when nothing comes.

    Args:
        progress: the file that holds the place up to which all is through.
        batches: what is handed over.
    """
    # Kept waiting and asked for: a signal in the middle of a write cuts a packet in two.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    output = sys.stdout.buffer
    output.write(pcap.head())
    output.flush()
    print("File: -", file=sys.stderr, flush=True)
    with progress.with_suffix(".turn").open("w") as turn:
        while not (_is_ours(turn.fileno()) or _told_to_end()):
            time.sleep(_LOOK_SECONDS)
        for records, place in batches(place_in(progress)):
            if _told_to_end():
                break
            output.write(records)
            output.flush()
            whole = progress.with_suffix(".new")
            whole.write_text(place, encoding="ascii")
            whole.replace(progress)
        signal.sigwait({signal.SIGTERM})


def place_in(progress: Path) -> str:
    """The place in the file; empty before the first batch."""
    return progress.read_text(encoding="ascii") if progress.exists() else ""


def _told_to_end() -> bool:
    return signal.SIGTERM in signal.sigpending()


def _is_ours(turn: int) -> bool:
    """Whether it is our turn: the one before has ended."""
    try:
        fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
