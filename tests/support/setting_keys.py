"""The keys of the configuration file, out of the dataclasses."""

import dataclasses
from collections.abc import Iterator
from typing import Any


def keys(section: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dataclasses.Field[Any]]]:
    """Every key, a section before its own."""
    for item in dataclasses.fields(section):
        yield (*path, item.name), item
        if dataclasses.is_dataclass(item.default):
            yield from keys(item.default, (*path, item.name))
