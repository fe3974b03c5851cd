"""The table of known scanners: a CSV file that is shipped, or the operator's own."""

import csv
from datetime import date
from ipaddress import ip_network
from pathlib import Path
from typing import Any, get_args

from portsentry_py.config.own_file import read_own
from portsentry_py.config.settings import SHIPPED, KnownScanner, Network, Settings
from portsentry_py.config.values import OFF_WORD, quoted
from portsentry_py.errors import ConfigError, PermissionDenied
from portsentry_py.shipped import shipped

_COLUMNS = ["network", "scanner", "source", "read"]
_WORDS = get_args(KnownScanner)
# Room for a hundred thousand addresses.
_MAX_BYTES = 1 << 23

Row = tuple[Network, KnownScanner]


def known_scanners(settings: Settings) -> tuple[Row, ...]:
    """The networks of known scanners, from the file that the settings name.

    Raises:
        ConfigError: the file cannot be read, others may write it, or a line of it is wrong.
        PermissionDenied: the user may not read it.
    """
    name = settings.known_scanners_table
    if name == OFF_WORD:
        return ()
    if name == SHIPPED:
        return parse((shipped("config") / "known_scanners.csv").read_text(encoding="utf-8"), SHIPPED)
    try:
        text = read_own(Path(name), _MAX_BYTES, "name the right file in known_scanners_table")
    except PermissionError as error:
        raise PermissionDenied(f"{name}: you may not read the known scanners; fix its mode.") from error
    except OSError as error:
        raise ConfigError(
            f"{name}: cannot read the known scanners ({error.strerror}); name a file in known_scanners_table."
        ) from error
    return parse(text, name)


def parse(text: str, name: str) -> tuple[Row, ...]:
    """Check the text of a table; `name` begins the error about the first wrong line."""
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line and not line.startswith("#")]
    rows = (_read(line, f"{name}:{number}", is_heading=nth == 0) for nth, (number, line) in enumerate(lines))
    return tuple(row for row in rows if row is not None)


def _read(line: str, place: str, *, is_heading: bool) -> Row | None:
    """The row of a line; None for the heading."""
    try:
        cells = next(csv.reader([line], strict=True))
        if not is_heading:
            return _row(cells)
        _check(cells == _COLUMNS, f"{quoted(line)} is not the heading {','.join(_COLUMNS)}")
    except (ValueError, csv.Error) as error:
        raise ConfigError(f"{place}: {error}; fix that line.") from error
    return None


def _row(cells: list[str]) -> Row:
    _check(len(cells) == len(_COLUMNS), f"{len(cells)} cells and not the four of {','.join(_COLUMNS)}")
    network, word, source, read = cells
    _check(word in _WORDS, f"{quoted(word)} is none of {', '.join(_WORDS)}")
    _check(bool(source), "the source is missing")
    date.fromisoformat(read)
    found: Any = word
    return ip_network(network), found


def _check(holds: bool, problem: str) -> None:
    if not holds:
        raise ValueError(problem)
