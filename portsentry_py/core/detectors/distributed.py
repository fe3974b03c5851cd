"""Distributed scan: sources cover the ports of a host together, each of them below the other thresholds."""

from collections import Counter

from portsentry_py.config.settings import Distributed
from portsentry_py.core.detectors.base import PROBES
from portsentry_py.core.finding import Finding
from portsentry_py.core.host_state import network_of
from portsentry_py.core.lru_table import LruTable
from portsentry_py.core.sighting import Kind, Sighting
from portsentry_py.core.source_record import SourceRecord

# A tool has users everywhere: what they do together is done in a tenth of the time that a network may take.
_TOOL_SHARE = 10


# Which port of the target was asked for first by which source of the group, and when last; in that order.
# There are few in a group and many groups: a plain dict is half as large as an ordered one.
_Ports = dict[tuple[str, int], tuple[str, int]]


def _oldest_us(ports: _Ports) -> int:
    return next(iter(ports.values()))[1]


class DistributedDetector:
    """Counts distinct ports of one target over all sources of a /24 or /64, or of one tool's fingerprint.

    No source may have more than half of them: that one would be a scanner by itself. A source that sent a
    lone packet is watched: that much can be forged in anybody's name. So is who shares a tool alone:
    all day long, strangers with the same tool ask every host of the internet for a port or two.
    """

    kinds = PROBES | {Kind.ANSWERED}
    direction = "inbound"

    def __init__(self, settings: Distributed, max_groups: int) -> None:
        self._min_ports = settings.min_ports
        self._max_ports = 2 * settings.min_ports
        self._min_sources = settings.min_sources
        self._window_us = settings.window_seconds * 1_000_000
        self._tool_window_us = self._window_us // _TOOL_SHARE
        self._groups: LruTable[tuple[str, str], _Ports] = LruTable(max_groups)

    def observe(self, sighting: Sighting, record: SourceRecord) -> Finding | None:
        """See Detector."""
        if sighting.proto not in {"tcp", "udp"}:
            return None
        tool = record.tool
        tool_together = tool is not None and self._note(tool, sighting, self._tool_window_us)
        if self._note(network_of(sighting.source), sighting, self._window_us):
            bannable = len(record.unserved) > 1
            return Finding("distributed", sighting, record, record.scan_type, bannable, "network_together")
        if tool_together:
            return Finding("distributed", sighting, record, record.scan_type, False, "tool_together")
        return None

    def _note(self, name: str, sighting: Sighting, window_us: int) -> bool:
        """Write the sighting into a group; whether the group scans together."""
        key = (name, sighting.target)
        ports = self._groups.touch(key)
        if ports is None:
            ports = {}
            self._groups.put(key, ports)
        port = (sighting.proto, sighting.port)
        if sighting.kind is Kind.ANSWERED:
            ports.pop(port, None)
            return False
        # A port belongs to the first who asked for it: neighbours who all ask for the same are no scan.
        source, _ = ports.pop(port, (sighting.source, 0))
        ports[port] = (source, sighting.time_us)
        while len(ports) > self._max_ports or abs(sighting.time_us - _oldest_us(ports)) > window_us:
            del ports[next(iter(ports))]
        return len(ports) >= self._min_ports and self._together(ports, sighting.source)

    def _together(self, ports: _Ports, source: str) -> bool:
        counts = Counter(first for first, _ in ports.values())
        return (
            len(counts) >= self._min_sources and source in counts and max(counts.values()) * 2 <= len(ports)
        )
