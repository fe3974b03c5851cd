"""Which ports of a target the sources of a group probed: Sightings in, for scans that sources share."""

from typing import NamedTuple

from portsentry_py.core.host_state import groups_of
from portsentry_py.core.lru_table import LruTable
from portsentry_py.core.sighting import Kind, Sighting
from portsentry_py.core.source_record import SourceRecord
from portsentry_py.events.model import Proto


class GroupPorts(dict[tuple[Proto, int], tuple[str, int]]):
    """Port to the source that probed it first and the time of its last probe, in the order of the last probe.

    There are few in a group and many groups: a plain dict is half as large as an ordered one.

    Attributes:
        only: the source that all of them belong to; empty once there may be several. Most groups have one, and to
            count the sources of each probe's groups takes longer than all other detectors.
    """

    __slots__ = ("only",)

    def __init__(self, only: str) -> None:
        self.only = only


_PROTOS = frozenset({"tcp", "udp"})
_KINDS = frozenset({Kind.PROBE, Kind.REPEAT, Kind.ANSWERED})
_ANSWERED = Kind.ANSWERED


class GroupLimits(NamedTuple):
    """The ports kept for one group and target, and for how long in a network and for a tool."""

    max_ports: int
    network_window_us: int
    tool_window_us: int


class GroupTable:
    """The ports that each network (/24; of IPv6 /56 and /48), and all users of each tool, probed of each target.

    A port belongs to the first source that probed it: neighbours that all probe the same are no scan.
    """

    def __init__(self, max_groups: int) -> None:
        self._groups: LruTable[tuple[str, str], GroupPorts] = LruTable(max_groups)
        self.peek = self._groups.peek
        """The ports of a target that a group (a network or a tool) probed; the key is both, the group first."""
        self._limits: GroupLimits | None = None

    def set_limits(self, limits: GroupLimits | None) -> None:
        """Take the limits of the detector that reads the table; None where no detector does."""
        self._limits = limits

    def update(self, sighting: Sighting, record: SourceRecord) -> None:
        """Write a sighting into the groups of its source."""
        limits = self._limits
        if limits is None or sighting.kind not in _KINDS or sighting.direction != "inbound":
            return
        if sighting.proto not in _PROTOS:
            return
        tool = record.tool if record.tools else None
        if tool is not None:
            self._update((tool,), sighting, limits.max_ports, limits.tool_window_us)
        self._update(groups_of(sighting.source), sighting, limits.max_ports, limits.network_window_us)

    def _update(self, groups: tuple[str, ...], sighting: Sighting, max_ports: int, window_us: int) -> None:
        kind, now_us, source, target, number, proto = sighting[:6]
        port, is_answered, own = (proto, number), kind is _ANSWERED, (source, now_us)
        table = self._groups
        for group in groups:
            key = (group, target)
            ports = table.peek(key)
            if ports is None:
                ports = GroupPorts(source)
                table.put(key, ports)
            else:
                table.renew(key)
            first, _ = ports.pop(port, own)
            if is_answered:
                continue
            ports[port] = own if first == source else (first, now_us)
            if first != ports.only:
                ports.only = ""
            while len(ports) > max_ports or abs(now_us - next(iter(ports.values()))[1]) > window_us:
                del ports[next(iter(ports))]
