"""What outlives a restart, of an engine whose tables are full: its size, and how long packets wait for it."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from portsentry_py.config.settings import Settings
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.state.codec import decode
from portsentry_py.state.file import StateFile
from tests.lab.bench.entries import WORST_SHARE, parted
from tests.lab.bench.saturation import FullTables
from tests.lab.support.tables import count, table
from tests.support.build import encoded

SHARES = (32, 8, 1)


@dataclass(frozen=True)
class Saved:
    """One engine: its part of the default limits, what was saved of it, and seconds."""

    share: int
    sources: int
    attempts: int
    saved_bytes: int
    piece_seconds: float
    all_seconds: float
    write_seconds: float
    restore_seconds: float


def measure(shares: Sequence[int] = SHARES) -> list[Saved]:
    return [_saved(share) for share in shares]


def _saved(share: int) -> Saved:
    engine = FullTables(parted(share), max(1, share // WORST_SHARE)).pipeline()
    ledger, now_us = engine._sources, engine.last_us
    pieces, times = [], [time.perf_counter()]
    for piece in encoded(engine):
        pieces.append(piece)
        times.append(time.perf_counter())
    with tempfile.TemporaryDirectory(prefix="portsentry-py-") as folder:
        file = StateFile(Path(folder) / "state")
        file.load()  # which takes the lock
        begun = time.perf_counter()
        file.close(pieces)
        written = time.perf_counter() - begun
        content = StateFile(Path(folder) / "state").load() or b""
    fresh = Pipeline(Settings(limits=parted(share)), engine._host)
    begun = time.perf_counter()
    fresh.load(decode(content), now_us)
    restored = time.perf_counter() - begun
    longest = max(after - before for before, after in pairwise(times))
    whole = times[-1] - times[0]
    return Saved(share, len(ledger), ledger.attempts, len(content), longest, whole, written, restored)


def section(rows: Sequence[Saved]) -> str:
    heads = ["part of the default limits", "sources", "attempts", "KiB", "longest piece, s", "all pieces, s"]
    return table(
        [*heads, "writing, s", "restoring, s"],
        (
            [
                f"1/{one.share}",
                count(one.sources),
                count(one.attempts),
                count(one.saved_bytes / 1024),
                f"{one.piece_seconds:.3f}",
                f"{one.all_seconds:.2f}",
                f"{one.write_seconds:.2f}",
                f"{one.restore_seconds:.2f}",
            ]
            for one in rows
        ),
    )
