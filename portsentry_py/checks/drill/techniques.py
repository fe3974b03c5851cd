"""The techniques of the drill: what is sent, and what the sensor's line about it must say."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import islice

from portsentry_py.config.settings import Settings
from portsentry_py.errors import ConfigError
from portsentry_py.events.model import ScanType

# Well above the threshold of each detector, and few enough for the bounds of a host that limits its refusals.
_FEWEST_PORTS, _MOST_PORTS = 16, 200
# Ports that no client, no traceroute and no load balancer asks for. Half are well-known ones: answers to questions in
# our name do not come to these.
_RANGES = (range(640, 860), range(1100, 2500))
_TOUCHES = 3
VERSIONS = (4, 6)


@dataclass(frozen=True, slots=True)
class Technique:
    """One kind of scan over one family.

    Attributes:
        method: what is sent, and the `scan_type` of the line.
        version: 4 or 6.
        is_trap: one trap port is touched, and the line is a `trap` line.
    """

    method: ScanType
    version: int
    is_trap: bool = False

    @property
    def name(self) -> str:
        """Its name in the table."""
        return f"{'trap' if self.is_trap else self.method} IPv{self.version}"

    @property
    def needs_answers(self) -> bool:
        """Whether the sensor knows it by this host's answers alone."""
        return self.method in {"maimon", "ack"}


_METHODS: tuple[ScanType, ...] = ("connect", "syn", "null", "fin", "xmas", "maimon", "ack", "udp")
ALL = tuple(
    technique
    for version in VERSIONS
    for technique in (*(Technique(method, version) for method in _METHODS), Technique("connect", version, is_trap=True))
)
QUICK = (Technique("connect", 4), Technique("syn", 4), Technique("xmas", 4), Technique("udp", 4), Technique("syn", 6))


def closed_ports(settings: Settings, served: Collection[int]) -> tuple[int, ...]:
    """The ports that are probed: nobody serves them, and they are no traps.

    Every technique has the same, in the same order, so its sources are not one distributed scan.

    Raises:
        ConfigError: the settings leave none.
    """
    count = max(_FEWEST_PORTS, min(2 * settings.detectors.port_scan.min_ports, _MOST_PORTS))
    busy = {*served, *settings.served.tcp, *settings.served.udp, *settings.traps.tcp, *settings.traps.udp}
    found = [port for ports in _RANGES for port in islice((port for port in ports if port not in busy), count // 2)]
    if len(found) < count // 2 * 2:
        raise ConfigError(f"served and traps leave fewer than {count} ports for the drill; shorten them.")
    return tuple(found)


def trap_touches(settings: Settings, served: Collection[int]) -> tuple[int, ...]:
    """The probes of a trap: one port, touched again; none without a trap."""
    free: Iterable[int] = sorted(settings.traps.tcp - set(served))
    return tuple(port for port in islice(free, 1) for _ in range(_TOUCHES))
