"""Scans for which the rate limit left no line: the strongest have one when they have ended and there is room."""

from collections import Counter
from collections.abc import Iterator
from operator import attrgetter

from portsentry_py.core.finding import Series
from portsentry_py.core.host_state import wide_network_of
from portsentry_py.core.lru_table import LruTable
from portsentry_py.core.policy import Judgement
from portsentry_py.core.sighting import Sighting
from portsentry_py.events.model import Direction, Verdict

MAX_SCANS = 1_024
LEAST_WEIGHT = 16
"""A scan that is smaller is not remembered."""
ScanKey = tuple[str, Direction, Series]
"""Source, direction, and which lines about it belong together."""
# Room is looked for at whole seconds, so that a tick between two packets changes no line.
_STEP_US = 1_000_000
_MEMORY_US = 3_600_000_000
_NEVER_US = 1 << 63


class UnreportedScan:
    """A scan without a line: its last judgement, and its last probe, judged or only counted."""

    __slots__ = ("first_us", "first_weight", "last", "last_probe")
    reported_verdict: Verdict | None = None

    def __init__(self, judgement: Judgement, first_us: int) -> None:
        self.first_us = first_us
        self.first_weight = judgement.finding.weight
        self.last = judgement
        self.last_probe = judgement.finding.sighting

    @property
    def weight(self) -> int:
        """The size of the scan."""
        return self.last.finding.weight

    @property
    def network(self) -> str:
        """The wide network of the source."""
        return wide_network_of(self.last.finding.record.address)


class UnreportedScans:
    """The strongest of these scans, bounded: however many are forged with less, they stay.

    Args:
        quiet_us: a scan has ended after this time without a probe.
    """

    def __init__(self, quiet_us: int) -> None:
        self._quiet_us = quiet_us
        self._scans: LruTable[ScanKey, UnreportedScan] = LruTable(MAX_SCANS, worth=attrgetter("weight"))
        self._lines: Counter[str] = Counter()  # that each network had of these scans
        self.next_us = _NEVER_US
        """When to look for room next."""

    def note(self, key: ScanKey, judgement: Judgement, first_us: int) -> None:
        """There is no line for a scan that had none before."""
        if judgement.finding.weight < LEAST_WEIGHT:
            return
        scan = self._scans.touch(key)
        if scan is None:
            self._scans.put(key, UnreportedScan(judgement, first_us))
        else:
            scan.last, scan.last_probe = judgement, judgement.finding.sighting
        ends_us = judgement.finding.sighting.time_us + self._quiet_us
        self.next_us = min(self.next_us, -(-ends_us // _STEP_US) * _STEP_US)

    def touch(self, key: ScanKey, probe: Sighting) -> None:
        """One more probe of the scan, if it is here."""
        scan = self._scans.touch(key)
        if scan is not None:
            scan.last_probe = probe

    def drop(self, key: ScanKey) -> None:
        """The scan has a line."""
        self._scans.pop(key)

    def times(self, now_us: int) -> Iterator[int]:
        """The moments until now at which to look for room."""
        if now_us - self.next_us > _MEMORY_US:
            self.next_us = now_us // _STEP_US * _STEP_US
        while self.next_us <= now_us:
            yield self.next_us
            self.next_us = self.next_us + _STEP_US if len(self._scans) else _NEVER_US
        if not len(self._scans) or len(self._lines) > MAX_SCANS:
            self._lines.clear()

    def ended(self, now_us: int) -> Iterator[tuple[ScanKey, UnreportedScan]]:
        """The scans that have ended, the strongest first, each network in turn; those of long ago are forgotten."""
        quiet_us, turns = self._quiet_us, Counter(self._lines)
        due = [(key, one) for key, one in self._scans.items() if abs(now_us - one.last_probe.time_us) >= quiet_us]
        ranked: list[tuple[int, int, int]] = []
        for nth, (key, one) in sorted(enumerate(due), key=lambda item: -item[1][1].weight):
            if one.last.finding.record.evicted or abs(now_us - one.last_probe.time_us) > _MEMORY_US:
                self._scans.pop(key)
                continue
            ranked.append((turns[one.network], -one.weight, nth))
            turns[one.network] += 1
        yield from (due[nth] for _, _, nth in sorted(ranked))

    def report(self, key: ScanKey, scan: UnreportedScan) -> None:
        """The scan gets its line."""
        self._scans.pop(key)
        self._lines[scan.network] += 1
