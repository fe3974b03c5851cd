"""Every key of the configuration with its default, its bounds and its meaning.

Standard library only, because the core imports it. pydantic checks a file against the types and the metadata.
"""

from dataclasses import dataclass, field, fields
from typing import Annotated, Any, ClassVar, Literal, get_args

from portsentry_py.config.values import (
    OFF,
    OFF_WORD,
    FileOrOff,
    ListenOrOff,
    Network,
    Networks,
    Ports,
    SyslogOrOff,
    TableOrOff,
    Text,
    Texts,
)

__all__ = ["OFF_WORD", "Network", "Networks", "Ports"]

DEFAULT_LOG = "/var/log/portsentry.log"
DEFAULT_FLEET_LOG = "/var/log/portsentry-fleet.log"

# The dead services of portsentry 2.0's default lists: no client of today asks for them by itself.
# Left out of its lists: ports that mail servers (113), file and name services still try.
TRAP_TCP = frozenset({1, 11, 15, 17, 19, 70, 512, 540})
TRAP_UDP = frozenset({13, 19, 517, 518})

_Snort = Literal["snort-low", "snort-medium", "snort-high"]
_Peer = Literal["portsentry", "portanoia", "scanlogd", "sophos", "xt_psd", "scanblocker", "psad", "crowdsec", _Snort]
Profile = Literal["default", _Peer]
PEERS = get_args(_Peer)
# Organisations that scan the whole internet and say so; `other` is for those that an operator adds.
_Search = Literal["binaryedge", "censys", "criminalip", "fofa", "hunter", "leakix", "modat", "netlas", "odin", "onyphe"]
_Engine = Literal[_Search, "quake", "shodan", "zoomeye"]
_Vendor = Literal["alpha_strike", "bitsight", "cortex_xpanse", "ipinfo", "ipip", "netscout", "rapid7", "tenable"]
_Research = Literal["internet_measurement", "internet_measurement_research", "internettl", "recyber", "shadowserver"]
KnownScanner = Literal[_Engine, _Vendor, _Research, "stretchoid", "university", "other"]
SHIPPED = "shipped"
WorkerCount = Literal[1, 2, 4, 8]
Workers = Literal["auto", WorkerCount]


def number(default: float, doc: str, low: float, high: float) -> Any:
    """A number within bounds, which belong to it."""
    return field(default=default, metadata={"doc": doc, "ge": low, "le": high, "strict": True})


def value(default: object, doc: str, *, restart: bool = False) -> Any:
    """Anything else that is immutable."""
    return field(default=default, metadata={"doc": doc, "restart": restart})


class Section:
    """A mapping in the file. pydantic refuses keys that it does not have."""

    __slots__ = ()
    __pydantic_config__: ClassVar = {"extra": "forbid"}


def section(kind: type[Section], *, restart: bool = False) -> Any:
    """A section with its defaults; its docstring is its meaning."""
    return field(default=kind(), metadata={"doc": (kind.__doc__ or "").rstrip("."), "restart": restart})


@dataclass(frozen=True, slots=True)
class Served(Section):
    """Ports that are served although no socket of this host shows it: containers, forwarded ports."""

    tcp: Ports = value(frozenset(), "TCP ports")
    udp: Ports = value(frozenset(), "UDP ports")


@dataclass(frozen=True, slots=True)
class Traps(Section):
    """Trap ports: nobody has a reason to touch them."""

    tcp: Ports = value(TRAP_TCP, "TCP ports that are traps")
    udp: Ports = value(TRAP_UDP, "UDP ports that are traps")
    ban_on: Literal["second", "first"] = value(
        "second", "the touch at which a source that did not prove its address gets the verdict `ban`"
    )
    listen: bool = value(False, "open the TCP traps, so that visitors prove their address")
    banner: Text = value("", "the text that a visitor of an open trap receives")


@dataclass(frozen=True, slots=True)
class PortScan(Section):
    """One source, many ports of one host."""

    min_ports: int = number(8, "distinct unserved ports of one host that make a scan", 2, 128)
    min_protocols: int = number(5, "distinct IP protocols of one host that make a scan", 2, 256)
    window_seconds: int = number(60, "the time within which they are touched", 1, 3600)


@dataclass(frozen=True, slots=True)
class Sweep(Section):
    """One source, many hosts."""

    min_pairs: int = number(8, "distinct (host, port) pairs without an answer that make a sweep", 2, 128)
    min_hosts: int = number(5, "distinct hosts among them", 2, 128)
    window_seconds: int = number(60, "the time within which they are touched", 1, 3600)


@dataclass(frozen=True, slots=True)
class Stealth(Section):
    """Flags that no stack sends."""

    min_ports: int = number(3, "distinct (host, port) pairs touched with such flags that make a scan", 1, 128)
    window_seconds: int = number(600, "the time within which they are touched", 1, 86_400)


@dataclass(frozen=True, slots=True)
class Slow(Section):
    """A sequential test over first contacts, without a window."""

    alpha: float = number(0.001, "the probability that an honest source is called a scanner", 0.000_001, 0.1)
    min_seconds: int = number(60, "a scan that is faster is left to the other detectors", 0, 86_400)


@dataclass(frozen=True, slots=True)
class Distributed(Section):
    """Many sources of one network, one host."""

    min_ports: int = number(16, "distinct ports of one host that a network covers", 2, 256)
    min_sources: int = number(3, "distinct sources of the network that take part", 2, 256)
    window_seconds: int = number(600, "the time within which they are touched", 1, 86_400)


@dataclass(frozen=True, slots=True)
class Outbound(Section):
    """This host scans others: an alarm, never a ban."""

    min_pairs: int = number(30, "distinct (host, port) pairs without an answer that raise the alarm", 2, 128)
    window_seconds: int = number(60, "the time within which they are touched", 1, 3600)


@dataclass(frozen=True, slots=True)
class Detectors(Section):
    """The thresholds of the detectors."""

    port_scan: PortScan = section(PortScan)
    sweep: Sweep = section(Sweep)
    stealth: Stealth = section(Stealth)
    slow: Slow = section(Slow)
    distributed: Distributed = section(Distributed)
    outbound: Outbound = section(Outbound)


@dataclass(frozen=True, slots=True)
class Lines(Section):
    """How often lines are written."""

    repeat_seconds: int = number(
        60, "a scan that goes on is logged again after this time, then after twice, then after 4 times it", 10, 3600
    )
    quiet_seconds: int = number(60, "a scan has ended after this time without a probe", 10, 3600)
    slow_quiet_seconds: int = number(21_600, "a slow scan has ended after this time without a probe", 60, 604_800)
    per_source_per_minute: int = number(10, "connection lines about one source per minute", 1, 10_000)
    per_second: int = number(10, "connection lines about all sources per second", 1, 10_000)
    scans_per_second: int = number(
        10, "scan and trap lines per second about sources that did not prove their address", 1, 10_000
    )


@dataclass(frozen=True, slots=True)
class Bans(Section):
    """How many new sources get the verdict `ban`, because forging costs nothing; the others get `watch` meanwhile."""

    unverified_per_minute: int = number(20, "unverified sources in all; ten times as many at once", 1, 100_000)
    network_per_minute: int = number(
        4, "unverified sources of one /16 or IPv6 /32; ten times as many at once", 1, 100_000
    )
    verified_per_minute: int = number(
        30,
        "verified sources of one /24 or IPv6 /48, four times as many of its /16 or /32; ten times as many at once",
        1,
        100_000,
    )


@dataclass(frozen=True, slots=True)
class Limits(Section):
    """Bounds of the tables; when one is full, the oldest entry goes and is counted."""

    max_sources: int = number(20_000, "sources in the source table", 16, 1_000_000)
    max_flows: int = number(50_000, "flows in each direction", 64, 4_000_000)
    max_attempts: int = number(300_000, "distinct (source, host, port) of all sources", 64, 10_000_000)
    new_sources_per_second: int = number(
        200,
        "new sources per second whose first packets are examined; others wait until they asked for enough",
        1,
        100_000,
    )
    max_held: int = number(50_000, "packets of usual size, of sources that wait", 64, 10_000_000)
    memory_hours: int = number(72, "an attempt is remembered for this time", 1, 24 * 30)


@dataclass(frozen=True, slots=True)
class Capture(Section):
    """How packets come from the kernel."""

    workers: Workers = value("auto", "pairs of dumpcap and tshark that share the packets")
    buffer_mib: int = number(64, "the kernel buffer of all dumpcaps together", 1, 1024)
    snap_bytes: int = number(128, "bytes of each packet that are captured", 96, 65_535)
    tshark_growth_mib: int = number(
        64, "the growth of tshark before which a fresh one replaces it, without a gap", 16, 100_000
    )
    keep_minutes: int = number(0, "minutes of packets that are kept in files for `explain`; 0 keeps none", 0, 1440)
    keep_mib: int = number(64, "the size of these files together, whatever the minutes", 16, 100_000)


@dataclass(frozen=True, slots=True)
class Outputs(Section):
    """Where each line goes besides the log."""

    journald: bool = value(False, "write each line to the systemd journal")
    syslog: SyslogOrOff = value(OFF_WORD, "the syslog server that gets each line, as RFC 5424 has it")


@dataclass(frozen=True, slots=True)
class Metrics(Section):
    """Counts of the sensor for Prometheus."""

    listen: ListenOrOff = value(
        OFF_WORD, "where `/metrics` and `/-/healthy` are served, such as `127.0.0.1:9797`; a port alone is on 127.0.0.1"
    )
    textfile: FileOrOff = value(
        OFF_WORD, "the file for node_exporter's textfile collector, which is replaced every 15 seconds"
    )

    @property
    def is_on(self) -> bool:
        """Whether anybody reads them."""
        return (self.listen, self.textfile) != (OFF_WORD, OFF_WORD)


@dataclass(frozen=True, slots=True)
class Geo(Section):
    """Where sources are, by databases of this host: nobody is asked over the network."""

    databases: Texts = value(
        (), "MMDB or libloc files with countries or AS numbers; the first one that knows an address has the say"
    )


@dataclass(frozen=True, slots=True)
class Fleet(Section):
    """Bans that the hosts of one operator share; `fleet run` reads this, the sensor does not."""

    credentials: FileOrOff = value(OFF_WORD, "this host's file of `fleet add-host`; `off` is no fleet")
    log: Text = value(DEFAULT_FLEET_LOG, "the log of what others ban")
    state: FileOrOff = value("/var/lib/portsentry-py-fleet/state.json", "the file for `fleet status`, `list` and `why`")
    textfile: FileOrOff = value(OFF_WORD, "the file of the metrics for node_exporter, replaced every five seconds")
    mode: Literal["watch", "ban"] = value("watch", "the verdict on what others ban; the shipped jail bans only `ban`")
    trusted: Texts = value((), "hosts whose verified evidence is enough alone; an empty list is every one")
    min_reporters: int = number(2, "hosts of different networks that it takes else", 1, 100)
    ban_seconds: int = number(600, "how long the others are asked to ban, as `bantime` of the jail", 60, 86_400)
    max_ban_seconds: int = number(3600, "the longest that another host can ban here", 60, 604_800)
    new_per_minute: int = number(20, "new bans of one host; ten times as many at once", 1, 10_000)
    max_active: int = number(500, "bans of one host at a time", 1, 100_000)
    sweep_hosts: int = number(5, "hosts that a source asks in vain before it is a `fleet_sweep`; 0 is never", 0, 100)
    sweep_unverified: Literal["watch", "ban"] = value(
        "watch", "the verdict on a `fleet_sweep` of a source that proved its address to no trusted host"
    )
    hash_sources: bool = value(False, "publish who asked in vain as a hash, with the key in the credentials")
    site: Networks = value((), "networks of private addresses in which others can ban too")
    plain_text: bool = value(False, "speak with a broker beyond loopback without TLS")


@dataclass(frozen=True, slots=True)
class Settings(Section):
    """The whole configuration."""

    interfaces: Texts = value(
        (),
        "interfaces to watch; an empty list is every one, less loopback and those that see what another one sees",
        restart=True,
    )
    log: Text = value(DEFAULT_LOG, "the event log; `-` is standard output", restart=True)
    state: FileOrOff = value("/var/lib/portsentry-py/state", "the file of what outlives a restart", restart=True)
    home: Networks = value((), "networks that count as ours besides this host's own addresses")
    ignore: Networks = value((), "sources that must never be banned")
    allowlist: FileOrOff = value(
        "/etc/portsentry-py/allowlist",
        "the file of `portsentry-py allow`: more such sources, each until its end; the sensor reads a change at once",
        restart=True,
    )
    connections: Annotated[Literal["unserved", "all", "off"], OFF] = value(
        "unserved", "which attempts get a connection line: those on ports that nobody serves, all, none"
    )
    profile: Profile = value("default", "whose thresholds apply: ours, or those of a peer")
    known_scanners: Literal["ban", "watch", "ignore"] = value(
        "ban", "the verdict on evidence that bans, where the source is a known scanner; `ban` is as for anybody"
    )
    known_scanners_table: TableOrOff = value(
        SHIPPED, "the file of known scanners; `shipped` is that of this version, `off` names nobody"
    )
    served: Served = section(Served)
    traps: Traps = section(Traps)
    detectors: Detectors = section(Detectors)
    lines: Lines = section(Lines, restart=True)
    bans: Bans = section(Bans, restart=True)
    limits: Limits = section(Limits, restart=True)
    capture: Capture = section(Capture, restart=True)
    outputs: Outputs = section(Outputs, restart=True)
    metrics: Metrics = section(Metrics, restart=True)
    geo: Geo = section(Geo, restart=True)
    fleet: Fleet = section(Fleet, restart=True)


RESTART_KEYS = tuple(item.name for item in fields(Settings) if item.metadata["restart"])
