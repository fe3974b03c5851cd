"""A long run in four parts: what each cost, and the last beside the first."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.lab.support.tables import count, table

QUARTERS = 4
_MIB = 1 << 20


@dataclass(frozen=True)
class Quarter:
    """One part: its packets, the CPU seconds of all processes, and the peak of memory by program."""

    packets: int
    cpu_seconds: float
    peaks: dict[str, int] = field(default_factory=dict)

    @property
    def cost_us(self) -> float:
        return self.cpu_seconds * 1e6 / max(1, self.packets)

    @property
    def peak_bytes(self) -> int:
        return sum(self.peaks.values())


def shown(quarters: Sequence[Quarter]) -> str:
    """The table, with the last quarter beside the first in its last row."""
    programs = sorted({name for quarter in quarters for name in quarter.peaks})
    rows = [
        [
            str(number),
            count(quarter.packets),
            f"{quarter.cost_us:.1f}",
            *(f"{quarter.peaks.get(name, 0) / _MIB:.0f}" for name in programs),
            f"{quarter.peak_bytes / _MIB:.0f}",
        ]
        for number, quarter in enumerate(quarters, 1)
    ]
    first, last = quarters[0], quarters[-1]
    rows.append(
        [
            "last / first",
            "",
            f"{last.cost_us / first.cost_us:.2f}",
            *("" for _ in programs),
            f"{last.peak_bytes / first.peak_bytes:.2f}",
        ]
    )
    heads = ["quarter", "packets", "CPU µs a packet", *(f"{name} MiB" for name in programs), "all MiB"]
    return table(heads, rows)
