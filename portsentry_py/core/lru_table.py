"""A bounded table: when it is full, an entry that was not used for long is evicted and counted."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")
_COMPARED = 8


class LruTable(Generic[K, V]):
    """A mapping of at most `limit` entries, in order of last use.

    Args:
        limit: the number of entries that it holds at most.
        on_evict: called with key and value of an evicted entry.
        worth: if given, the least worthy of the eight least recently used entries is evicted, and those that are worth
            more count as used: many worthless entries do not push out a worthy one.
    """

    def __init__(
        self, limit: int, on_evict: Callable[[K, V], None] | None = None, worth: Callable[[V], int] | None = None
    ) -> None:
        self._limit = limit
        self._entries: OrderedDict[K, V] = OrderedDict()
        self._on_evict = on_evict
        self._worth = worth
        self.evicted = 0
        # For the hot path: no Python function is called.
        self.holds = self._entries.__contains__
        """Whether there is such an entry."""
        self.peek = self._entries.get
        """The entry, if there is one; does not count as use."""
        self.renew = self._entries.move_to_end
        """The entry, which is there, becomes the most recently used."""
        self.size = self._entries.__len__
        """The number of entries."""
        self.values = self._entries.values()
        """All entries as they are now, the least recently used first."""

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: K) -> bool:
        return key in self._entries

    def touch(self, key: K) -> V | None:
        """The entry, if there is one; it becomes the most recently used."""
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def add(self, key: K, entry: V) -> None:
        """Add an entry that is not there; evicts others if there are too many. A look-up less than `put`."""
        entries = self._entries
        entries[key] = entry
        if len(entries) > self._limit:
            self.evict_oldest()

    def put(self, key: K, entry: V) -> None:
        """Add or replace an entry as the most recently used; evicts others if there are too many."""
        entries = self._entries
        if key in entries:
            entries.move_to_end(key)
        entries[key] = entry
        if len(entries) > self._limit:
            self.evict_oldest()

    def pop(self, key: K) -> V | None:
        """Remove an entry without counting it as evicted."""
        return self._entries.pop(key, None)

    def oldest(self) -> tuple[K, V] | None:
        """The least recently used entry."""
        return next(iter(self._entries.items()), None)

    def evict_oldest(self) -> None:
        """Drop the least recently used entry, or the least worthy of several, and count it."""
        if self._worth is None:
            key, entry = self._entries.popitem(last=False)
        else:
            key = self._least_worthy(self._worth)
            entry = self._entries.pop(key)
        self.evicted += 1
        if self._on_evict is not None:
            self._on_evict(key, entry)

    def _least_worthy(self, worth: Callable[[V], int]) -> K:
        # The entry that was used last is the one that needs the room.
        newest = next(reversed(self._entries))
        compared = list(islice(self._entries.items(), max(1, min(_COMPARED, len(self._entries) - 1))))
        least, entry = min(compared, key=lambda item: worth(item[1]))
        for key in (*(key for key, other in compared if worth(other) > worth(entry)), newest):
            self._entries.move_to_end(key)
        return least

    def items(self) -> Iterator[tuple[K, V]]:
        """All entries, the least recently used first."""
        return iter(self._entries.items())
