"""Hosts are counted once for each source, over two hours, within bounds."""

from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.fleet.contact_table import ContactTable, Seen, Witness
from portsentry_py.fleet.contacts import HOUR_US
from portsentry_py.fleet.messages import Contact
from tests.support.fleet import NOW_US, SCANNER, contact

A, B, C, D = (f"web{number}" for number in range(4))


def witness(name: str, network: str = "") -> Witness:
    return name, network or name


def add(table: ContactTable, name: str, now_us: int = NOW_US, source: str = SCANNER, *, proven: bool = False) -> Seen:
    return table.add(source, witness(name), contact(source), now_us, proven=proven)


def hosts(seen: Seen) -> list[str]:
    return [name for name, _ in seen.witnesses]


def test_a_host_counts_once() -> None:
    table = ContactTable(3)
    add(table, A)
    assert hosts(add(table, A)) == [A]
    assert hosts(add(table, B)) == [A, B]


def test_two_hours_count_and_no_third() -> None:
    table = ContactTable(3)
    add(table, A)
    assert hosts(add(table, B, NOW_US + HOUR_US)) == [A, B]
    seen = table.of_this_hour(SCANNER)
    assert seen is not None
    assert hosts(seen) == [B]
    assert hosts(add(table, C, NOW_US + 2 * HOUR_US)) == [B, C]
    assert hosts(add(table, D, NOW_US + 9 * HOUR_US)) == [D]
    assert len(table) == 1


def test_a_clock_that_was_set_back_forgets_nothing() -> None:
    table = ContactTable(3)
    add(table, A)
    assert hosts(add(table, B, NOW_US - 5 * HOUR_US)) == [A, B]


def test_no_more_hosts_are_kept_than_it_takes_and_another_network_is_worth_more() -> None:
    table = ContactTable(3)
    for name, network in ((A, "x"), (B, "x"), (C, "x"), (D, "x")):
        seen = table.add(SCANNER, witness(name, network), contact(), NOW_US, proven=False)
    assert (len(seen.witnesses), seen.networks) == (3, 1)
    for name, network in (("y1", "y"), ("z1", "z"), ("u1", "u"), ("y2", "y")):
        seen = table.add(SCANNER, witness(name, network), contact(), NOW_US, proven=False)
    assert (len(seen.witnesses), seen.networks) == (3, 3)


def test_a_proof_and_a_name_stay() -> None:
    table = ContactTable(3)
    add(table, A, proven=True)
    hidden = Contact("0" * 32, 22, "syn", False)
    seen = table.add(SCANNER, witness(B), hidden, NOW_US, proven=False)
    assert seen.proven
    assert seen.contact == contact()


def test_the_first_source_of_one_host_goes_first() -> None:
    table = ContactTable(3, most=3)
    add(table, A)
    add(table, B)
    add(table, A, source="45.1.1.1", proven=True)
    for number in range(10):
        add(table, C, source=f"45.2.2.{number}")
    assert len(table) == 3
    assert table.evicted == 9
    assert table.of_this_hour(SCANNER)
    assert table.of_this_hour("45.1.1.1")
    assert table.of_this_hour("45.2.2.9")


def test_a_table_that_is_full_of_sweeps_stays_bounded() -> None:
    table = ContactTable(3, most=2)
    for number in range(5):
        for name in (A, B):
            add(table, name, source=f"45.2.2.{number}")
    assert len(table) == 2


def test_what_a_removed_host_reported_is_forgotten() -> None:
    table = ContactTable(3)
    add(table, A, proven=True)
    add(table, B)
    add(table, A, source="45.1.1.1")
    table.forget({A})
    seen = table.of_this_hour(SCANNER)
    assert seen is not None
    assert (hosts(seen), seen.proven) == ([B], False)
    assert table.of_this_hour("45.1.1.1") is None
    table.forget({"web9"})
    assert len(table) == 1


steps = st.tuples(
    st.integers(0, 20), st.integers(0, 9), st.integers(0, 3), st.booleans(), st.integers(-HOUR_US, 2 * HOUR_US)
)


@given(st.lists(steps, max_size=80), st.integers(2, 4))
def test_no_sequence_breaks_a_bound(sequence: list[tuple[int, int, int, bool, int]], enough: int) -> None:
    table, now_us = ContactTable(enough, most=5), NOW_US
    reported: dict[str, set[str]] = {}
    for source, host, network, proven, pause in sequence:
        now_us += pause
        name = f"45.1.1.{source}"
        reported.setdefault(name, set()).add(f"h{host}")
        seen = table.add(name, (f"h{host}", f"n{network}"), contact(name), now_us, proven=proven)
        names = hosts(seen)
        assert 1 <= len(names) <= enough
        assert len(set(seen.witnesses)) == len(names)
        assert set(names) <= reported[name]
        assert seen.contact.address == name
        assert len(table) <= 10
