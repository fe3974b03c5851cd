"""Probes in simulated time: what is sent when, what is repeated, what is given up."""

from array import array
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portsentry_py.checks.scan.model import Answer, HostResult, State, Target
from portsentry_py.checks.scan.schedule import Schedule

V4 = Target("192.168.0.9", bytes([192, 168, 0, 9]), "192.168.0.1")
Respond = Callable[[int, int], float | None]
"""For a port and an attempt: after how many seconds the answer comes; None for never."""


def played(
    ports: list[int], respond: Respond, *, attempts: int = 3, silent: State = "filtered", by_icmp: bool = False
) -> tuple[HostResult, list[tuple[float, int, int]]]:
    """The states, and every probe with its time."""
    found = HostResult(V4, silent)
    schedule = Schedule(found, array("H", ports), attempts, 100)
    now, probes, flying = 0.0, [], []
    while not schedule.done:
        schedule.expire(now)
        while (probe := schedule.next_probe(now)) is not None:
            probes.append((now, *probe))
            after = respond(*probe)
            if after is not None:
                flying.append((now + after, Answer(V4, *probe, "closed", by_icmp)))
        flying.sort(key=lambda one: one[0])
        moment = now + schedule.wait(now)
        if flying and flying[0][0] <= moment:
            now, answer = flying.pop(0)
            schedule.answered(answer, now)
        else:
            now = moment if moment > now else now + 1e-6
        assert now < 10_000, "it does not end"
    assert schedule.decided == len(ports)
    return found, probes


def states(found: HostResult) -> set[State]:
    return {state for _, state in found.states()}


def test_each_answered_port_is_probed_once() -> None:
    found, probes = played([*range(1, 1001)], lambda _port, _attempt: 0.01)
    assert states(found) == {"closed"}
    assert len(probes) == 1000


def test_a_silent_port_is_probed_again_and_given_up() -> None:
    found, probes = played([7, 8], lambda _port, _attempt: None)
    assert dict(found.states()) == {7: "filtered", 8: "filtered"}
    assert sorted(probe[1:] for probe in probes) == [(port, attempt) for port in (7, 8) for attempt in range(3)]
    assert probes[-1][0] == pytest.approx(2, abs=0.01)


def test_a_loss_that_is_noticed_gives_silent_ports_seven_more_chances() -> None:
    """Port 1 is given up before port 2 shows that the way loses packets."""
    answers = {(1, 8): 0.01, (2, 2): 0.01}
    found, _ = played([1, 2], lambda port, attempt: answers.get((port, attempt)))
    assert dict(found.states()) == {1: "closed", 2: "closed"}


def test_an_answer_that_comes_late_counts() -> None:
    found, probes = played([1, 2, 3], lambda port, attempt: 2.5 if port == 2 and attempt == 0 else None)
    assert dict(found.states()) == {1: "filtered", 2: "closed", 3: "filtered"}
    assert len(probes) >= 8


@pytest.mark.parametrize("errors", [12, 30])
def test_a_host_that_sends_one_error_a_second_is_asked_slowly(errors: int) -> None:
    """Linux: a bucket of six, and one more each second."""
    tokens, filled = 6.0, 0.0
    clock = [0.0]

    def respond(_port: int, _attempt: int) -> float | None:
        nonlocal tokens, filled
        tokens, filled = min(6.0, tokens + clock[0] - filled), clock[0]
        if tokens < 1:
            return None
        tokens -= 1
        return 0.001

    found = HostResult(V4, "open|filtered")
    schedule = Schedule(found, array("H", range(1, errors + 1)), 3, 100, errors_matter=True)
    while not schedule.done:
        schedule.expire(clock[0])
        probe = schedule.next_probe(clock[0])
        if probe is None:
            clock[0] += max(schedule.wait(clock[0]), 1e-6)
        elif respond(*probe) is not None:
            schedule.answered(Answer(V4, *probe, "closed", by_icmp=True), clock[0] + 0.001)
    assert states(found) == {"closed"}
    assert clock[0] < 4 * errors


@given(st.data())
@settings(max_examples=50)
def test_whatever_is_lost_every_port_ends_with_a_state(data: st.DataObject) -> None:
    ports = data.draw(st.lists(st.integers(1, 65_535), min_size=1, max_size=30, unique=True))
    lost = data.draw(st.sets(st.tuples(st.sampled_from(ports), st.integers(0, 9))))
    after = data.draw(st.floats(0.0001, 3))
    found, probes = played(ports, lambda port, attempt: None if (port, attempt) in lost else after)
    assert {port for port, _ in found.states()} == set(ports)
    assert len({probe[1:] for probe in probes}) == len(probes) <= 10 * len(ports)
    heard = {port for port in ports if (port, 0) not in lost}
    assert heard <= {port for port, state in found.states() if state == "closed"} or after > 0.1


def test_a_second_answer_changes_nothing() -> None:
    found = HostResult(V4, "filtered")
    schedule = Schedule(found, array("H", [5]), 3, 10)
    assert schedule.next_probe(0) == (5, 0)
    schedule.answered(Answer(V4, 5, 0, "open"), 0.1)
    schedule.answered(Answer(V4, 5, 0, "closed"), 0.2)
    assert dict(found.states()) == {5: "open"}
    assert schedule.done


def test_an_interrupted_scan_knows_only_what_was_decided() -> None:
    found = HostResult(V4, "filtered")
    schedule = Schedule(found, array("H", [5, 6]), 3, 10)
    schedule.next_probe(0)
    schedule.next_probe(0)
    schedule.answered(Answer(V4, 5, 0, "open"), 0.1)
    assert dict(found.states()) == {5: "open"}
    assert not schedule.done
