"""Lists of ports, as other programs write them."""

from portsentry_py.config.importers.source import Source
from portsentry_py.config.values import quoted

_MAX_PORT = 65_535


def port_range(source: Source, line: int, text: str) -> range:
    """A port, or a range such as 8000-8010.

    Raises:
        InputError: it is neither.
    """
    low, dash, high = text.strip().partition("-")
    first, last = low.strip(), high.strip() if dash else low.strip()
    if not all(part.isascii() and part.isdigit() and len(part) < len("100000") for part in (first, last)):
        raise source.wrong(line, f"{quoted(text)} is not a port", "write a number or a range such as 8000-8010")
    found = range(int(first), int(last) + 1)
    if not found or found[-1] > _MAX_PORT:
        raise source.wrong(line, f"{quoted(text)} is not a range of ports", f"write one that ends at {_MAX_PORT}")
    return found


def port_list(source: Source, line: int, text: str) -> set[int]:
    """Ports and ranges, with commas between them.

    Raises:
        InputError: one of them is none.
    """
    ranges = [port_range(source, line, part) for part in text.split(",") if part.strip()]
    return {port for one in ranges for port in one}


def as_yaml(ports: set[int]) -> list[int | str]:
    """The ports as our file has them: numbers, and a range where three or more are in a row."""
    written: list[int | str] = []
    ordered = sorted(ports)
    while ordered:
        length = next((number for number, port in enumerate(ordered) if port != ordered[0] + number), len(ordered))
        row, ordered = ordered[:length], ordered[length:]
        written += row if length < len(("low", "between", "high")) else [f"{row[0]}-{row[-1]}"]
    return written
