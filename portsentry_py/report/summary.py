"""What a report holds: plain values, from which terminal, JSON and page are made. Times are RFC 3339, UTC."""

import json
from dataclasses import asdict, dataclass

from portsentry_py.report.would_ban import WouldBan

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read.

    Attributes:
        lines: all lines but blank ones.
        unreadable: lines that are torn, damaged or not the sensor's.
        newer: lines of a newer version of the log; what this version knows of them was used.
        notes: what is wrong with a file, one sentence each.
    """

    files: tuple[str, ...]
    bytes: int
    lines: int
    unreadable: int
    newer: int
    since: str | None
    until: str | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the lines of the period.

    Attributes:
        connection_lines_suppressed: attempts for which the rate limit left no line.
        scans: distinct scans, by `event_id` of `scan` and `trap` lines.
        sources: distinct sources of these.
        sources_banned: those that had a line with the verdict `ban`.
    """

    lines: int
    connection_lines: int
    scan_lines: int
    trap_lines: int
    status_lines: int
    ban_lines: int
    connection_lines_suppressed: int
    scans: int
    sources: int
    sources_banned: int
    first: str | None
    last: str | None


@dataclass(frozen=True, slots=True)
class Source:
    """A source, by the last of its most severe lines; a key that the line lacks is None."""

    source: str
    verdict: str
    verified: bool | None
    technique: str | None
    scan_type: str | None
    reason: str | None
    tool: str | None
    ports: int | None
    ports_sample: tuple[int, ...]
    direction: str | None
    src_net: str | None
    src_known: str | None
    src_country: str | None
    src_asn: int | None
    scans: int
    first_seen: str
    last_seen: str
    banned: str | None

    @property
    def origin(self) -> str:
        """Country, autonomous system and known scanner, as far as the line has them."""
        system = f"AS{self.src_asn}" if self.src_asn else None
        return " ".join(filter(None, (self.src_country, system, self.src_known)))


@dataclass(frozen=True, slots=True)
class Sources:
    """The latest of `total` sources."""

    total: int
    rows: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Scans that have a word, a network or a country in common; `banned` counts scans with the verdict `ban`."""

    name: str
    scans: int
    sources: int
    banned: int


@dataclass(frozen=True, slots=True)
class Groups:
    """The largest of `total` groups."""

    total: int
    rows: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Port:
    """A port; `lines` are attempts and reports about it, `sources` also those that have it in a sample."""

    port: int
    proto: str | None
    lines: int
    sources: int
    first_seen: str


@dataclass(frozen=True, slots=True)
class Ports:
    """The most wanted of `total` ports."""

    total: int
    rows: tuple[Port, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """Counts by time: connection lines, and new scans by their verdict. Each count belongs to the bucket at its index.

    Attributes:
        starts: the time at which each bucket starts.
        new_ports: ports that had not been probed before.
    """

    bucket_seconds: int
    starts: tuple[str, ...]
    connections: tuple[int, ...]
    ban: tuple[int, ...]
    watch: tuple[int, ...]
    other: tuple[int, ...]
    new_ports: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Lines by port and time; `lines` has a row for each port, and in it a count for each start."""

    bucket_seconds: int
    starts: tuple[str, ...]
    ports: tuple[str, ...]
    lines: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Incident:
    """A `status` line with a state other than `running`."""

    timestamp: str
    state: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class Health:
    """The sensor, by its `status` lines; `counts` are sums over all its runs, named as in the log."""

    state: str | None
    version: str | None
    timestamp: str | None
    counts: dict[str, int]
    incidents: tuple[Incident, ...]
    incidents_total: int


@dataclass(frozen=True, slots=True)
class Delay:
    """Seconds from the first probe of a scan to its ban."""

    scans: int
    median_seconds: float
    ninth_decile_seconds: float
    longest_seconds: float


@dataclass(frozen=True, slots=True)
class AnomalousHour:
    """An hour with more new scans than its hour of the week explains."""

    start: str
    scans: int
    expected: float
    probability: float


@dataclass(frozen=True, slots=True)
class Anomalies:
    """The hours that the test rejects; None if the log is too short for it."""

    test: str
    false_alarms_per_year: float
    hours: tuple[AnomalousHour, ...] | None


@dataclass(frozen=True, slots=True)
class Summary:
    """The whole report.

    Attributes:
        now: sources that were seen in the last day of the log.
        new_ports: ports that were probed in that day for the first time.
        banned: sources with the verdict `ban`.
        groups: by `verdict`, `reason`, `technique`, `scan_type`, `tool`, `network`, `country`, `as`,
            `known_scanner`.
        ban_line: from the first probe to the first line with `ban`.
        ban: from the first probe to fail2ban's ban, by its database; None if none was given.
        would_ban: who would be banned in each mode; None if not asked for.
        schema: version of this form; keys may be added without a new one.
    """

    generated: str
    reading: Reading
    totals: Totals
    health: Health
    now: Sources
    new_ports: Ports
    banned: Sources
    timeline: Timeline
    top_ports: Ports
    heat_map: HeatMap
    groups: dict[str, Groups]
    anomalies: Anomalies
    ban_line: Delay
    ban: Delay | None
    would_ban: WouldBan | None
    schema: int = SCHEMA_VERSION

    def to_json(self) -> str:
        """JSON with the field names as keys."""
        return json.dumps(asdict(self))
