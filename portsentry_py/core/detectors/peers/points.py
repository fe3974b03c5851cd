"""Points: each new port scores, low ports more, while the pauses are short (scanlogd, xt_psd, Sophos)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from portsentry_py.core.detectors.base import Detector, type_of
from portsentry_py.core.finding import Finding
from portsentry_py.core.question import Attempts
from portsentry_py.core.sighting import Sighting
from portsentry_py.core.source_record import ANY_TIME_US, MAX_JUDGED, SourceRecord

_FIRST_HIGH_PORT = 1024


@dataclass(frozen=True, slots=True)
class Points:
    """A peer's weights.

    `gap_us` is the longest pause between two ports, `window_us` the longest time that all may take.
    """

    threshold: int = 21
    low_port: int = 3
    high_port: int = 1
    special: Mapping[int, int] = field(default_factory=dict)
    gap_us: int = 3_000_000
    window_us: int = ANY_TIME_US


# scanlogd 2.2.8 params.h: 21 points, 3 and 1, three seconds between two ports. xt_psd is the same rule.
SCANLOGD = Points()
# As the Targa/Bez slides have it: all within 300 ms, and 10 for ports that Trojan horses were known for.
# (Their source meant xt_psd's 300 hundredths of a second.)
SOPHOS = Points(special={11: 10, 12: 10, 13: 10, 2000: 10}, window_us=300_000)


class PointsDetector(Detector):
    """Sums the points of a source's latest distinct TCP ports, over all our addresses.

    The pause is measured from one new port to the next; a repeated probe of a port changes nothing.
    """

    def __init__(self, points: Points) -> None:
        self._points = points

    def observe(self, sighting: Sighting, record: SourceRecord) -> Finding | None:
        """See Detector."""
        if sighting.proto != "tcp":
            return None
        recent = record.recent(sighting.time_us, ANY_TIME_US, MAX_JUDGED)
        newest_first = sorted((item for item in recent if item[0].proto == "tcp"), key=lambda item: -item[1].first_us)
        if self._score(newest_first) < self._points.threshold:
            return None
        return Finding("port_scan", sighting, record, type_of(newest_first), True, "points")

    def _score(self, newest_first: Attempts) -> int:
        points = self._points
        ports: set[int] = set()
        newest_us = later_us = newest_first[0][1].first_us if newest_first else 0
        for endpoint, attempt in newest_first:
            began_us = attempt.first_us
            if later_us - began_us > points.gap_us or newest_us - began_us > points.window_us:
                break
            later_us = began_us
            ports.add(endpoint.port)
        return sum(points.special.get(port, self._weight(port)) for port in ports)

    def _weight(self, port: int) -> int:
        return self._points.low_port if port < _FIRST_HIGH_PORT else self._points.high_port
