"""Every number and list that shapes detection, with its default; the configuration file fills these.

The metadata of a field (`low`, `high`, `words`) is what config.py checks; `doc` is its meaning.
"""

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Any

Network = IPv4Network | IPv6Network
Networks = tuple[Network, ...]
Ports = frozenset[int]

# The dead services of portsentry 2.0's default lists: no client of today asks for them by itself.
# Left out of its lists: ports that mail servers (113), file and name services still try.
TRAP_TCP = frozenset({1, 11, 15, 17, 19, 70, 512, 540})
TRAP_UDP = frozenset({13, 19, 517, 518})

PEERS = (
    "portsentry",
    "portanoia",
    "scanlogd",
    "sophos",
    "xt_psd",
    "scanblocker",
    "psad",
    "crowdsec",
    "snort-low",
    "snort-medium",
    "snort-high",
)


def number(default: float, doc: str, low: float, high: float) -> Any:
    """A bounded number."""
    return field(default=default, metadata={"doc": doc, "low": low, "high": high})


def word(default: str, doc: str, *words: str | int) -> Any:
    """One of a few words, the default first."""
    return field(default=default, metadata={"doc": doc, "words": (default, *words)})


def file_or_off(default: str, doc: str) -> Any:
    """The path of a file, or `off`."""
    return field(default=default, metadata={"doc": doc, "file_or_off": True})


def value(default: object, doc: str) -> Any:
    """Anything else that is immutable."""
    return field(default=default, metadata={"doc": doc})


@dataclass(frozen=True, slots=True)
class Served:
    """Ports that are served although no socket of this host shows it (containers, forwarded ports)."""

    tcp: Ports = value(frozenset(), "TCP ports")
    udp: Ports = value(frozenset(), "UDP ports")


@dataclass(frozen=True, slots=True)
class Traps:
    """Decoy ports: nobody has a reason to touch them."""

    tcp: Ports = value(TRAP_TCP, "TCP decoy ports")
    udp: Ports = value(TRAP_UDP, "UDP decoy ports")
    ban_on: str = word("second", "which touch by an unverified source gets the verdict ban", "first")
    listen: bool = value(False, "open the TCP decoy ports, so that a visitor proves its address")
    banner: str = value("", "what a visitor of an open decoy port is told")


@dataclass(frozen=True, slots=True)
class PortScan:
    """One source, many ports of one host."""

    min_ports: int = number(8, "distinct unserved ports of one host that make a scan", 2, 128)
    min_protocols: int = number(5, "distinct IP protocols of one host that make a scan", 2, 256)
    window_seconds: int = number(60, "time within which they must be touched", 1, 3600)


@dataclass(frozen=True, slots=True)
class Sweep:
    """One source, many hosts."""

    min_pairs: int = number(8, "distinct (host, port) pairs without an answer that make a sweep", 2, 128)
    min_hosts: int = number(5, "distinct hosts among them", 2, 128)
    window_seconds: int = number(60, "time within which they must be touched", 1, 3600)


@dataclass(frozen=True, slots=True)
class Stealth:
    """Flags that no stack sends."""

    min_ports: int = number(3, "distinct (host, port) pairs touched that way that make a scan", 1, 128)
    window_seconds: int = number(600, "time within which they must be touched", 1, 86_400)


@dataclass(frozen=True, slots=True)
class Slow:
    """Sequential test over first contacts, without a window."""

    alpha: float = number(0.001, "probability that an honest source is called a scanner", 0.000_001, 0.1)
    min_seconds: int = number(60, "what is faster is left to the other detectors", 0, 86_400)


@dataclass(frozen=True, slots=True)
class Distributed:
    """Many sources of one network, one host."""

    min_ports: int = number(16, "distinct ports of one host that a network must cover", 2, 256)
    min_sources: int = number(3, "distinct sources of the /24 or /64 that take part", 2, 256)
    window_seconds: int = number(600, "time within which they must be touched", 1, 86_400)


@dataclass(frozen=True, slots=True)
class Outbound:
    """This host asks many others."""

    min_pairs: int = number(30, "distinct (host, port) pairs without an answer that raise the alarm", 2, 128)
    window_seconds: int = number(60, "time within which they must be touched", 1, 3600)


@dataclass(frozen=True, slots=True)
class Detectors:
    """One section for each detector."""

    port_scan: PortScan = value(PortScan(), "one source, many ports of one host")
    sweep: Sweep = value(Sweep(), "one source, many hosts")
    stealth: Stealth = value(Stealth(), "flags that no stack sends")
    slow: Slow = value(Slow(), "hours to days between probes")
    distributed: Distributed = value(Distributed(), "many sources of one network")
    outbound: Outbound = value(Outbound(), "this host itself")


@dataclass(frozen=True, slots=True)
class Lines:
    """How often lines are written."""

    repeat_seconds: int = number(
        60, "a scan that goes on is logged again after this time, then twice, then four times it", 10, 3600
    )
    quiet_seconds: int = number(60, "a scan has ended after this time without a probe", 10, 3600)
    slow_quiet_seconds: int = number(21_600, "a slow scan has ended after this time", 60, 604_800)
    per_source_per_minute: int = number(10, "connection lines of one source in a minute", 1, 10_000)
    per_second: int = number(20, "connection lines of all sources in a second", 1, 10_000)
    scans_per_second: int = number(
        50, "scan and trap lines in a second about sources that did not prove their address", 1, 10_000
    )


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the tables; when one is full, the oldest entry goes and is counted."""

    max_sources: int = number(20_000, "sources remembered", 16, 1_000_000)
    max_flows: int = number(50_000, "flows remembered in each direction", 64, 4_000_000)
    max_attempts: int = number(300_000, "distinct (source, host, port) remembered", 64, 10_000_000)
    new_sources_per_second: int = number(
        200, "unknown sources that are looked at in a second; others wait for their second packet", 1, 100_000
    )
    max_held: int = number(50_000, "first packets of sources that wait", 64, 10_000_000)
    memory_hours: int = number(72, "an attempt is remembered for so long", 1, 24 * 30)


@dataclass(frozen=True, slots=True)
class Capture:
    """How packets are taken from the kernel."""

    workers: str | int = word("auto", "pairs of dumpcap and tshark that share the packets", 1, 2, 4, 8)
    buffer_mib: int = number(64, "kernel buffer of all dumpcaps together", 1, 1024)
    snap_bytes: int = number(128, "bytes of each packet that are captured", 96, 65_535)
    tshark_growth_mib: int = number(
        32, "growth at which tshark is replaced by a fresh one, without a gap", 16, 100_000
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration."""

    interfaces: tuple[str, ...] = value((), "interfaces to watch; none: all that are up, less loopback")
    log: str = value("/var/log/portsentry.log", "the event log; '-' is standard output")
    state: str = file_or_off("/var/lib/portsentry-py/state", "the file of what outlives a restart")
    home: Networks = value((), "networks besides this host's own addresses that count as ours")
    ignore: Networks = value((), "sources that must never be banned")
    connections: str = word("unserved", "which attempts get a connection line", "all", "off")
    profile: str = word("default", "whose thresholds apply", *PEERS)
    served: Served = value(Served(), "ports served although no socket here shows it")
    traps: Traps = value(Traps(), "decoy ports")
    detectors: Detectors = value(Detectors(), "thresholds of the detectors")
    lines: Lines = value(Lines(), "how often lines are written")
    limits: Limits = value(Limits(), "bounds of the tables")
    capture: Capture = value(Capture(), "how packets are taken from the kernel")
