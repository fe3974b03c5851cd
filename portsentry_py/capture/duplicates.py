"""Packets that two watched interfaces have seen: a bridge and its port, a parent and its VLAN. Each counts once."""

from portsentry_py.core.columns import interface_of, time_of, without_place

_ANY = "any"  # one capture of many interfaces has one name for all

# The kernel passes a packet from one interface to the other at once; who sends a packet again waits longer.
_SAME_SECONDS = 0.005
_MAX_LINES = 20_000


class Duplicates:
    """Remembers the lines of the last moments, up to a bound; beyond it a packet can count twice."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[float, str]] = {}

    def without(self, lines: list[str]) -> list[str]:
        """The lines of packets that were not there before."""
        kept = [line for line in lines if not self._was_there(line)]
        if len(self._seen) > _MAX_LINES:
            self._seen.clear()
        return kept

    def _was_there(self, line: str) -> bool:
        packet, time, place = without_place(line), time_of(line), interface_of(line)
        before, first_place = self._seen.get(packet, (float("-inf"), ""))
        if abs(time - before) <= _SAME_SECONDS and (place != first_place or place == _ANY):
            return True
        self._seen[packet] = time, place
        return False
