"""Tables of flows, and of packets beside them."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator

from portsentry_py.config.settings import Limits
from portsentry_py.core.pipeline import Pipeline
from tests.lab.bench.fillings.engine import SIZES, again, each, instead, small_engine
from tests.lab.bench.fillings.table import fixed, per_flow
from tests.lab.bench.lines import LATE_US, Sender


def _inbound(sender: Sender, limits: Limits) -> Iterator[Pipeline]:
    def visit(nth: int) -> Iterator[str]:
        return sender.visit(sender.source(nth), answered=True, after_us=LATE_US)

    return again(small_engine(sender, max_flows=limits.max_flows), limits.max_flows, visit)


def _outbound(sender: Sender, limits: Limits) -> Iterator[Pipeline]:
    return again(small_engine(sender, max_flows=limits.max_flows), limits.max_flows, sender.ask_again)


def _pending(sender: Sender, limits: Limits) -> Iterator[Pipeline]:
    return _pushed_out(sender, limits, lambda nth: [sender.probe(sender.source(nth), 0)])


def _handshakes(sender: Sender, limits: Limits) -> Iterator[Pipeline]:
    return _pushed_out(sender, limits, lambda nth: sender.visit(sender.source(nth), answered=True))


def _pushed_out(sender: Sender, limits: Limits, of: Callable[[int], Iterable[str]]) -> Iterator[Pipeline]:
    """Flows that nobody has but who waits for their outcome: the table of flows is full of others."""
    engine, numbers = small_engine(sender, max_flows=limits.max_flows), range(limits.max_flows)
    before, after = (each(numbers, lambda nth: sender.visit(sender.source(nth))) for _ in range(2))
    return instead(engine, before, each(numbers, of), after)


def _strays(sender: Sender, limits: Limits) -> Iterator[Pipeline]:
    return again(small_engine(sender, max_flows=limits.max_flows), limits.max_flows, sender.stray)


def _routes(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    return again(small_engine(sender, but="_MAX_RUNS"), SIZES["_MAX_RUNS"], sender.trace)


def _latest(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    def datagram(nth: int) -> Iterator[str]:
        yield sender.datagram(sender.source(nth), sender.target())

    return again(small_engine(sender, but="_MAX_LATEST"), SIZES["_MAX_LATEST"], datagram)


def _replies(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    def reply(nth: int) -> Iterator[str]:
        yield sender.datagram(sender.source(nth), sender.target(), (53, 2_000))

    return again(small_engine(sender, but="_MAX_LATEST"), SIZES["_MAX_LATEST"], reply)


def accept(engine: Pipeline, sender: Sender, visitors: int) -> None:
    """An open trap accepted visitors whose handshakes are not captured yet."""
    for nth in range(visitors):
        deque(engine.accepted(sender.source(nth), nth, sender.target(), 11, 1), maxlen=0)


def _accepted(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    engine = small_engine(sender, but="_MAX_ACCEPTED")
    for visitors in (1, SIZES["_MAX_ACCEPTED"] * 3 // 2):
        accept(engine, sender, visitors)
        yield engine


def _learned(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    return again(small_engine(sender, but="_MAX_LEARNED"), SIZES["_MAX_LEARNED"], sender.discovered)


FLOWS = (
    per_flow("flows to us", "_flows.inbound", _inbound),
    per_flow("flows from us", "_flows.outbound", _outbound),
    fixed(
        "routes to us that others measure",
        "_MAX_RUNS",
        "_flows.routes._runs",
        _routes,
        "_flows.routes._targets._excused",
        version=6,
    ),
    per_flow("other flows whose answer is awaited", "_flows._pending", _pending),
    per_flow("other flows that may last, in a replay", "_flows._open", _handshakes),
    per_flow("segments of no flow", "_flows.strays", _strays),
    fixed("latest attempts over IPv6, but for TCP", "_MAX_LATEST", "_flows.latest._attempts", _latest, version=6),
    fixed("latest reply-looking datagrams over IPv6", "_MAX_LATEST", "_flows.latest._replies", _replies, version=6),
    fixed("connections that a trap accepted", "_MAX_ACCEPTED", "_flows._accepted", _accepted, version=6),
    fixed("ports that answered", "_MAX_LEARNED", "_flows.served._learned", _learned, "_flows.served.numbers"),
)
