"""Distributed scan: sources of one network cover the ports of a host together, each below the thresholds."""

from collections import OrderedDict
from dataclasses import dataclass, field

from portsentry_py.detectors.base import PROBES
from portsentry_py.finding import Finding
from portsentry_py.host import network_of
from portsentry_py.ledger import SourceRecord
from portsentry_py.settings import Distributed
from portsentry_py.sighting import Kind, Sighting
from portsentry_py.tables import BoundedTable


@dataclass(slots=True)
class _Network:
    """Which port of the target each source of a network asked for last, and when."""

    ports: "OrderedDict[tuple[str, int], tuple[str, int]]" = field(default_factory=OrderedDict)


class DistributedDetector:
    """Counts distinct ports of one target over all sources of a /24 or /64.

    No source may have more than half of them: that one would be a scanner by itself.
    """

    def __init__(self, settings: Distributed, max_networks: int) -> None:
        self._min_ports = settings.min_ports
        self._max_ports = 2 * settings.min_ports
        self._min_sources = settings.min_sources
        self._window_us = settings.window_seconds * 1_000_000
        self._networks: BoundedTable[tuple[str, str], _Network] = BoundedTable(max_networks)

    def observe(self, sighting: Sighting, record: SourceRecord) -> Finding | None:
        """See Detector."""
        if sighting.direction != "inbound" or sighting.proto not in {"tcp", "udp"}:
            return None
        if sighting.kind not in PROBES | {Kind.ANSWERED}:
            return None
        key = (network_of(sighting.source), sighting.target)
        network = self._networks.touch(key)
        if network is None:
            network = _Network()
            self._networks.put(key, network)
        port = (sighting.proto, sighting.port)
        if sighting.kind is Kind.ANSWERED:
            network.ports.pop(port, None)
            return None
        # A port belongs to the first who asked for it: neighbours who all ask for the same are no scan.
        source, _ = network.ports.get(port, (sighting.source, 0))
        network.ports[port] = (source, sighting.time_us)
        network.ports.move_to_end(port)
        if len(network.ports) > self._max_ports:
            network.ports.popitem(last=False)
        if len(network.ports) < self._min_ports or not self._together(network, sighting):
            return None
        return Finding("distributed", sighting, record, record.scan_type, True, "network_together")

    def _together(self, network: _Network, sighting: Sighting) -> bool:
        counts: dict[str, int] = {}
        for source, last_us in network.ports.values():
            if abs(sighting.time_us - last_us) <= self._window_us:
                counts[source] = counts.get(source, 0) + 1
        ports = sum(counts.values())
        return (
            ports >= self._min_ports
            and len(counts) >= self._min_sources
            and sighting.source in counts
            and max(counts.values()) * 2 <= ports
        )
