"""Places for those that wait: who has one in a flood, how many a network has, and who pays."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.core.columns import head_of
from tests.support.admission_gate import LIMITS, Gate, spend, strangers
from tests.support.build import HOST, SCANNER, SCANNER6, in_time, lines, micros, no_deadline, null, rst, syn


def test_places_are_left_to_sources_that_ask_for_four_things() -> None:
    limits = dataclasses.replace(LIMITS, new_sources_per_second=2, max_held=100_000)
    gate = Gate(limits=limits)  # eight places for quick sources
    for line in lines(*strangers(2, at=0.0025)):
        gate.admits(line)
    odd = [lines(*null(f"198.51.100.{nth}", 1, 2)) for nth in range(8)]
    assert [len([gate.admits(line) for line in probes][-1]) for probes in odd] == [2] * 3 + [0] * 5
    fast = [lines(*syn(f"198.51.101.{nth}", *range(1, 5), every=0.001)) for nth in range(8)]
    assert [len([gate.admits(line) for line in probes][-1]) for probes in fast] == [4] * 5 + [0] * 3


def test_a_quick_source_that_had_no_place_leaves_them_to_those_that_begin() -> None:
    gate = Gate(limits=dataclasses.replace(LIMITS, new_sources_per_second=2, max_held=100_000))
    for line in lines(*strangers(2)):
        gate.admits(line)
    spend(gate.admission._quick, gate.admission._slow, debt=1_000)
    late = lines(*syn("198.51.100.1", *range(1, 5), every=0.001), *syn("198.51.100.1", 5, at=400))
    for line in lines(*strangers(9, at=399.9)):
        gate.admits(line)
    assert [gate.admits(line) for line in late] == [()] * 5
    probes = lines(*syn(SCANNER, *range(1, 5), at=400, every=0.001))
    assert [len(gate.admits(line)) for line in probes] == [0, 0, 0, 4]


def test_slow_sources_pay_for_each_packet_and_leave_the_places_of_quick_ones() -> None:
    gate = Gate(limits=dataclasses.replace(LIMITS, new_sources_per_second=8, max_held=100_000))
    for line in lines(*strangers(20)):
        gate.admits(line)
    slow = [syn(f"198.{51 + nth}.100.1", *range(1, 5), at=0.1, every=0.4) for nth in range(20)]
    sizes = [len(admitted) for line in lines(*in_time(*slow)) if (admitted := gate.admits(line))]
    # A bucket of 32 packets, of which half is left to sources that ask for more.
    assert 4 * sizes.count(4) <= 20
    for line in lines(*strangers(40, at=1.3)):
        gate.admits(line)
    quick = lines(*syn(SCANNER, *range(1, 5), at=1.34, every=0.02))
    assert [len(gate.admits(line)) for line in quick] == [0, 0, 0, 4]


def test_while_no_line_can_be_written_a_released_source_pays_for_each_line() -> None:
    gate = Gate(limits=dataclasses.replace(LIMITS, new_sources_per_second=8, max_held=100_000))
    for line in lines(*strangers(20)):
        gate.admits(line)
    gate.admission.note_spent(micros(0))
    sizes = []
    for nth in range(20):
        probes = lines(*syn(f"198.{51 + nth}.100.1", *range(1, 5), at=0.1, every=0.0001))
        sizes += [len(admitted) for line in probes if (admitted := gate.admits(line))]
    # A bucket of 32 packets, of which half is left to sources that ask for more.
    assert sizes == [4] * 5


def test_while_no_line_can_be_written_a_source_is_tried_when_it_asked_for_twice_as_much() -> None:
    gate = Gate(limits=dataclasses.replace(LIMITS, new_sources_per_second=8, max_held=100_000))
    spend(gate.admission._new)  # others took the places of new sources
    gate.admission.note_spent(micros(0))
    for nth in range(5):
        for line in lines(*syn(f"198.{51 + nth}.100.1", *range(1, 5), at=0.1, every=0.0001)):
            gate.admits(line)
    *waiting, last = lines(*syn(SCANNER, *range(1, 5), at=0.1), *syn(SCANNER, 5, 5, 6, 7, 7, 8, at=0.9, every=0.001))
    assert [gate.admits(line) for line in waiting] == [()] * 9
    assert gate.admits(last) == (*waiting, last)


def spent_gate(new_sources_per_second: int = 8) -> Gate:
    """A gate with no places for new sources, while no line can be written."""
    gate = Gate(limits=dataclasses.replace(LIMITS, new_sources_per_second=new_sources_per_second, max_held=100_000))
    spend(gate.admission._new)  # others took the places of new sources
    gate.admission.note_spent(micros(0))
    return gate


def released(gate: Gate, source: str, asks: int, at: float = 0.1) -> int:
    """How many lines of a source that asks for so much are inspected."""
    return sum(len(gate.admits(line)) for line in lines(*syn(source, *range(1, asks + 1), at=at, every=0)))


def test_while_no_line_can_be_written_a_network_has_half_of_the_places() -> None:
    gate = spent_gate()
    # Of its sixteen, it leaves half to sources that ask for more; so do all together.
    assert [released(gate, f"198.51.100.{nth + 1}", 4) for nth in range(5)] == [4, 4, 4, 0, 0]
    assert [released(gate, f"203.0.113.{nth + 1}", 4) for nth in range(3)] == [4, 4, 0]


def test_a_network_with_a_zero_in_it_is_one_however_its_addresses_are_written() -> None:
    gate = spent_gate()
    sources = ["2600::5", "2600:0:1:1::5", "2600::7", "2600:0:2:1::5"]
    assert [released(gate, source, 4) for source in sources] == [4, 4, 4, 0]
    assert released(gate, "2600:1:2:1::5", 4) == 4


def test_within_a_network_places_are_left_to_sources_that_ask_for_more() -> None:
    gate = spent_gate()
    for nth in range(5):
        released(gate, f"198.51.100.{nth + 1}", 4)
    assert released(gate, "198.51.100.77", 15) == 0
    assert released(gate, "198.51.100.78", 16) == 16


def test_the_networks_whose_places_are_counted_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portsentry_py.core.admission._MAX_NETWORKS", 2)
    gate = spent_gate()
    counts = [released(gate, f"198.{20 + nth % 4}.100.{nth + 1}", 4) for nth in range(40)]
    assert len(gate.admission._networks) == 2
    assert sum(counts) == 20, "to be forgotten gives a network no more than all have"


@pytest.mark.parametrize("cell", ["02:00:5e:00:53:01", "::", "2001::5", "::ffff:198.51.100.7", "fe80::1%2"])
def test_a_source_of_any_text_has_a_network(cell: str) -> None:
    gate = spent_gate()
    asked = [line.replace(SCANNER6, cell) for line in lines(*syn(SCANNER6, 1, 2, 3, 4, at=0.1))]
    assert [len(gate.admits(line)) for line in asked] == [0, 0, 0, 4]


_PLACES = 20  # new sources in a second, so twice as many packets of those that wait


@no_deadline
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from((4, 8, 16, 32, 64)), st.integers(0, 300)), min_size=1, max_size=40
    )
)
def test_no_network_and_not_all_together_have_more_places_than_theirs(flood: list[tuple[int, int, int]]) -> None:
    gate, now, most = spent_gate(_PLACES), 0.1, 0
    inspected = [0, 0, 0]
    for nth, (network, asks, after) in enumerate(flood):
        now += after / 1000
        gate.admission.note_spent(micros(now))
        inspected[network] += released(gate, f"198.{20 + network}.0.{nth}", asks, at=now)
        most = max(most, asks)
        # A burst of two seconds, and what is owed by the one that was released last.
        assert max(inspected) < _PLACES * (2 + now) + most
        assert sum(inspected) < 2 * _PLACES * (2 + now) + most


@no_deadline
@given(st.lists(st.tuples(st.sampled_from((4, 8, 16, 32, 64)), st.integers(0, 300)), max_size=40))
def test_no_flood_of_one_network_keeps_out_a_scanner_of_another(flood: list[tuple[int, int]]) -> None:
    gate, now = spent_gate(2 * _PLACES), 0.1
    for nth, (asks, after) in enumerate(flood):
        now += after / 1000
        gate.admission.note_spent(micros(now))
        released(gate, f"198.20.0.{nth}", asks, at=now)
    gate.admission.note_spent(micros(now))
    # At once, or at the next whole second.
    assert released(gate, SCANNER, 64, at=now) > 0 or any(SCANNER in line for line in gate.admission.let_in())


def test_strong_sources_are_let_in_at_whole_seconds_the_strongest_first_and_pay_for_their_lines() -> None:
    gate = spent_gate()
    for nth in range(40):
        released(gate, f"198.{20 + nth}.0.1", 17)
    asked = lines(*syn(SCANNER, *range(1, 19), at=0.1, every=0.001))
    assert [gate.admits(line) for line in asked] == [()] * 18
    held = gate.admission.held
    assert gate.admission.strong.due_us == micros(1)
    gate.admission.note_spent(micros(0.9))
    assert gate.admission.let_in() == asked
    assert gate.admission.held == held - 18
    assert gate.admission.strong.due_us == micros(2)
    # Sixteen places in a second, and what is owed by the one that had the last turn.
    assert 160 - 17 < sum(len(gate.admission.let_in()) for _ in range(10)) < 160 + 17


def test_quick_sources_do_not_take_the_turns_of_strong_ones() -> None:
    """They need not be scanners: who asks for four served ports is quick, and there is no line about it."""
    gate = Gate(limits=dataclasses.replace(LIMITS, new_sources_per_second=8, max_held=100_000))
    for line in lines(*strangers(20)):
        gate.admits(line)
    asked = lines(*syn(SCANNER, *range(1, 19), at=0.1, every=0.001))
    quick, slow = gate.admission._quick, gate.admission._slow
    for tokens, price in ((quick, 40), (slow, 31)):
        assert tokens.take(head_of(asked[0])[0], price=price)
    assert [gate.admits(line) for line in asked] == [()] * 18
    quick.pay(100)
    assert gate.admission.let_in() == asked


def test_a_source_that_was_cut_to_its_first_lines_is_let_in_without_a_gap() -> None:
    gate = spent_gate(1)
    released(gate, "198.20.0.1", 70)
    sent = syn(SCANNER, *range(600, 680), at=0.1, every=0)
    for line in lines(*sent[:60]):
        gate.admits(line)
    waiting = gate.admission.strong.peek(SCANNER)
    assert waiting is not None
    assert waiting.cut()
    assert [gate.admits(line) for line in lines(*sent[60:], rst(sent[0]))] == [()] * 21
    assert waiting.count == 80
    assert gate.admission.release(SCANNER) == lines(*sent[:32])


def test_a_strong_source_that_waits_is_released_answered_and_called_as_others_are() -> None:
    gate = spent_gate(1)
    released(gate, "198.20.0.1", 70)
    sent = syn(SCANNER, *range(600, 617), at=0.1, every=0)
    probes = lines(*sent)
    refusal, call = lines(rst(sent[0]), *syn(HOST, 80, dst=SCANNER, at=0.3))
    assert [gate.admits(line) for line in (*probes, refusal)] == [()] * 18
    assert gate.admits(call) == (*probes, refusal, call)
    assert [gate.admits(line) for line in probes] == [()] * 17
    assert gate.admission.release(SCANNER) == probes
    assert gate.admission.strong.peek(SCANNER) is None


def test_while_no_line_can_be_written_a_source_that_was_examined_waits_and_a_new_one_does_not() -> None:
    gate = Gate(SCANNER, limits=dataclasses.replace(LIMITS, new_sources_per_second=100, max_held=100_000))
    gate.admission.note_spent(micros(0))
    first, second, third, late = lines(*(syn(SCANNER, 1, at=at)[0] for at in (0.1, 0.2, 0.3, 1.5)))
    assert gate.admits(first) == (first,)
    gate.waits_again[SCANNER] = True
    assert gate.admits(second) == ()
    assert gate.admission.release(SCANNER) == [second]
    (other,) = lines(*syn(SCANNER6, 1, at=0.3))
    assert gate.admits(other) == (other,)
    assert gate.admits(third) == ()
    assert gate.admission.release(SCANNER) == [third]
    assert gate.admits(late) == (late,)


def test_a_source_whose_count_is_full_is_not_tried_with_each_packet() -> None:
    gate = Gate(limits=dataclasses.replace(LIMITS, new_sources_per_second=200, max_held=100_000))
    for line in lines(*strangers(400, every=0)):
        gate.admits(line)
    gate.waits_again[SCANNER] = True
    probes = lines(*syn(SCANNER, *range(1, 601), every=1e-6))
    assert [number for number, probe in enumerate(probes, 1) if gate.admits(probe)] == [4, 8, 16, 32, 64, 128]
