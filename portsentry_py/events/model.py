"""The lines of the log as frozen dataclasses: field order is key order, and the first keys are a contract.

No field holds text chosen by an outsider: integers, booleans, words from our lists, addresses and times.
"""

from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Any, ClassVar, Literal

from portsentry_py.config.settings import KnownScanner

SCHEMA_VERSION = 1

Verdict = Literal["ban", "watch", "ignore", "none"]
_TcpScan = Literal["syn", "connect", "fin", "null", "xmas", "maimon", "ack"]
_OtherScan = Literal["udp", "sctp_init", "sctp_cookie", "ipproto", "icmp", "odd_flags", "unseen", "mixed", "unknown"]
ScanType = Literal[_TcpScan, _OtherScan]
# What another host can have seen; `outbound` is no evidence against a stranger.
FleetEvidence = Literal["port_scan", "sweep", "slow", "distributed", "stealth", "trap"]
Technique = Literal[FleetEvidence, "outbound", "fleet", "fleet_sweep", "none"]
Tool = Literal["mirai", "zmap", "masscan", "nmap", "unicornscan", "hping3"]
Direction = Literal["inbound", "outbound"]
Proto = Literal["tcp", "udp", "udplite", "dccp", "icmp", "icmpv6", "sctp", "ip"]
State = Literal["new", "changed", "answered", "grown", "ongoing", "ended"]
_Ours = Literal["ports_in_window", "hosts_in_window", "impossible_flags", "likelihood", "health_check", "served_ports"]
_Past = Literal["ended", "withdrawn"]
_Together = Literal["network_together", "tool_together"]
_Peers = Literal["points", "packets", "bucket", "rejects"]
_Role = Literal["gateway", "resolver", "ntp_server", "dhcp_server", "ssh_session", "friend", "neighbour"]
_Forgeable = Literal["decoy_source", "queried_server", "reflection", "one_sender", "ban_budget"]
_Exempt = Literal["own_address", "home_network", "ignore_list", "not_bannable", "mapped_source", "outbound"]
Reason = Literal[_Ours, _Together, _Past, _Peers, "decoy_port", _Role, _Forgeable, "known_scanner", _Exempt]
FleetState = Literal["reported", "withdrawn"]
Outcome = Literal["refused", "unanswered", "answered", "served"]
SensorState = Literal["started", "running", "interrupted", "restarted", "reloaded", "damaged", "stopped"]
_CaptureEnd = Literal["dumpcap_ended", "tshark_ended", "stalled"]
SensorReason = Literal["none", _CaptureEnd, "signal", "self_test", "end_of_input", "damaged_capture"]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def utc(time_us: int) -> str:
    """A time in microseconds since 1970 as the log writes it: UTC, six decimals, `Z`."""
    seconds, fraction = divmod(time_us, 1_000_000)
    return f"{_second(seconds)}.{fraction:06d}Z"


def moment(timestamp: str) -> datetime:
    """A time as the log writes it.

    Raises:
        ValueError: no calendar has it.
    """
    return datetime.fromisoformat(timestamp[:-1] + "+00:00")  # Python 3.10 reads no `Z`


def time_us(timestamp: str) -> int:
    """The same in microseconds since 1970: what `utc` was given."""
    return (moment(timestamp) - _EPOCH) // timedelta(microseconds=1)


@lru_cache(maxsize=1024)  # in a flood, hundreds of lines have the same second
def _second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")


def _key(doc: str, *, unit: str = "", optional: bool = False) -> Any:
    metadata = {"doc": doc, "unit": unit}
    return field(default=None, metadata=metadata) if optional else field(metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The first keys of every line."""

    event_type: ClassVar[str]
    timestamp: str = _key("capture time of the event", unit="UTC, RFC 3339, six decimals")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceEvent(Event):
    """A line about a source: seven frozen keys, then its target."""

    verdict: Verdict = _key("what to do; the shipped filter matches only `ban`")
    src_ip: str = _key("the source", unit="canonical address")
    source_verified: bool = _key("the source proved that it receives our packets")
    scan_type: ScanType = _key("kind of probe")
    technique: Technique = _key("the detector that found the evidence; `none` for a connection")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionEvent(SourceEvent):
    """One connection attempt."""

    event_type: ClassVar[str] = "connection"
    direction: Direction = _key("seen from this host")
    src_port: int = _key("the source's port", unit="port")
    dest_ip: str = _key("the host that was probed", unit="canonical address")
    dest_port: int = _key("the port that was probed", unit="port")
    proto: Proto = _key("transport")
    outcome: Outcome = _key("how the attempt was answered")
    suppressed: int = _key("connection lines suppressed since the previous one", unit="lines")
    in_iface: str | None = _key("interface", optional=True)
    vlan: int | None = _key("VLAN of the innermost tag", unit="VLAN id", optional=True)
    schema: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceEvent(SourceEvent):
    """A line with the evidence for its verdict, so that no capture is needed."""

    state: State = _key("why the line is written now")
    direction: Direction = _key("seen from this host")
    dest_ip: str = _key("target of the last probe", unit="canonical address")
    dest_port: int = _key("port of the last probe", unit="port")
    proto: Proto = _key("transport of the last probe")
    ports: int = _key("distinct unserved ports that were probed", unit="ports")
    ports_sample: tuple[int, ...] = _key("the latest of them, at most 16, sorted", unit="ports")
    hosts: int = _key("distinct hosts of ours that were probed", unit="hosts")
    first_seen: str = _key("time of the first probe", unit="UTC, RFC 3339, six decimals")
    last_seen: str = _key("time of the last probe", unit="UTC, RFC 3339, six decimals")
    attempts: int = _key("probes, including repetitions and attempts on served ports", unit="probes")
    closed: int = _key("distinct ports that were refused with RST or an ICMP error", unit="ports")
    open: int = _key("distinct ports that turned out to be served", unit="ports")
    touches: int | None = _key("touches of trap ports by this source", unit="touches", optional=True)
    score: int = _key("3 for each unserved port below 1024, 1 for each other", unit="points")
    tool: Tool | None = _key("scanner whose fingerprint at least half of the probes carry", optional=True)
    src_net: str = _key("network of the source: /24, of IPv6 /64, or /128 in a network of our own", unit="CIDR")
    src_known: KnownScanner | None = _key("known scanner whose network holds the source", optional=True)
    group_net: str | None = _key("network whose sources scan together", unit="CIDR", optional=True)
    reason: Reason = _key("the rule that gave the verdict")
    in_iface: str | None = _key("interface of the last probe", optional=True)
    vlan: int | None = _key("VLAN of the last probe", unit="VLAN id", optional=True)
    src_country: str | None = _key("country of the source, of `geo.databases`", unit="two letters", optional=True)
    src_asn: int | None = _key("autonomous system of the source, of `geo.databases`", unit="AS number", optional=True)
    event_id: str = _key("the same for all lines of one scan", unit="16 hex digits")
    schema: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanEvent(EvidenceEvent):
    """A source scans: it crossed a threshold."""

    event_type: ClassVar[str] = "scan"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrapEvent(EvidenceEvent):
    """A source touched a trap port."""

    event_type: ClassVar[str] = "trap"


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetEvent(SourceEvent):
    """What hosts of the operator know of a source together: they ban it or no longer, or it asked many of them."""

    event_type: ClassVar[str] = "fleet"
    state: FleetState = _key("why the line is written now")
    dest_port: int | None = _key("port that a source which swept the fleet asked for last", unit="port", optional=True)
    src_net: str = _key("network of the source: /24, of IPv6 /64, or /128 for the address alone", unit="CIDR")
    reporters: tuple[str, ...] = _key("the hosts that report it, at most 16, sorted", unit="host name")
    evidence: FleetEvidence = _key("the technique that they saw")
    until: str = _key("when the ban that they ask for ends", unit="UTC, RFC 3339, six decimals")
    schema: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusEvent(Event):
    """The sensor about itself."""

    event_type: ClassVar[str] = "status"
    verdict: Verdict = _key("always `none`")
    state: SensorState = _key("state of the sensor")
    reason: SensorReason = _key("why")
    version: str = _key("version of portsentry-py")
    packets_seen: int = _key(
        "packets that passed the kernel's filter since the start, by the kernel's own count", unit="packets"
    )
    packets_pending: int = _key("of these, not yet delivered", unit="packets")
    packets_dropped: int = _key("of these, lost on their way, mostly because a buffer was full", unit="packets")
    packets_missed: int = _key("of these, lost while no capture ran or with the end of one", unit="packets")
    packets: int = _key("of these, reached the core; the sum of the next three", unit="packets")
    packets_decoded: int = _key("packets that were decoded, including those held back", unit="packets")
    packets_ignored: int = _key("packets that are no evidence: not IP, fragments, running sessions", unit="packets")
    packets_malformed: int = _key("packets that could not be decoded", unit="packets")
    packets_held: int = _key(
        "packets that wait, or went while they waited: their sources can have no line yet", unit="packets"
    )
    probes_unjudged: int = _key(
        "probes of sources that were not judged, because no scan line could be written or too many scans were found",
        unit="probes",
    )
    lines_suppressed: int = _key("connection lines suppressed since the start", unit="lines")
    lines_lost: int = _key("lines that could not be written since the start", unit="lines")
    sources_evicted: int = _key("sources evicted because a table was full", unit="sources")
    flows_evicted: int = _key("flows evicted because a table was full", unit="flows")
    restarts: int = _key("times that the capture was restarted", unit="restarts")
    renewals: int = _key(
        "handovers: times that a fresh capture took over from a running one, without a gap", unit="renewals"
    )
    packets_forged: int = _key(
        "packets that came in with a source address of ours; the kernel dropped them", unit="packets"
    )
    schema: int = SCHEMA_VERSION


EVENT_CLASSES: tuple[type[Event], ...] = (ConnectionEvent, ScanEvent, TrapEvent, FleetEvent, StatusEvent)


def to_record(event: Event) -> dict[str, object]:
    """The line as an ordered mapping, without optional fields that have no value."""
    record: dict[str, object] = {}
    for item in fields(event):
        content = getattr(event, item.name)
        if content is None:
            continue
        record[item.name] = list(content) if isinstance(content, tuple) else content
        if item.name == "timestamp":
            record["event_type"] = event.event_type
    return record
