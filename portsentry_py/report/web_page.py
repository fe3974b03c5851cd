"""The summary of a log as one self-contained page: no network, a strict policy, readable without scripts."""

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from importlib import resources
from string import Template
from typing import Any, NamedTuple

from portsentry_py.events.model import time_us
from portsentry_py.report import svg
from portsentry_py.report.summary import Delay, Groups, Health, Ports, Reading, Source, Sources, Summary, Timeline
from portsentry_py.report.would_ban import WouldBan
from portsentry_py.text import printable

_GLANCE = 5
_CANDIDATES = 60
_LOSSES = ("packets_dropped", "packets_missed", "packets_malformed", "packets_forged", "lines_lost", "restarts")


class _Series(NamedTuple):
    """Counts of the timeline: their name there, the class of their colour, and what the legend says."""

    counts: str
    color: str
    label: str


_PLOTS = {
    "scans": (
        _Series("ban", "ban", "ban"),
        _Series("watch", "watch", "watch"),
        _Series("other", "other", "other verdicts"),
    ),
    "new_ports": (_Series("new_ports", "other", "ports probed for the first time"),),
    "connections": (_Series("connections", "connections", "connection lines"),),
}
_NOTHING = '<p class="muted">nothing</p>'
_Cell = str | int | None


def page(summary: Summary) -> str:
    """The page. Every word of the log is escaped; the browser runs only the scripts whose hashes the policy has."""
    style = _file("page.css") + _file("uPlot.min.css")
    uplot, script = _file("uPlot.iife.min.js"), _file("page.js")
    totals = summary.totals
    return Template(_file("page.html")).substitute(
        policy=f"default-src 'none'; base-uri 'none'; form-action 'none'; "
        f"style-src {_hash(style)}; script-src {_hash(uplot)} {_hash(script)}",
        style=style,
        uplot=uplot,
        script=script,
        data=_embedded(_data(summary)),
        period=f"{_time(totals.first)} to {_time(totals.last)}" if totals.first else "no lines",
        reading=_text(_reading(summary.reading)),
        notes="".join(f'<p class="bad">{_text(note)}</p>' for note in summary.reading.notes),
        cards="".join(_cards(summary)),
        sections="".join(_sections(summary)),
        generated=_time(summary.generated),
    )


def _file(name: str) -> str:
    return (resources.files("portsentry_py.report") / "page" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _embedded(data: object) -> str:
    """JSON that ends no script element."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c").replace("&", "\\u0026")


def _text(content: _Cell) -> str:
    return "" if content is None else escape(printable(str(content)))


def _time(timestamp: str | None) -> str:
    return _text((timestamp or "")[:19].replace("T", " "))


def _seconds(timestamp: str) -> int:
    return time_us(timestamp) // 1_000_000


def _data(summary: Summary) -> dict[str, Any]:
    """What the scripts draw."""
    line, heat = summary.timeline, summary.heat_map
    times = list(map(_seconds, line.starts))
    plots = {
        name: {
            "times": times,
            "series": [{"color": one.color, "label": one.label, "counts": _counts(line, one)} for one in series],
        }
        for name, series in _PLOTS.items()
    }
    cells = {
        "left": svg.HEAT_LEFT,
        "top": svg.HEAT_TOP,
        "row": svg.HEAT_ROW,
        "cell": svg.cell_width(len(heat.starts)),
        "ports": [printable(port) for port in heat.ports],
        "starts": [start[:16].replace("T", " ") for start in heat.starts],
        "lines": heat.lines,
    }
    return {**plots, "heat": cells}


def _counts(line: Timeline, series: _Series) -> tuple[int, ...]:
    counts: tuple[int, ...] = getattr(line, series.counts)
    return counts


def _reading(reading: Reading) -> str:
    text = f"{reading.lines:,} lines of {len(reading.files)} files"
    text += f", {reading.unreadable:,} of them unreadable" if reading.unreadable else ""
    return text + (f", {reading.newer:,} of a newer version." if reading.newer else ".")


def _cards(summary: Summary) -> Iterator[str]:
    """The first screen: who now, from where, which ports are new, what was banned and why, is the sensor healthy."""
    now, banned = summary.now, summary.banned
    yield _card("Who, in the last day", now.total, map(_who, now.rows[:_GLANCE]))
    yield _card("From where", None, _where(summary))
    ports = (
        f"{port.port}/{port.proto or '?'} from {port.sources} sources" for port in summary.new_ports.rows[:_GLANCE]
    )
    yield _card("New ports, in the last day", summary.new_ports.total, ports)
    yield _card(
        "Banned", banned.total, (f"{row.source}: {row.technique} ({row.reason})" for row in banned.rows[:_GLANCE])
    )
    yield _card("Sensor", None, _sensor(summary.health))


def _who(row: Source) -> str:
    return f"{row.source}: {row.verdict}, {row.technique}, {row.ports or 0} ports"


def _where(summary: Summary) -> Iterator[str]:
    for name in ("known_scanner", "country", "network"):
        for group in summary.groups[name].rows[:3]:
            yield f"{group.name}: {group.scans} scans"


def _sensor(health: Health) -> Iterator[str]:
    if health.state is None:
        yield "the log does not say"
        return
    yield f"{health.state} at {(health.timestamp or '')[:19].replace('T', ' ')}, version {health.version}"
    losses = [f"{health.counts[name]:,} {name.replace('_', ' ')}" for name in _LOSSES if health.counts[name]]
    yield from losses or ["no packet and no line was lost"]


def _card(title: str, number: int | None, lines: Iterable[str]) -> str:
    items = "".join(f"<li>{_text(line)}</li>" for line in lines)
    big = "" if number is None else f'<p class="big">{number:,}</p>'
    return f'<div class="card"><h3>{title}</h3>{big}{f"<ul>{items}</ul>" if items else _NOTHING}</div>'


def _sections(summary: Summary) -> Iterator[str]:
    line, heat = summary.timeline, summary.heat_map
    if line.starts:
        names = [printable(port) for port in heat.ports]
        drawing = svg.heat_map(names, heat.starts, heat.lines, "Lines by port and time")
        yield _section("scans", "Scans over time", _plot("scans", line, "New scans by verdict"))
        yield _section("heat-title", "Ports over time", f'<div class="plot" id="heat">{drawing}<output></output></div>')
        yield _section("new", "First-seen ports", _plot("new_ports", line, "New ports"))
        yield _section("attempts", "Connection lines", _plot("connections", line, "Connection lines"))
    yield _section("sources", "Sources", _source_table("Latest", summary.now) + _source_table("Banned", summary.banned))
    yield _section("ports", "Ports", f'<div class="pair">{_port_tables(summary)}</div>')
    yield _section("groups", "Scans by", f'<div class="pair">{"".join(_group_tables(summary.groups))}</div>')
    yield _section("anomalies", "Anomalies", _anomalies(summary))
    yield _section("delays", "From the first probe to the ban", "".join(_delays(summary)))
    yield _section("health", "Sensor", _health(summary.health))
    if summary.would_ban:
        yield _section("would-ban", "Who would be banned", _would_ban(summary.would_ban))


def _section(name: str, title: str, content: str) -> str:
    return f'<section aria-labelledby="{name}"><h2 id="{name}">{title}</h2>{content or _NOTHING}</section>'


def _plot(name: str, line: Timeline, label: str) -> str:
    series = _PLOTS[name]
    legend = "".join(f'<li class="{one.color}">■ {one.label}</li>' for one in series)
    label = f"{label}; one bar is {line.bucket_seconds:,} seconds"
    drawing = svg.stacked_bars(line.starts, {one.color: _counts(line, one) for one in series}, label)
    return f'<div class="plot" data-plot="{name}">{drawing}<ul class="legend">{legend}</ul></div>'


def _table(caption: str, head: Sequence[str], rows: Iterable[Sequence[_Cell]]) -> str:
    lines = []
    for row in rows:
        cells = (
            f'<td class="number">{cell:,}</td>' if isinstance(cell, int) else f"<td>{_text(cell)}</td>" for cell in row
        )
        lines.append(f"<tr>{''.join(cells)}</tr>")
    if not lines:
        return f"<p>{_text(caption)}: none</p>"
    titles = "".join(f'<th scope="col">{title}</th>' for title in head)
    inside = (
        f"<table><caption>{_text(caption)}</caption><thead><tr>{titles}</tr></thead><tbody>{''.join(lines)}</tbody>"
    )
    # A keyboard can scroll what has the focus.
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{_text(caption)}">{inside}</table></div>'


def _of(title: str, total: int, shown: int) -> str:
    return f"{title}: {total:,}" + (f", {shown} of them shown" if shown < total else "")


def _source_table(title: str, sources: Sources) -> str:
    rows = (
        (
            *(_time(row.last_seen), row.source, row.verdict, row.scan_type, row.technique, row.ports, row.reason),
            *(row.scans, row.origin),
        )
        for row in sources.rows
    )
    head = ("last seen", "source", "verdict", "type", "technique", "ports", "reason", "scans", "from")
    return _table(_of(title, sources.total, len(sources.rows)), head, rows)


def _port_tables(summary: Summary) -> str:
    def table(title: str, ports: Ports) -> str:
        rows = ((f"{row.port}/{row.proto or '?'}", row.sources, row.lines, _time(row.first_seen)) for row in ports.rows)
        return _table(_of(title, ports.total, len(ports.rows)), ("port", "sources", "lines", "first seen"), rows)

    return table("All ports", summary.top_ports) + table("New in the last day", summary.new_ports)


def _group_tables(groups: dict[str, Groups]) -> Iterator[str]:
    for name, one in groups.items():
        title = name.replace("_", " ")
        rows = ((row.name, row.scans, row.sources, row.banned) for row in one.rows)
        yield _table(_of(title, one.total, len(one.rows)), (title, "scans", "sources", "banned"), rows)


def _anomalies(summary: Summary) -> str:
    found = summary.anomalies
    if found.hours is None:
        return "<p>The log is shorter than four weeks, so no hour can be compared.</p>"
    rows = ((_time(hour.start), hour.scans, f"{hour.expected:.1f}", f"{hour.probability:.1e}") for hour in found.hours)
    note = f"Test: {found.test}; {found.false_alarms_per_year:.1f} false alarms a year."
    return (
        _table("Hours with too many new scans", ("hour", "scans", "expected", "probability"), rows) + f"<p>{note}</p>"
    )


def _delays(summary: Summary) -> Iterator[str]:
    yield _delay("to the first line with ban", summary.ban_line)
    if summary.ban is not None:
        yield _delay("to fail2ban's ban", summary.ban)


def _delay(title: str, delay: Delay) -> str:
    if not delay.scans:
        return f"<p>{title}: none</p>"
    return (
        f"<p>{title}: median {delay.median_seconds:.2f} s, nine of ten within {delay.ninth_decile_seconds:.2f} s, "
        f"longest {delay.longest_seconds:.0f} s ({delay.scans:,} scans)</p>"
    )


def _health(health: Health) -> str:
    counts = _table(
        "Counts of all runs", ("count", "sum"), ((name.replace("_", " "), n) for name, n in health.counts.items())
    )
    rows = ((_time(one.timestamp), one.state, one.reason) for one in health.incidents)
    title = _of("Starts, stops and incidents", health.incidents_total, len(health.incidents))
    return f'<div class="pair">{counts}{_table(title, ("time", "state", "reason"), rows)}</div>'


def _would_ban(found: WouldBan) -> str:
    rules = _table(
        "Rules", ("rule", "sources", "on the allowlist"), ((r.name, r.sources, r.innocents) for r in found.rules)
    )
    names = [rule.name for rule in found.rules]
    rows = (
        (
            *(_time(one.first.timestamp), one.source, "yes" if one.innocent else ""),
            *(one.first.technique, one.first.reason),
            *(one.bans[name].ports or 0 if name in one.bans else "-" for name in names),
        )
        for one in found.candidates[:_CANDIDATES]
    )
    head = ("first ban", "source", "allowlist", "technique", "reason", *names)
    title = _of("Ports at the first ban by each rule", found.total, min(_CANDIDATES, len(found.candidates)))
    return f'{rules}{_table(title, head, rows)}<p class="muted">{_text(found.note)}</p>'
