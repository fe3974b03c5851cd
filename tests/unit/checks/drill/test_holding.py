"""A ban holds if the banned get no answer where a stranger who did nothing gets one."""

from collections.abc import Iterable, Sequence

import pytest

from portsentry_py.checks.drill import holding as module
from portsentry_py.checks.drill.holding import BanTrial, wait
from portsentry_py.checks.drill.row import Row
from portsentry_py.checks.drill.wire import Stranger
from tests.support.drill_rows import SOURCE, SOURCE6, banned

_CONTROLS = {4: "198.51.100.8", 6: "2001:db8:8:8::77"}
_TARGETS = {4: "203.0.113.1", 6: "2001:db8:113::1"}
_OWN = {(4, "tcp"): 4001, (4, "udp"): 4002, (6, "tcp"): 6001, (6, "udp"): 6002}
_FORWARDED = 8080


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_RULE_SECONDS", "PAUSE_SECONDS"):
        monkeypatch.setattr(module, name, 0.001)


class Host(Stranger):
    """Stands in for the stranger on its way to this host; `refused` holds what gets no answer."""

    def __init__(self, *refused: tuple[object, ...]) -> None:
        self.refused = set(refused)

    def reach(self, asks: Sequence[tuple[str, str, str, int]], seconds: float) -> list[bool]:
        assert seconds > 0
        return [
            not {(transport, source), (source, port), (port,), (source,)} & self.refused
            for transport, source, _, port in asks
        ]


def trial(host: Host, served: Iterable[int] = ()) -> BanTrial:
    made = BanTrial(host, _CONTROLS, _TARGETS, dict(_OWN))
    made.choose(served)
    return made


def fresh(source: str = SOURCE) -> Row:
    return banned(source, tcp=None, udp=None, let_in=None)


@pytest.mark.parametrize(
    ("refused", "tcp", "udp"),
    [
        ([(SOURCE,)], True, True),
        ([], False, False),
        ([("tcp", SOURCE)], True, False),
        ([(SOURCE,), (4002,)], True, None),
        ([(SOURCE,), (4001,), (4002,)], None, None),
    ],
)
def test_only_a_difference_to_a_stranger_is_a_block(
    refused: list[tuple[object, ...]], *, tcp: bool | None, udp: bool | None
) -> None:
    row = fresh()
    trial(Host(*refused)).block([row])
    assert (row.tcp, row.udp) == (tcp, udp)


def test_a_rule_that_comes_after_the_list_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(Host):
        def reach(self, asks: Sequence[tuple[str, str, str, int]], seconds: float) -> list[bool]:
            answers = super().reach(asks, seconds)
            self.refused.add((SOURCE,))
            return answers

    monkeypatch.setattr(module, "_RULE_SECONDS", 60)
    made = trial(Slow())
    made._stranger = Slow()
    row = fresh()
    made.block([row])
    assert row.tcp is True


def test_behind_a_firewall_a_port_that_is_served_is_asked() -> None:
    host = Host((4001,), (22,), (SOURCE,))
    row = fresh()
    made = trial(host, served=[443, 22, 80])
    assert made.reached == {(4, "tcp"), (4, "udp"), (6, "tcp"), (6, "udp")}
    made.block([row])
    assert row.tcp is True


def test_families_are_told_apart() -> None:
    rows = [fresh(SOURCE), fresh(SOURCE6)]
    trial(Host((SOURCE,), (6001,), (6002,))).block(rows)
    assert [(row.tcp, row.udp) for row in rows] == [(True, True), (None, None)]


@pytest.mark.parametrize(
    ("refused", "found"), [([(SOURCE, 80)], (_FORWARDED,)), ([(SOURCE, _FORWARDED)], ()), ([(_FORWARDED,)], ())]
)
def test_a_forwarded_port_that_still_answers_is_noted(
    refused: list[tuple[object, ...]], found: tuple[int, ...]
) -> None:
    row = banned()
    trial(Host(*refused)).forwarded([row], [_FORWARDED])
    assert row.forwarded == found


def test_a_ban_that_does_not_hold_says_nothing_of_forwarded_ports() -> None:
    row = banned(tcp=False)
    trial(Host()).forwarded([row], [_FORWARDED])
    assert row.forwarded == ()


@pytest.mark.parametrize(("refused", "let_in"), [((), True), ((SOURCE,), False)])
def test_an_unbanned_source_is_let_in_or_not(refused: tuple[object, ...], *, let_in: bool) -> None:
    row = fresh()
    trial(Host(refused)).let_in([row])
    assert row.let_in is let_in


def test_waiting_ends_when_it_is_so_or_the_time_is_over() -> None:
    looks = iter([False, False, True])
    wait(lambda: next(looks), 60)
    assert next(looks, None) is None
    wait(lambda: False, 0)
