"""Tables of sources: their attempts, looks, proofs, and neighbours."""

from collections.abc import Iterator
from itertools import chain, product

from portsentry_py.config.settings import Limits
from portsentry_py.core import source_record, standing
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.core.source_record import SourceRecord, StackFingerprint
from tests.lab.bench.fillings.engine import PART, SIZES, again, each, instead, small_engine
from tests.lab.bench.fillings.table import Table, length, max_sources, of_parts, per_source
from tests.lab.bench.lines import LOOKS, SECOND_US, SERVED, Sender

_DAY_US = 86_400 * SECOND_US


def _newcomers(sender: Sender, limits: Limits) -> Iterator[Pipeline]:
    return again(small_engine(sender, max_sources=limits.max_sources), limits.max_sources, sender.newcomer)


def _known(sender: Sender, limits: Limits) -> Iterator[Pipeline]:
    return again(small_engine(sender, max_sources=limits.max_sources), limits.max_sources, sender.known)


def _attempts(sender: Sender, limits: Limits) -> Iterator[Pipeline]:
    return again(small_engine(sender, max_attempts=limits.max_attempts), limits.max_attempts, sender.prober)


def _opened(sender: Sender, limits: Limits) -> Iterator[Pipeline]:
    """As many as the looks have are there before: those were served too."""
    some = range(limits.max_sources // PART)
    engine = small_engine(sender, max_sources=len(some))
    before = each(some, lambda nth: sender.tour(nth, SERVED[:LOOKS]))
    after = each(some, lambda nth: sender.tour(nth, SERVED[LOOKS:]))
    return instead(engine, chain(each(some, sender.known), before), after)


def _looked(sender: Sender, limits: Limits) -> Iterator[Pipeline]:
    everybody = range(limits.max_sources)
    engine = small_engine(sender, max_sources=limits.max_sources)
    return instead(engine, each(everybody, sender.known), each(everybody, sender.looks))


def _twins(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    return again(small_engine(sender, but="_MAX_ROUNDS"), SIZES["_MAX_ROUNDS"], sender.twin)


def _standing(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    engine = small_engine(sender)
    for networks in (1, standing._MAX_NETWORKS // PART):
        yield visit(engine, sender, networks)


def visit(engine: Pipeline, sender: Sender, networks: int) -> Pipeline:
    """Let neighbours in each network have sessions on different days, with a stack each day."""
    for day in range(standing.MAX_DAYS):
        for nth, neighbour in product(range(networks), range(standing._MAX_NEIGHBOURS)):
            address, now_us = f"{sender.source(nth)[:-1]}{neighbour}", sender.clock[0] + day * _DAY_US + nth
            engine._detection.standing.note_session(address, StackFingerprint(day, 20), now_us)
    return engine


def _known_records(engine: Pipeline) -> Iterator[SourceRecord]:
    return (record for _, record in engine._sources._known.items())


def _further(engine: Pipeline) -> int:
    records = engine._sources
    return records.attempts - 2 * len(records._known) - len(records._newcomers)


SOURCES = (
    per_source("sources with one attempt, and it", "_sources._newcomers", _newcomers),
    per_source("sources with two attempts, and these", "_sources._known", _known, "SourceTable._of_network"),
    Table(
        "further attempts",
        "`max_attempts`, less those",
        lambda limits: limits.max_attempts - 3 * limits.max_sources,
        _further,
        _attempts,
        inside=("SourceRecord.unserved", "SourceRecord.targets"),
        filled=lambda limits: limits.max_attempts,
    ),
    Table(
        "what a source looks like, and its proofs",
        "`max_sources`",
        max_sources,
        lambda engine: sum(len(record.stacks) >= LOOKS for record in _known_records(engine)),
        _looked,
        inside=tuple(f"SourceRecord.{name}" for name in ("types", "tools", "stacks")),
    ),
    Table(
        "ports that were served to a source, less those of its proofs",
        f"{source_record.MAX_OPENED - LOOKS} x `max_sources`",
        lambda limits: (source_record.MAX_OPENED - LOOKS) * limits.max_sources,
        lambda engine: sum(max(0, len(record.opened) - LOOKS) for record in _known_records(engine)),
        _opened,
        filled=lambda limits: (source_record.MAX_OPENED - LOOKS) * (limits.max_sources // PART),
    ),
    Table(
        "twins: probes that others could send too",
        f"{SIZES['_MAX_ROUNDS']:,}",
        lambda _: SIZES["_MAX_ROUNDS"],
        length("_sources._twins._rounds"),
        _twins,
        ("_sources._twins._rounds",),
        inside=("_Round.counts",),
    ),
    of_parts(
        "addresses that had sessions",
        standing._MAX_NETWORKS,
        standing._MAX_NEIGHBOURS,
        "_detection.standing._networks",
        _standing,
        share=PART,
    ),
)
