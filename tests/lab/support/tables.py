"""Tables and figures as the page shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_MEBI = 1 << 20
_SMALL_SHARE = 0.03


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Give a table as Markdown."""
    lines = (head, ["---"] * len(head), *rows)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def count(number: float) -> str:
    """Give a whole number with its thousands apart."""
    return f"{number:,.0f}"


def mebibytes(size: int) -> str:
    """Give a size in MiB."""
    return f"{size / _MEBI:,.0f}"


def micros(cpu: Mapping[str, float], packets: int) -> str:
    """Give the CPU time of each packet in microseconds, and whose it is if several programs share it."""
    total = sum(cpu.values())
    each = 1e6 / max(1, packets)
    shares = {name: seconds for name, seconds in cpu.items() if seconds > _SMALL_SHARE * total}
    text = f"{total * each:.1f}"
    if len(shares) < 2:
        return text
    parts = ", ".join(f"{name} {seconds * each:.1f}" for name, seconds in sorted(shares.items()))
    return f"{text} ({parts})"


def counters(status: Mapping[str, Any]) -> str:
    """Give the counts of a status line that are not zero."""
    numbers = {key: value for key, value in status.items() if isinstance(value, int) and key != "schema"}
    return ", ".join(f"`{key}` {value:,}" for key, value in numbers.items() if value)
