"""What a bounded table is, and the kinds that there are several of."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import attrgetter

from portsentry_py.config.settings import Limits
from portsentry_py.core.pipeline import Pipeline
from tests.lab.bench.fillings.engine import SIZES
from tests.lab.bench.lines import Sender

Held = Callable[[Pipeline], int]
Bound = Callable[[Limits], int]
Fill = Callable[[Sender, Limits], Iterator[Pipeline]]
"""Gives an engine twice: before the table is filled, and when it is full."""


@dataclass(frozen=True)
class Table:
    """A bounded table, or what its entries may hold.

    Args:
        name: what its entries are.
        bounded_by: how the page names its bound.
        bound: its entries under given limits.
        held: its entries now.
        fill: fills it, and nothing else.
        at: the paths from the engine to what it stands for.
        inside: attributes of entries, and functions with a cache, that it stands for.
        filled: how many entries `fill` makes, where all would take too long.
        version: of IP, whose addresses make the fatter entries.
    """

    name: str
    bounded_by: str
    bound: Bound
    held: Held
    fill: Fill
    at: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()
    filled: Bound | None = None
    version: int = 4


def length(*paths: str) -> Held:
    return lambda engine: sum(len(attrgetter(path)(engine)) for path in paths)


def per_source(name: str, path: str, fill: Fill, *inside: str) -> Table:
    """A table with room for as many sources as there may be."""
    return Table(name, "`max_sources`", max_sources, length(path), fill, (path,), inside)


def max_sources(limits: Limits) -> int:
    return limits.max_sources


def per_flow(name: str, path: str, fill: Fill) -> Table:
    """A table with room for as many flows as there may be."""
    return Table(name, "`max_flows`", lambda limits: limits.max_flows, length(path), fill, (path,))


def of_parts(
    name: str, size: int, parts: int, path: str, fill: Fill, *inside: str, share: int = 1, held_in: str = ""
) -> Table:
    """A table whose bound cannot be set, of entries with so many parts; a share of it is filled."""

    def held(engine: Pipeline) -> int:
        entries = (entry for _, entry in attrgetter(path)(engine).items())
        return sum(len(getattr(entry, held_in) if held_in else entry) for entry in entries)

    filled = size * parts // share
    bounded_by = f"{parts} x {size:,}"
    return Table(name, bounded_by, lambda _: size * parts, held, fill, (path,), inside, lambda _: filled, version=6)


def fixed(name: str, bound: str, path: str, fill: Fill, *beside: str, version: int = 4) -> Table:
    """A table whose bound cannot be set."""
    size = SIZES[bound]
    return Table(name, f"{size:,}", lambda _: size, length(path), fill, (path, *beside), version=version)
