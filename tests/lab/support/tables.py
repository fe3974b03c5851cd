"""Tables and figures as the page shows them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

_MEBI = 1 << 20
_SMALL_SHARE = 0.03


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown; a bar in a cell is escaped."""
    lines = ([str(cell).replace("|", "\\|") for cell in row] for row in (head, ["---"] * len(head), *rows))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


class Row(Protocol):
    def cells(self) -> list[str]:
        """What stands in the row."""
        ...


_AnyRow = TypeVar("_AnyRow", bound=Row)


def shown(row: _AnyRow) -> _AnyRow:
    """Show a row as soon as it is measured."""
    print(*row.cells(), sep="  ", flush=True)
    return row


def count(number: float) -> str:
    """A whole number with its thousands apart."""
    return f"{number:,.0f}"


def mebibytes(size: int) -> str:
    return f"{size / _MEBI:,.0f}"


def micros(cpu: Mapping[str, float], packets: int) -> str:
    """The CPU time of each packet in microseconds, and whose it is if several programs share it."""
    total = sum(cpu.values())
    each = 1e6 / max(1, packets)
    shares = {name: seconds for name, seconds in cpu.items() if seconds > _SMALL_SHARE * total}
    text = f"{total * each:.1f}"
    if len(shares) < 2:
        return text
    parts = ", ".join(f"{name} {seconds * each:.1f}" for name, seconds in sorted(shares.items()))
    return f"{text} ({parts})"


def counters(status: Mapping[str, Any]) -> str:
    """The counts of a status line that are not zero."""
    numbers = {key: value for key, value in status.items() if isinstance(value, int) and key != "schema"}
    return ", ".join(f"`{key}` {value:,}" for key, value in numbers.items() if value)
