"""The summary of a log, from the queries of its database."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from portsentry_py.config.settings import Networks
from portsentry_py.events.model import SCHEMA_VERSION, utc
from portsentry_py.fail2ban.pack import MODES, NETWORK_MODE
from portsentry_py.report import anomalies, ban_times
from portsentry_py.report.database import LogDatabase
from portsentry_py.report.log_files import LogFile
from portsentry_py.report.summary import (
    Anomalies,
    AnomalousHour,
    Delay,
    Group,
    Groups,
    Health,
    HeatMap,
    Incident,
    Port,
    Ports,
    Reading,
    Source,
    Sources,
    Summary,
    Timeline,
    Totals,
)
from portsentry_py.report.would_ban import FirstBan, WouldBan, banned_by, compare

_SECOND = 1_000_000
_HOUR_US = 3_600 * _SECOND
_DAY_US = 24 * _HOUR_US
_ROWS = 20
_ALL_DAYS_US = -(2**62)
_BUCKETS = 96
_HEAT_BUCKETS = 48
_WIDTHS = (1, 10, 60, 300, 900, 1_800, 3_600, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 2_592_000, 31_536_000)
_COUNTS = (
    *("packets_seen", "packets", "packets_dropped", "packets_missed", "packets_malformed", "packets_forged"),
    *("probes_unjudged", "lines_suppressed", "lines_lost", "sources_evicted", "flows_evicted", "restarts"),
    "renewals",
)
_GROUPS = {
    "verdict": "verdict",
    "reason": "verdict || ': ' || reason",
    "technique": "technique",
    "scan_type": "scan_type",
    "tool": "tool",
    "network": "src_net",
    "country": "src_country",
    "as": "src_asn",
    "known_scanner": "src_known",
}
_MOST_BANS = 200_000
_CANDIDATES = 200
_MODES_NOTE = (
    "the log does not hold every packet: how the rules of other programs would decide shows `replay --would-ban`."
)
_Row = TypeVar("_Row")


def summarize(
    database: LogDatabase,
    files: Sequence[LogFile],
    notes: Iterable[str],
    *,
    now_us: int,
    since_us: int | None = None,
    until_us: int | None = None,
    allowlist: Networks | None = None,
    bans: Iterable[tuple[str, int]] | None = None,
) -> Summary:
    """The summary of a database whose tables are made.

    Args:
        database: the lines of the files.
        files: what was read.
        notes: what is wrong with a file, one sentence each.
        now_us: the time of the report.
        since_us: where the period begins; None for the first line.
        until_us: where it ends; None for the last line.
        allowlist: innocent networks, if the summary has to say who would be banned in each mode.
        bans: what fail2ban banned and when, if its database was read.
    """
    totals = database.rows("totals")[0]
    first_us, last_us = totals.pop("first_us"), totals.pop("last_us")
    latest_us = (last_us or 0) - _DAY_US
    times = (first_us, last_us) if first_us is not None else None
    new_since_us = latest_us if times and first_us < latest_us else 2**62
    return Summary(
        generated=utc(now_us),
        reading=Reading(
            files=tuple(str(file.path) for file in files),
            bytes=sum(file.size_bytes for file in files),
            since=_moment(since_us),
            until=_moment(until_us),
            notes=tuple(notes),
            **database.rows("reading", schema=SCHEMA_VERSION)[0],
        ),
        totals=Totals(first=_moment(first_us), last=_moment(last_us), **totals),
        health=_health(database),
        now=_sources(database, latest_us, banned=False),
        new_ports=_ports(database, new_since_us),
        banned=_sources(database, _ALL_DAYS_US, banned=True),
        timeline=_timeline(database, times),
        top_ports=_ports(database, _ALL_DAYS_US),
        heat_map=_heat_map(database, times),
        groups={name: _groups(database, column) for name, column in _GROUPS.items()},
        anomalies=_anomalies(database, times),
        ban_line=_delay(**database.rows("delay")[0]),
        ban=None if bans is None else ban_times.delay(_banned_scans(database), bans),
        would_ban=None if allowlist is None else _would_ban(database, allowlist),
    )


def bucket_seconds(first_us: int, last_us: int, most: int) -> int:
    """The shortest of a few lengths of time that makes at most so many buckets."""
    for width in _WIDTHS:
        if last_us // (width * _SECOND) - first_us // (width * _SECOND) < most:
            return width
    return -(-(last_us - first_us) // ((most - 1) * _SECOND))


def _moment(us: int | None) -> str | None:
    return None if us is None else utc(us)


def _listed(rows: list[dict[str, Any]], build: Callable[..., _Row]) -> tuple[int, tuple[_Row, ...]]:
    """How many rows there are in all, and those that the query gave."""
    total = rows[0]["total"] if rows else 0
    return total, tuple(build(**{key: value for key, value in row.items() if key != "total"}) for row in rows)


def _sources(database: LogDatabase, since_us: int, *, banned: bool) -> Sources:
    return Sources(*_listed(database.rows("sources", since_us=since_us, banned=banned, top=_ROWS), _source))


def _source(*, line: dict[str, Any], first_us: int, last_us: int, ban_us: int | None, **row: Any) -> Source:
    sample = tuple(line.pop("ports_sample") or ())
    return Source(
        **row, **line, ports_sample=sample, first_seen=utc(first_us), last_seen=utc(last_us), banned=_moment(ban_us)
    )


def _groups(database: LogDatabase, column: str) -> Groups:
    return Groups(*_listed(database.rows("groups", {"by": column}, top=_ROWS), Group))


def _ports(database: LogDatabase, since_us: int) -> Ports:
    return Ports(*_listed(database.rows("top_ports", since_us=since_us, top=_ROWS), _port))


def _port(*, first_us: int, **row: Any) -> Port:
    return Port(**row, first_seen=utc(first_us))


def _timeline(database: LogDatabase, times: tuple[int, int] | None) -> Timeline:
    if times is None:
        return Timeline(0, (), (), (), (), (), ())
    width = bucket_seconds(*times, _BUCKETS)
    buckets = _buckets(times, width)
    rows = {row.pop("bucket"): row for row in database.rows("timeline", width=width * _SECOND)}
    ports = {row["bucket"]: row["ports"] for row in database.rows("new_ports", width=width * _SECOND)}
    series = {
        name: tuple(rows.get(bucket, {}).get(name, 0) for bucket in buckets)
        for name in ("connections", "ban", "watch", "other")
    }
    new_ports = tuple(ports.get(bucket, 0) for bucket in buckets)
    return Timeline(width, _starts(buckets, width), **series, new_ports=new_ports)


def _heat_map(database: LogDatabase, times: tuple[int, int] | None) -> HeatMap:
    if times is None:
        return HeatMap(0, (), (), ())
    width = bucket_seconds(*times, _HEAT_BUCKETS)
    buckets = _buckets(times, width)
    rows: dict[str, dict[int, int]] = {}
    for port in database.rows("top_ports", since_us=_ALL_DAYS_US, top=_ROWS):
        rows[_port_name(port)] = {}
    for cell in database.rows("heat", width=width * _SECOND, top=_ROWS):
        rows.setdefault(_port_name(cell), {})[cell["bucket"]] = cell["lines"]
    lines = tuple(tuple(cells.get(bucket, 0) for bucket in buckets) for cells in rows.values())
    return HeatMap(width, _starts(buckets, width), tuple(rows), lines)


def _port_name(row: Mapping[str, Any]) -> str:
    return f"{row['port']}/{row['proto'] or '?'}"


def _buckets(times: tuple[int, int], width: int) -> range:
    return range(times[0] // (width * _SECOND), times[1] // (width * _SECOND) + 1)


def _starts(buckets: range, width: int) -> tuple[str, ...]:
    return tuple(utc(bucket * width * _SECOND) for bucket in buckets)


def _health(database: LogDatabase) -> Health:
    maxima = ", ".join(f"max({name}) AS {name}" for name in _COUNTS)
    sums = ", ".join(f"coalesce(sum({name}), 0)::BIGINT AS {name}" for name in _COUNTS)
    counts = database.rows("health", {"maxima": maxima, "sums": sums})[0]
    last = next(iter(database.rows("last_status")), {})
    total, incidents = _listed(database.rows("incidents", top=_ROWS), _incident)
    return Health(last.get("state"), last.get("version"), _moment(last.get("us")), counts, incidents, total)


def _incident(us: int, state: str, reason: str | None) -> Incident:
    return Incident(utc(us), state, reason)


def _anomalies(database: LogDatabase, times: tuple[int, int] | None) -> Anomalies:
    found = None
    if times is not None:
        scans = {row["hour"]: row["scans"] for row in database.rows("hours")}
        # The first and the last hour are seen in part.
        found = anomalies.find_anomalies(scans, times[0] // _HOUR_US + 1, times[1] // _HOUR_US - 1)
    per_year = anomalies.FALSE_ALARM_RATE * 24 * 365.25
    hours = None if found is None else tuple(map(_anomalous_hour, found[:_ROWS]))
    return Anomalies(anomalies.TEST, per_year, hours)


def _anomalous_hour(hour: anomalies.Anomaly) -> AnomalousHour:
    return AnomalousHour(utc(hour.hour * _HOUR_US), hour.scans, hour.expected, hour.probability)


def _delay(*, scans: int, median_us: int, ninth_us: int, longest_us: int) -> Delay:
    return Delay(scans, median_us / _SECOND, ninth_us / _SECOND, longest_us / _SECOND)


def _banned_scans(database: LogDatabase) -> Iterator[ban_times.BannedScan]:
    for row in database.rows("bans", top=_MOST_BANS):
        source = banned_by(MODES[0], row["src_ip"], row["src_net"])
        if source is not None:
            yield ban_times.BannedScan(source, row["first_us"], row["ban_us"])


def _would_ban(database: LogDatabase, allowlist: Networks) -> WouldBan:
    bans: dict[str, dict[str, FirstBan]] = {}
    for row in database.rows("would_ban", top=_MOST_BANS):
        network = row["group_net"] if row["mode"] == NETWORK_MODE else row["src_net"]
        banned = banned_by(row["mode"], row["src_ip"], network)
        if banned is not None:
            bans.setdefault(banned, {}).setdefault(row["mode"], FirstBan(utc(row["us"]), **row["line"]))
    return compare(MODES, bans, allowlist, _MODES_NOTE, _CANDIDATES)
