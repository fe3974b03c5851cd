"""What an entry of each bounded table costs, and what the sensor's own process takes when all are full.

    python -m tests.lab.bench.entries SHARE [TABLE]

fills the table of that number, or all at once, and says what it took, as JSON.

A table is filled alone, in a process of its own: what the process's memory (USS) grows by is what the
operating system gives for it, with all that the allocators round up and keep; tracemalloc sees only what they
are asked for. Hash tables grow in powers of two, so SHARE, the part of each limit that is filled, is one too.
"""

import gc
import json
import re
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from os import cpu_count
from pathlib import Path
from typing import Any

import psutil

from portsentry_py.config.settings import Limits
from tests.lab.bench import memory, stream
from tests.lab.bench.fillings.table import Table
from tests.lab.bench.fillings.tables import TABLES
from tests.lab.bench.lines import Sender
from tests.lab.bench.saturation import FullTables
from tests.lab.support.cost import metered
from tests.lab.support.tables import count, mebibytes, table
from tests.support.running import run
from tests.support.waiting import wait_for

SHARE = 8
WORST_SHARE = 32
_ENOUGH = 0.9
_PATIENCE_SECONDS = 600
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)
_KIBI = 1 << 10


@dataclass(frozen=True)
class Row:
    """A table, and what each of its entries takes."""

    table: Table
    entry_bytes: float

    @property
    def full_bytes(self) -> float:
        """What it takes when it is full, under the default limits."""
        return self.entry_bytes * self.table.bound(Limits())

    def cells(self) -> list[str]:
        bound = count(self.table.bound(Limits()))
        return [
            self.table.name,
            self.table.bounded_by,
            bound,
            count(self.entry_bytes),
            f"{self.full_bytes / _KIBI / _KIBI:,.1f}",
        ]


@dataclass(frozen=True)
class Worst:
    """A process that has every table full at once; `held` are the entries of each, in their order."""

    share: int
    packets: int
    before_bytes: int
    after_bytes: int
    peak_bytes: int
    held: Sequence[int]


@dataclass(frozen=True)
class Costs:
    """All rows, the process with all tables full, and a sensor that has nothing to do."""

    rows: Sequence[Row]
    worst: Worst
    idle_bytes: int

    @property
    def full_bytes(self) -> float:
        """What all tables take when they are full, under the default limits."""
        return sum(row.full_bytes for row in self.rows)

    @property
    def foreseen_bytes(self) -> float:
        """What the process with all tables full should have taken."""
        pairs = zip(self.rows, self.worst.held, strict=True)
        return self.worst.before_bytes + sum(row.entry_bytes * held for row, held in pairs)


def parted(share: int) -> Limits:
    """So small a part of the default limits, with a gate that lets the attack in at its own pace."""
    default = replace(Limits(), new_sources_per_second=500)
    names = ("max_sources", "max_flows", "max_attempts", "max_held")
    return replace(default, **{name: getattr(default, name) // share for name in names})


def weigh(found: Table, share: int) -> float:
    """Fill a table in this process, which is of no use after that; returns the bytes of an entry.

    Raises:
        AssertionError: it did not become full.
    """
    limits = parted(share)
    filling = found.fill(Sender(found.version), limits)
    engine = next(filling)
    empty, before = found.held(engine), _uss()
    engine = next(filling)
    full, after = found.held(engine), _uss()
    bound = (found.filled or found.bound)(limits)
    if not _ENOUGH * bound <= full - empty <= bound:
        raise AssertionError(f"{found.name}: {full:,} entries where there is room for {bound:,}")
    return (after - before) / (full - empty)


def fill_all(share: int) -> Worst:
    """Fill all tables in this process; for a small share, those whose bound cannot be set only in part."""
    limits, before = parted(share), _uss()
    engine = FullTables(limits, max(1, share // WORST_SHARE)).pipeline()
    found = _PEAK.search(Path("/proc/self/status").read_text(encoding="ascii"))
    peak = int(found[1]) * _KIBI if found else 0
    held = [one.held(engine) for one in TABLES]
    return Worst(share, engine.counts()["packets"], before, _uss(), peak, held)


def measure(share: int = SHARE, worst_share: int = WORST_SHARE) -> Costs:
    """Weigh the tables, each in a process of its own, as many at once as there are processors."""
    with ThreadPoolExecutor(cpu_count()) as pool:
        # The longest first.
        worst = pool.submit(_in_a_process, worst_share)
        weights = list(pool.map(lambda nth: _in_a_process(share, nth), range(len(TABLES))))
        rows = [Row(*pair) for pair in zip(TABLES, weights, strict=True)]
        return Costs(rows, Worst(**worst.result()), idle())


def _in_a_process(*numbers: int) -> Any:
    return json.loads(run(sys.executable, "-m", __name__, *numbers, seconds=_PATIENCE_SECONDS))


def idle() -> int:
    """What the process of a sensor takes that has seen one packet."""
    with tempfile.TemporaryDirectory(prefix="portsentry-py-") as name:
        folder = Path(name)
        with memory.sensor(folder, [stream.__name__, 1]) as process:
            evidence = (folder / "stderr").read_text
            wait_for((folder / "progress").exists, "the sensor", evidence=evidence)
            with metered([process.pid], memory.is_stand_in) as meter:
                meter.wait_until_quiet(_PATIENCE_SECONDS, 1.0)
            return int(psutil.Process(process.pid).memory_full_info().uss)


def _uss() -> int:
    gc.collect()
    return int(psutil.Process().memory_full_info().uss)


def section(costs: Costs) -> str:
    """The table, the largest first, and its test."""
    head = ("entries", "bounded by", "at most", "bytes each", "MiB when full")
    rows = sorted(costs.rows, key=lambda row: -row.full_bytes)
    total = ["**all of them**", "", "", "", f"**{mebibytes(round(costs.full_bytes))}**"]
    return f"{table(head, [*(row.cells() for row in rows), total])}\n{_test(costs)}"


def _test(costs: Costs) -> str:
    worst, idle_bytes = costs.worst, costs.idle_bytes
    sizes = (costs.foreseen_bytes, worst.before_bytes, worst.after_bytes, worst.peak_bytes)
    foreseen, before, after, peak = (f"{mebibytes(round(size))} MiB" for size in sizes)
    return (
        f"A sensor that has nothing to do takes {mebibytes(idle_bytes)} MiB, without tshark and dumpcap; "
        f"with all tables full it would take {mebibytes(round(idle_bytes + costs.full_bytes))} MiB.\n\n"
        f"The test: all tables full at once, at 1/{worst.share} of the limits that can be set, "
        f"after {count(worst.packets)} packets. "
        f"By the table, the process should take {foreseen}, of which it had {before} before. "
        f"It took {after} (USS), and {peak} at its peak (RSS, with what it shares with others).\n"
    )


def main(share: int, *nth: int) -> str:
    return json.dumps(weigh(TABLES[nth[0]], share) if nth else asdict(fill_all(share)))


if __name__ == "__main__":
    print(main(*map(int, sys.argv[1:])))
