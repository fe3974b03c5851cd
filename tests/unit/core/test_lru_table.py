"""A bounded table evicts the least recently used entry, and counts it."""

from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.core.lru_table import LruTable
from tests.support.build import no_deadline


def full(*keys: str, limit: int = 3) -> LruTable[str, int]:
    table: LruTable[str, int] = LruTable(limit)
    for at, key in enumerate(keys):
        table.put(key, at)
    return table


def test_the_least_recently_used_entry_is_evicted() -> None:
    table = full("a", "b", "c", "d")
    assert [key for key, _ in table.items()] == ["b", "c", "d"]
    assert table.evicted == 1


def test_touching_and_replacing_are_use_and_peeking_is_not() -> None:
    table = full("a", "b", "c")
    assert (table.touch("a"), table.peek("b"), table.touch("x"), table.peek("x")) == (0, 1, None, None)
    table.put("c", 7)
    table.put("d", 3)
    assert [key for key, _ in table.items()] == ["a", "c", "d"]


def test_removing_is_not_evicting() -> None:
    table = full("a", "b")
    assert (table.pop("a"), table.pop("a")) == (0, None)
    assert (table.evicted, len(table), "a" in table, "b" in table) == (0, 1, False, True)


def test_the_owner_gets_the_evicted_entry() -> None:
    gone: list[tuple[str, int]] = []
    table: LruTable[str, int] = LruTable(1, on_evict=lambda key, entry: gone.append((key, entry)))
    table.put("a", 1)
    table.put("b", 2)
    table.evict_oldest()
    assert gone == [("a", 1), ("b", 2)]
    assert table.oldest() is None


def test_worthless_entries_do_not_push_out_a_worthy_one() -> None:
    table: LruTable[str, int] = LruTable(16, worth=lambda entry: entry)
    table.put("scanner", 7)
    for number in range(1_000):
        table.put(f"forged {number}", 2)
    assert "scanner" in table
    assert "forged 999" in table
    assert (len(table), table.evicted) == (16, 985)


def test_of_equally_worthy_entries_the_least_recently_used_is_evicted() -> None:
    table: LruTable[str, int] = LruTable(3, worth=lambda _entry: 1)
    for key in "abcd":
        table.put(key, 1)
    assert sorted(key for key, _ in table.items()) == ["b", "c", "d"]


def test_the_newest_entry_stays_whatever_it_is_worth() -> None:
    table: LruTable[str, int] = LruTable(1, worth=lambda entry: entry)
    table.put("a", 9)
    table.put("b", 1)
    assert [key for key, _ in table.items()] == ["b"]


@no_deadline
@given(st.integers(1, 8), st.lists(st.tuples(st.sampled_from(["put", "touch", "pop"]), st.integers(0, 20))))
def test_it_never_holds_more_than_its_limit(limit: int, steps: list[tuple[str, int]]) -> None:
    table: LruTable[int, str] = LruTable(limit)
    added = removed = 0
    for step, key in steps:
        if step == "put":
            added += key not in table
            table.put(key, "entry")
        elif step == "touch":
            table.touch(key)
        else:
            removed += table.pop(key) is not None
        assert len(table) <= limit
        assert len(table) == added - removed - table.evicted
