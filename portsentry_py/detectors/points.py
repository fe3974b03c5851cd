"""Points: each new port scores, low ports more, as long as the pace holds (scanlogd, xt_psd, Sophos)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from portsentry_py.detectors.base import PROBES, attempts_on_target, type_of
from portsentry_py.finding import Finding
from portsentry_py.ledger import SourceRecord
from portsentry_py.sighting import Sighting

_FIRST_HIGH_PORT = 1024


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
    window_us: int = 1 << 62


# scanlogd 2.2.8 params.h: 21 points, 3 and 1, three seconds between two ports. xt_psd is the same rule.
SCANLOGD = Points()
# As the Targa/Bez slides have it: all within 300 ms, and 10 for ports that Trojan horses were known for.
# (Their source meant xt_psd's 300 hundredths of a second.)
SOPHOS = Points(special={11: 10, 12: 10, 13: 10, 2000: 10}, window_us=300_000)


class PointsDetector:
    """Sums the points of the latest distinct TCP ports of one target."""

    def __init__(self, points: Points) -> None:
        self._points = points

    def observe(self, sighting: Sighting, record: SourceRecord) -> Finding | None:
        """See Detector."""
        if sighting.kind not in PROBES or sighting.direction != "inbound" or sighting.proto != "tcp":
            return None
        points, later_us, score = self._points, sighting.time_us, 0
        attempts = attempts_on_target(sighting, record, points.window_us)
        for pair, attempt in attempts:
            if abs(later_us - attempt.last_us) > points.gap_us:
                break
            later_us = attempt.last_us
            score += points.special.get(pair.port, self._weight(pair.port))
        if score < points.enough:
            return None
        return Finding("port_scan", sighting, record, type_of(attempts), True, "points")

    def _weight(self, port: int) -> int:
        return self._points.low_port if port < _FIRST_HIGH_PORT else self._points.high_port
