"""The detectors of each profile: ours, or those that stand for one peer's rule.

Served ports, who spoke first and protected addresses lie before and behind the detectors, so the innocent are
protected in every profile.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from portsentry_py.config.settings import Ports, PortScan, Settings, Traps
from portsentry_py.core.detectors.base import Detector
from portsentry_py.core.detectors.distributed import DistributedDetector
from portsentry_py.core.detectors.open_ports import OpenPortsDetector
from portsentry_py.core.detectors.outbound import OutboundDetector
from portsentry_py.core.detectors.peers.leaky_bucket import LeakyBucketDetector
from portsentry_py.core.detectors.peers.packets import PacketsDetector
from portsentry_py.core.detectors.peers.points import SCANLOGD, SOPHOS, PointsDetector
from portsentry_py.core.detectors.peers.rejects import HIGH, LOW, MEDIUM, RejectsDetector
from portsentry_py.core.detectors.port_scan import PortScanDetector
from portsentry_py.core.detectors.slow import SlowDetector
from portsentry_py.core.detectors.stealth import StealthDetector
from portsentry_py.core.detectors.sweep import SweepDetector
from portsentry_py.core.detectors.trap import TrapDetector
from portsentry_py.core.group_table import GroupTable
from portsentry_py.core.outbound_table import OutboundTable
from portsentry_py.core.question import Questions


class Tables(NamedTuple):
    """What some detectors read besides a source's record."""

    groups: GroupTable
    outbound: OutboundTable
    questions: Questions


Profile = Callable[[Settings, Tables], tuple[Detector, ...]]

# portsentry 2.0.7, examples/portsentry.conf: TCP_PORTS and UDP_PORTS.
PORTSENTRY_TCP: Ports = frozenset(
    {1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 70, 79, 111, 113, 119, 389, *range(512, 516), 540, 543, 544, 873}
    | {989, 990, 992, 1080}
)
PORTSENTRY_UDP: Ports = frozenset({7, 9, 13, 19, 111, 389, 513, 517, 518})


def _default(settings: Settings, tables: Tables) -> tuple[Detector, ...]:
    """Our own; the first that has a finding names the scan."""
    sections = settings.detectors
    return (
        TrapDetector(settings.traps),
        PortScanDetector(sections.port_scan, tables.questions),
        SweepDetector(sections.sweep, tables.questions),
        StealthDetector(sections.stealth),
        SlowDetector(sections.slow, tables.questions),
        OpenPortsDetector(tables.questions),
        DistributedDetector(sections.distributed, tables.groups),
        OutboundDetector(sections.outbound, tables.outbound),
    )


def _portsentry(settings: Settings, _tables: Tables) -> tuple[Detector, ...]:
    """Listed ports, first packet (SCAN_TRIGGER 0)."""
    traps = settings.traps
    if traps == Traps():
        traps = Traps(tcp=PORTSENTRY_TCP, udp=PORTSENTRY_UDP)
    return (TrapDetector(replace(traps, ban_on="first")),)


def _portanoia(settings: Settings, _tables: Tables) -> tuple[Detector, ...]:
    """The one port (or those) that the operator names, first packet."""
    return (TrapDetector(replace(settings.traps, ban_on="first")),)


def _alone(*detectors: Detector) -> Profile:
    """A peer without traps: they are watched only if the operator names some."""

    def profile(settings: Settings, _tables: Tables) -> tuple[Detector, ...]:
        traps = () if settings.traps == Traps() else (TrapDetector(settings.traps),)
        return (*traps, *detectors)

    return profile


def _scanblocker(settings: Settings, tables: Tables) -> tuple[Detector, ...]:
    """A fourth distinct port within 60 s."""
    rule = PortScan(min_ports=4, window_seconds=60)
    return _alone(PortScanDetector(rule, tables.questions, frozenset({"syn", "connect"})))(settings, tables)


PROFILES: dict[str, Profile] = {
    "default": _default,
    "portsentry": _portsentry,
    "portanoia": _portanoia,
    "scanlogd": _alone(PointsDetector(SCANLOGD)),
    "sophos": _alone(PointsDetector(SOPHOS)),
    "xt_psd": _alone(PointsDetector(SCANLOGD)),
    "scanblocker": _scanblocker,
    "psad": _alone(PacketsDetector()),
    "crowdsec": _alone(LeakyBucketDetector()),
    "snort-low": _alone(RejectsDetector(LOW)),
    "snort-medium": _alone(RejectsDetector(MEDIUM)),
    "snort-high": _alone(RejectsDetector(HIGH)),
}


def detectors_of(settings: Settings, tables: Tables) -> tuple[Detector, ...]:
    """The detectors of the profile that the settings name, in the order in which they are asked."""
    return PROFILES[settings.profile](settings, tables)
