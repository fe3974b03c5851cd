"""Probes of the route to us (traceroute, tracepath, mtr): datagrams with few hops left, to rising ports."""

from dataclasses import dataclass

from portsentry_py.core.allowance import Allowance
from portsentry_py.core.lru_table import LruTable
from portsentry_py.core.packet import UDP, Packet
from portsentry_py.core.rate_limit import Rate, TokenBucket

# traceroute(8) counts from 33434; mtr --udp from 33000, tracepath from 44444, one port for each probe.
_TRACEROUTE_PORTS = range(33_434, 33_626)
FIRST_ROUTE_PORT = 33_000
"""No probe of the route goes to a lower port."""
_MOST_HOPS = 32
# A round of mtr asks for one port for each hop, and traceroute has sixteen probes under way, which overtake each other.
_MOST_STEP = 64
_MOST_OVERTAKEN = 16
# Sixteen probes a second, and 192 at once: mtr sends twelve a round to a host that does not answer.
_RATE = Rate(16 / 1e6, 192)
_MAX_RUNS = 4_096
# A network monitor measures the routes to a few hosts; who measures those to all is looking for them.
_MAX_TARGETS = 16
_TARGETS_US = 3_600_000_000


@dataclass(slots=True)
class _Run:
    """The highest port of a run of probes, and how many more may come."""

    port: int
    bucket: TokenBucket

    def takes(self, probe: Packet) -> bool:
        """Whether a probe is the next one of the run, within its rate."""
        is_rising = -_MOST_OVERTAKEN <= probe.dest_port - self.port <= _MOST_STEP
        self.port = max(self.port, probe.dest_port) if is_rising else probe.dest_port
        return is_rising and self.bucket.take(probe.time_us)


class RouteProbes:
    """Tells probes of the route from a scan; bounded in runs.

    A scanner who sends with few hops left has 192 ports where nobody serves anything, and above 33000 sixteen ports a
    second, if it asks for them in their order, at sixteen hosts in an hour.
    """

    def __init__(self) -> None:
        self._runs: LruTable[tuple[str, str], _Run] = LruTable(_MAX_RUNS)
        self._targets = Allowance(_MAX_TARGETS, _TARGETS_US, _MAX_RUNS)

    def take(self, packet: Packet, source: str) -> bool:
        """Whether a packet is such a probe; note it if so.

        Args:
            packet: the packet.
            source: the source that its address belongs to.
        """
        if packet.proto != UDP or packet.dest_port < FIRST_ROUTE_PORT or packet.ttl > _MOST_HOPS:
            return False
        if not self._targets.takes(source, packet.dst, packet.time_us):
            return False
        key = (source, packet.dst)
        run = self._runs.touch(key)
        if run is None:
            run = _Run(packet.dest_port, TokenBucket(_RATE, _RATE.size, packet.time_us))
            self._runs.put(key, run)
        is_next = run.takes(packet)
        return packet.dest_port in _TRACEROUTE_PORTS or is_next

    def holds(self, probe: Packet, source: str) -> bool:
        """Whether a probe that we refused is one, as far as the refusal tells: not how many hops were left."""
        if probe.proto != UDP or probe.dest_port < FIRST_ROUTE_PORT:
            return False
        run = self._runs.peek((source, probe.dst))
        is_latest = run is not None and 0 <= run.port - probe.dest_port <= _MOST_STEP
        # Else the probe was lost, or is captured after its refusal.
        return probe.dest_port in _TRACEROUTE_PORTS or is_latest or (run is not None and run.takes(probe))
