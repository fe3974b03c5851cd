"""Tables of what waits for its admission, and of what is only counted."""

from collections.abc import Iterator
from operator import attrgetter

from portsentry_py.config.settings import Limits
from portsentry_py.core import admission, fast_path
from portsentry_py.core.admission import Admission
from portsentry_py.core.columns import head_of, time_text
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.core.waiting import ENOUGH, MANY, STRONG, Waiting, asked_for
from tests.lab.bench.fillings.engine import WIDE, feed, small_engine
from tests.lab.bench.fillings.table import Table, length
from tests.lab.bench.lines import SECOND_US, Sender

_FEW_LINES = 600


def _waiting(sender: Sender, limits: Limits) -> Iterator[Pipeline]:
    engine = small_engine(sender, max_held=limits.max_held, new_sources_per_second=1)
    yield feed(engine, (sender.probe(sender.source(nth), 0, after_us=0) for nth in range(3)))
    yield hold(engine, sender)


def hold(engine: Pipeline, sender: Sender) -> Pipeline:
    """Let sources wait until there is no room: those that asked for many things, for two, then for one."""
    waiting, nth = engine._admission, 1 << 20
    waiting._new, waiting._quick = admission._Tokens(1), admission._Tokens(1)
    feed(engine, (sender.probe(sender.source(nth), 0, after_us=0) for nth in range(nth - 2, nth)))
    while waiting.strong.size < waiting._max_size - _FEW_LINES:
        _put_strong(waiting, sender, nth)
        nth += 1
    while waiting._again_size < waiting._max_size - _FEW_LINES:
        feed(engine, (sender.probe(sender.source(nth), what, after_us=0) for what in range(2)))
        nth += 1
    while not waiting._older or waiting._size < waiting._max_size - _FEW_LINES:
        feed(engine, [sender.probe(sender.source(nth), 0, after_us=0)])
        nth += 1
    return engine


def _put_strong(waiting: Admission, sender: Sender, nth: int) -> None:
    """Let a source wait that asked for many things; in a small room, for as many as fit."""
    one: Waiting | None = None
    for what in range(STRONG):
        line = sender.probe(sender.source(nth), what, after_us=0)
        if one is None:
            one = Waiting(line)
        elif waiting.strong.size + one.size + len(line) <= waiting._max_size:
            one.asked.add(asked_for(head_of(line)))
            one.add(line)
            one.count += 1
    if one is not None:
        waiting.strong.put(sender.source(nth), one, time_text(line))


def _held(engine: Pipeline) -> int:
    """The lines that wait, as if they had the usual size."""
    waiting = engine._admission
    once = sum(map(len, (*waiting._newer.values(), *waiting._older.values())))
    return (once + waiting._again_size + waiting.strong.size) // admission._CHARACTERS


def _crowded(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    engine = small_engine(sender)
    for networks in (1, admission._MAX_NETWORKS * 3 // 2):
        yield crowd(engine, sender, networks)


def crowd(engine: Pipeline, sender: Sender, networks: int) -> Pipeline:
    """Let each network have no place left, for sources that asked for little, more and much."""
    time = f"{sender.clock[0] / SECOND_US:.6f}"
    for nth in range(networks):
        places = engine._admission._places_of(sender.source(nth * WIDE))
        places.pay(places.size)
        for asked in (ENOUGH, STRONG, MANY):
            places.has(time, asked)
    return engine


def _told(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    engine = small_engine(sender)
    for some in (1, fast_path.MAX_SOURCES):
        yield _tell(engine, sender, some)


def _counted(sender: Sender, limits: Limits) -> Iterator[Pipeline]:
    engine, told = small_engine(sender, max_held=limits.max_held), fast_path.MAX_SOURCES
    yield _tell(engine, sender, told)
    yield feed(engine, sender.chorus(range(told), limits.max_held // 2 - 1))


def _tell(engine: Pipeline, sender: Sender, some: int) -> Pipeline:
    for nth in range(some):
        engine._suppressed.suppress(engine._flows.home.source_of(sender.source(nth)), sender.clock[0] + 60 * SECOND_US)
    return engine


ADMISSION = (
    Table(
        "lines of sources that wait, of the usual size",
        "`max_held`",
        lambda limits: limits.max_held,
        _held,
        _waiting,
        (
            "_admission._newer",
            "_admission._older",
            "_admission._again",
            "_admission.strong._sources",
            "_admission.strong._turns",
        ),
        ("Waiting.asked",),
        version=6,
    ),
    Table(
        "networks with places for sources that wait",
        f"{admission._MAX_NETWORKS:,}",
        lambda _: admission._MAX_NETWORKS,
        length("_admission._networks"),
        _crowded,
        ("_admission._networks",),
        version=6,
    ),
    Table(
        "scanners whose probes are counted",
        f"{fast_path.MAX_SOURCES:,}",
        lambda _: fast_path.MAX_SOURCES,
        length("_suppressed.sources"),
        _told,
        ("_suppressed.sources",),
        version=6,
    ),
    Table(
        "counted probes, by port",
        "`max_held` / 2",
        lambda limits: limits.max_held // 2,
        attrgetter("_suppressed.ports"),
        _counted,
        inside=("ProbeCounts.times", "ProbeCounts.last", "ProbeCounts.refused"),
        version=6,
    ),
)
