"""The filter, with fail2ban's own classes: it bans the source of a line or a network of it, and nobody else."""

import importlib
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from portsentry_py.core.host_state import network_of
from portsentry_py.events.model import EVENT_CLASSES, ConnectionEvent, Event, EvidenceEvent
from portsentry_py.fail2ban.pack import MODES
from tests.lab.fuzz import jail
from tests.lab.fuzz.oracle import line_of
from tests.support.any_event import events_of
from tests.support.build import no_deadline
from tests.support.needs import require_tool

# Ends a run that hangs; how fast it is, is no matter here.
PATIENCE_SECONDS = 300


@pytest.fixture(autouse=True)
def _fail2ban() -> None:
    require_tool("fail2ban-regex")


events = st.one_of([events_of(event_class) for event_class in EVENT_CLASSES])
any_bans = st.one_of(
    [
        st.builds(
            lambda event, technique: replace(event, verdict="ban", direction="inbound", technique=technique),
            events_of(event_class),
            st.sampled_from(["port_scan", "sweep", "slow", "distributed", "stealth", "trap"]),
        )
        for event_class in EVENT_CLASSES
        if issubclass(event_class, EvidenceEvent)
    ]
)


def in_its_networks(event: EvidenceEvent, length: int) -> EvidenceEvent:
    """The event with networks of its own source, as the sensor writes them."""
    source = event.src_ip
    group = ip_network(f"{source}/{length if ':' in source else 24}", strict=False)
    return replace(event, src_net=network_of(source), group_net=str(group))


bans = any_bans | st.builds(in_its_networks, any_bans, st.sampled_from((48, 56, 64)))


def text(event: Event) -> str:
    return line_of(event).decode("ascii").removesuffix("\n")


def check(*lines: str) -> None:
    jail.check("\n".join(lines).encode())


@no_deadline
@given(st.lists(events | bans, min_size=1, max_size=20))
def test_every_event_bans_its_source_with_its_own_network_or_nobody(some: list[Event]) -> None:
    check(*map(text, some))


@no_deadline
@given(events | bans, events | bans, st.integers(0, 700), st.integers(0, 700))
def test_torn_and_joined_lines_ban_nobody_else(one: Event, two: Event, cut: int, start: int) -> None:
    first, second = text(one), text(two)
    check(
        first[:cut] + second,
        first[:cut] + second[start:],
        first[:cut],
        second[start:],
        first + second,
        f"{first},{second}",
        f"[{first},{second}]",
        f"{first}\t{second}",
        f"{first}\0{second}",
        *(
            first.partition(key)[0] + key + second.partition(key)[2]
            for key in (',"state"', ',"src_net"', ',"group_net"')
        ),
    )


@pytest.mark.slow
@hypothesis_settings(no_deadline, max_examples=30)
@given(bans, bans)
def test_a_line_may_break_off_anywhere(one: Event, two: Event) -> None:
    first, second = text(one), text(two)
    check(*(first[:cut] + second for cut in range(len(first))))


@no_deadline
@given(events_of(ConnectionEvent), bans)
def test_a_line_within_a_value_bans_nobody(one: Event, two: Event) -> None:
    inner = text(two)
    outer = text(replace(one, in_iface=inner))  # type: ignore[call-arg] # decode.py would never let it in
    check(outer, outer.replace('\\"', '"'), text(replace(one, in_iface=f'","x":"{inner}')))  # type: ignore[call-arg] # same


def test_the_reader_reads() -> None:
    """The properties above are about something."""
    bait = jail.seeds()[0].decode().split("\n")
    seen = {mode: sum(bool(one.addresses) for one in found) for mode, found in jail.reader().read(bait).items()}
    assert seen["normal"] > 0
    assert seen["aggressive"] >= seen["normal"] >= seen["strict"]


def parsed(pattern: str) -> Any:
    """A regular expression as Python's own parser sees it."""
    return importlib.import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse").parse(pattern)


class Repeat(NamedTuple):
    """A repetition: the bounds of those around it, its own, what is repeated, and what comes next."""

    within: tuple[int, ...]
    most: int
    body: list[Any]
    behind: str


def repeats(tree: Any, within: tuple[int, ...] = ()) -> Iterator[Repeat]:
    """Every repetition in an expression."""
    parts = list(tree)
    for nth, (operation, content) in enumerate(parts):
        name = str(operation)
        if name in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
            _, most, body = content
            yield Repeat(within, int(most), list(body), str(parts[nth + 1][0]) if nth + 1 < len(parts) else "END")
            yield from repeats(body, (*within, int(most)))
        elif name == "BRANCH":
            for branch in content[1]:
                yield from repeats(branch, within)
        elif name in {"SUBPATTERN", "ASSERT", "ASSERT_NOT", "ATOMIC_GROUP"}:
            yield from repeats(content if name == "ATOMIC_GROUP" else content[-1], within)
        elif name == "GROUPREF_EXISTS":
            for branch in filter(None, content[1:]):
                yield from repeats(branch, within)


UNBOUND = int(importlib.import_module("re._constants" if sys.version_info >= (3, 11) else "sre_constants").MAXREPEAT)


@pytest.mark.parametrize("mode", MODES)
def test_the_expression_costs_no_more_than_a_pass_over_the_line(mode: str) -> None:
    """Anchored, and all repetitions bounded, but for single characters up to another, which nothing repeats.

    So there is a bound for the places where these begin, whatever the line, and each is one pass over it.
    """
    for pattern in jail.reader().patterns[MODES.index(mode)]:
        tree = parsed(pattern)
        assert [str(part) for part in tree[0]] == ["AT", "AT_BEGINNING"], pattern
        found = list(repeats(tree))
        assert len(found) > 10
        for one in (one for one in found if one.most == UNBOUND):
            assert set(one.within) <= {1}, pattern
            assert [str(operation) for operation, _ in one.body] in (["IN"], ["LITERAL"]), pattern
            assert one.behind in {"LITERAL", "END"}, pattern


def test_the_search_for_repetitions_finds_them() -> None:
    assert [one._replace(body=[]) for one in repeats(parsed(r"^(?:a|(?=(?:b{2,3}c)*)d+e)(f)?(?(1)g*)"))] == [
        Repeat((), UNBOUND, [], "END"),
        Repeat((UNBOUND,), 3, [], "LITERAL"),
        Repeat((), UNBOUND, [], "LITERAL"),
        Repeat((), 1, [], "GROUPREF_EXISTS"),
        Repeat((), UNBOUND, [], "END"),
    ]


def test_a_hostile_line_of_a_mebibyte_is_read() -> None:
    def give_up(*_: object) -> None:
        raise AssertionError("fail2ban hangs")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(PATIENCE_SECONDS)
    try:
        check(*jail.adversarial(1 << 20))
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
