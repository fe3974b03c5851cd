"""An engine of which one table has room, and how that is filled."""

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import chain

from portsentry_py.config.settings import Limits, Served, Settings
from portsentry_py.core import (
    expectation,
    flows,
    icmp_errors,
    outbound_table,
    reflection,
    route_probes,
    served_ports,
    spoofed_twins,
    unreported_scans,
)
from portsentry_py.core.host_state import HostState
from portsentry_py.core.pipeline import Pipeline
from tests.lab.bench.lines import HOSTS, SERVED, SWEPT, Sender

NAMED = Served(tcp=frozenset(SERVED), udp=frozenset({SWEPT}))
# Nobody is a scanner, no line is written, no group is made.
QUIET = Settings(profile="portanoia", connections="off", served=NAMED)
UNBOUND = 1 << 40
# Sources that are so far apart are of unrelated networks.
WIDE = 0xF000
PART = 8
SIZES = {
    name: int(getattr(module, name))
    for module, name in (
        (spoofed_twins, "_MAX_ROUNDS"),
        (served_ports, "_MAX_LEARNED"),
        (icmp_errors, "_MAX_LATEST"),
        (flows, "_MAX_ACCEPTED"),
        (expectation, "_MAX_SERVERS"),
        (expectation, "_MAX_CONTACTS"),
        (expectation, "_MAX_REFUSED"),
        (expectation, "_MAX_SOCKETS"),
        (reflection, "_MAX_REFLECTORS"),
        (expectation, "_MAX_EXCUSED_SOURCES"),
        (expectation, "_MAX_SWEEPS"),
        (outbound_table, "_MAX_SOURCES"),
        (outbound_table, "_MAX_KNOWN"),
        (route_probes, "_MAX_RUNS"),
        (unreported_scans, "MAX_SCANS"),
    )
}
"""Bounds that no setting changes."""


def feed(engine: Pipeline, *parts: Iterable[str]) -> Pipeline:
    """Feed it with lines; whatever it says of them is of no interest."""
    deque(engine.feed(chain(*parts)), maxlen=0)
    return engine


def each(numbers: Iterable[int], lines_of: Callable[[int], Iterable[str]]) -> Iterator[str]:
    """The lines of one after the other."""
    return chain.from_iterable(map(lines_of, numbers))


def small_engine(sender: Sender, settings: Settings = QUIET, *, but: str = "", **limits: int) -> Pipeline:
    """An engine whose other tables and caches stay small."""
    _keep_small(but)
    small = {"max_sources": 1, "max_flows": 1, "max_held": 2}
    unbound = {"max_attempts": UNBOUND, "new_sources_per_second": UNBOUND}
    own = HostState(own=frozenset(map(sender.target, range(HOSTS))), peers_known=False)
    return Pipeline(replace(settings, limits=Limits(**{**small, **unbound, **limits})), own)


def _keep_small(but: str) -> None:
    """Bound the caches, and what no setting bounds; this process cannot be used for anything else then."""
    for module in [one for name, one in sys.modules.items() if name.startswith("portsentry_py.")]:
        for name, found in list(vars(module).items()):
            if name != but and name in SIZES:
                setattr(module, name, 1)
            elif name != but and hasattr(found, "cache_info"):
                setattr(module, name, lru_cache(maxsize=HOSTS)(found.__wrapped__))


def again(engine: Pipeline, bound: int, lines_of: Callable[[int], Iterable[str]]) -> Iterator[Pipeline]:
    """Fill it one and a half times: a table that lets entries go has more room than one that only grew."""
    for numbers in (range(1), range(1, 3 * bound // 2)):
        yield feed(engine, each(numbers, lines_of))


def instead(engine: Pipeline, before: Iterable[str], *after: Iterable[str]) -> Iterator[Pipeline]:
    """What the entries need is full before, and is as full of others behind."""
    yield feed(engine, before)
    yield feed(engine, *after)
