"""Points: each new port scores, low ports more, as long as the pace holds (scanlogd, xt_psd, Sophos)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from portsentry_py.core.detectors.base import MOST, PROBES, Attempts, type_of
from portsentry_py.core.finding import Finding
from portsentry_py.core.sighting import Sighting
from portsentry_py.core.source_record import SourceRecord

_FIRST_HIGH_PORT = 1024
_ALWAYS_US = 1 << 62


@dataclass(frozen=True, slots=True)
class Points:
    """A peer's weights.

    `gap_us` is the longest pause between two ports, `window_us` the longest time that all may take.
    """

    enough: int = 21
    low_port: int = 3
    high_port: int = 1
    special: Mapping[int, int] = field(default_factory=dict)
    gap_us: int = 3_000_000
    window_us: int = _ALWAYS_US


# scanlogd 2.2.8 params.h: 21 points, 3 and 1, three seconds between two ports. xt_psd is the same rule.
SCANLOGD = Points()
# As the Targa/Bez slides have it: all within 300 ms, and 10 for ports that Trojan horses were known for.
# (Their source meant xt_psd's 300 hundredths of a second.)
SOPHOS = Points(special={11: 10, 12: 10, 13: 10, 2000: 10}, window_us=300_000)


class PointsDetector:
    """Sums the points of a source's latest distinct TCP ports, whichever of our addresses it asked.

    The pause is measured from one new port to the next; a port asked for again changes nothing.
    """

    kinds = PROBES
    direction = "inbound"

    def __init__(self, points: Points) -> None:
        self._points = points

    def observe(self, sighting: Sighting, record: SourceRecord) -> Finding | None:
        """See Detector."""
        if sighting.proto != "tcp":
            return None
        recent = record.recent(sighting.time_us, _ALWAYS_US, MOST)
        newest_first = sorted(
            (item for item in recent if item[0].proto == "tcp"), key=lambda item: -item[1].first_us
        )
        if self._score(newest_first) < self._points.enough:
            return None
        return Finding("port_scan", sighting, record, type_of(newest_first), True, "points")

    def _score(self, newest_first: Attempts) -> int:
        points = self._points
        ports: set[int] = set()
        newest_us = later_us = newest_first[0][1].first_us if newest_first else 0
        for pair, attempt in newest_first:
            began_us = attempt.first_us
            if later_us - began_us > points.gap_us or newest_us - began_us > points.window_us:
                break
            later_us = began_us
            ports.add(pair.port)
        return sum(points.special.get(port, self._weight(port)) for port in ports)

    def _weight(self, port: int) -> int:
        return self._points.low_port if port < _FIRST_HIGH_PORT else self._points.high_port
