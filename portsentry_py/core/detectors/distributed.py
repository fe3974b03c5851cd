"""Distributed scan: sources cover the ports of a host together, each of them below the other thresholds."""

from collections import Counter
from collections.abc import Callable
from operator import itemgetter

from portsentry_py.config.settings import Distributed
from portsentry_py.core.detectors.base import Detector
from portsentry_py.core.finding import Finding
from portsentry_py.core.group_table import GroupLimits, GroupPorts, GroupTable
from portsentry_py.core.host_state import groups_of
from portsentry_py.core.question import look_for_services
from portsentry_py.core.sighting import Sighting
from portsentry_py.core.source_record import SourceRecord

# A tool has users everywhere: their probes count together for a tenth of the time of a network's.
_TOOL_SHARE = 10
_PROTOS = frozenset({"tcp", "udp"})
_source: Callable[[tuple[str, int]], str] = itemgetter(0)


class DistributedDetector(Detector):
    """Counts distinct ports of one target over all sources of a network (/24; of IPv6 /56 or /48), or of one tool.

    No source may have more than half of them: that one would be a scanner by itself. A source that sent a
    lone packet is watched, because that much can be forged in anybody's name; so is a source that shares
    nothing but a tool, because strangers with the same tool probe every host of the internet all day.

    Args:
        settings: the thresholds.
        groups: the table that it reads.
    """

    def __init__(self, settings: Distributed, groups: GroupTable) -> None:
        self._min_ports = settings.min_ports
        self._min_sources = settings.min_sources
        self._groups = groups
        window_us = settings.window_seconds * 1_000_000
        self.group_limits = GroupLimits(2 * settings.min_ports, window_us, window_us // _TOOL_SHARE)

    def observe(self, sighting: Sighting, record: SourceRecord) -> Finding | None:
        """See Detector."""
        if sighting.proto not in _PROTOS:
            return None
        source, target, groups = sighting.source, sighting.target, self._groups
        for network in groups_of(source):
            if self._is_shared(groups.peek((network, target)), source):
                return Finding(
                    "distributed",
                    sighting,
                    record,
                    record.scan_type,
                    bannable=len(record.unserved) > 1,
                    reason="network_together",
                    group=network,
                )
        tool = record.tool if record.tools else None
        if tool is not None and self._is_shared(groups.peek((tool, target)), source):
            return Finding("distributed", sighting, record, record.scan_type, False, "tool_together")
        return None

    def _is_shared(self, ports: GroupPorts | None, source: str) -> bool:
        # The first checks tell most; they are asked after each probe.
        if ports is None or ports.only or len(ports) < self._min_ports:
            return False
        if len(set(map(_source, ports.values()))) < self._min_sources:
            return False
        counts = Counter(map(_source, ports.values()))
        is_shared = source in counts and max(counts.values()) * 2 <= len(ports)
        return is_shared and not look_for_services(port for _, port in ports)
