"""The summary of a log as tables on a terminal."""

from collections.abc import Iterable, Iterator, Sequence

from rich.console import RenderableType
from rich.table import Column, Table
from rich.text import Text

from portsentry_py.report.summary import Anomalies, Delay, Groups, Health, Ports, Reading, Sources, Summary, Totals
from portsentry_py.report.terminal import duration
from portsentry_py.report.would_ban import Candidate, WouldBan
from portsentry_py.text import printable

_STYLES = {"ban": "bold red", "watch": "yellow", "ignore": "dim"}
_BARS = " ▁▂▃▄▅▆▇█"
_CANDIDATES = 50
_HEALTH = ("packets_dropped", "packets_missed", "packets_malformed", "packets_forged", "lines_lost", "restarts")


def render(summary: Summary) -> Iterator[RenderableType]:
    """The parts to print, from top to bottom. No text in them is markup."""
    yield _facts(summary)
    parts = [
        _sources("seen in the last day", summary.now),
        _ports("ports that were new in the last day", summary.new_ports),
        _sources("banned", summary.banned),
        _ports("ports", summary.top_ports),
        *(_groups(name.replace("_", " "), groups) for name, groups in summary.groups.items()),
    ]
    yield from (part for part in parts if part.row_count)
    if summary.would_ban:
        yield from would_ban_tables(summary.would_ban)


def would_ban_tables(found: WouldBan) -> Iterator[RenderableType]:
    """The rules, then the sources that they would ban; a cell has the number of ports at the first ban."""
    numbers = [str(number) for number, _ in enumerate(found.rules, 1)]
    rows = (
        (number, rule.name, str(rule.sources), str(rule.innocents))
        for number, rule in zip(numbers, found.rules, strict=True)
    )
    yield _table("who would be banned", ("", "rule", "sources", "of these on the allowlist"), rows)
    shown = found.candidates[:_CANDIDATES]
    names = [rule.name for rule in found.rules]
    yield _table(
        _titled("ports at the first ban by each rule", found.total, len(shown)),
        ("first ban (UTC)", "source", "allowlist", "technique", "reason", *numbers),
        (_candidate(one, names) for one in shown),
    )
    yield Text(printable(found.note), style="dim")


def _candidate(one: Candidate, names: Sequence[str]) -> Iterator[str | Text]:
    first = one.first
    yield _time(first.timestamp)
    yield one.source
    yield Text("yes" if one.innocent else "", style="bold red")
    yield from (first.technique or "", first.reason or "")
    for name in names:
        ban = one.bans.get(name)
        yield "-" if ban is None else str(ban.ports or 0)


def _facts(summary: Summary) -> Table:
    facts = Table.grid(padding=(0, 2))
    facts.add_row("log", Text(_reading(summary.reading)))
    for note in summary.reading.notes:
        facts.add_row("", Text(printable(note), style="yellow"))
    facts.add_row("period", Text(f"{summary.totals.first or 'nothing'} to {summary.totals.last or 'nothing'}"))
    facts.add_row("lines", Text(_totals(summary.totals)))
    facts.add_row("sensor", _health(summary.health))
    facts.add_row("scans", Text(_bars(summary)))
    facts.add_row("first probe to line with ban", Text(_delay(summary.ban_line)))
    if summary.ban is not None:
        facts.add_row("first probe to fail2ban's ban", Text(_delay(summary.ban)))
    facts.add_row("anomalies", _anomalies(summary.anomalies))
    return facts


def _reading(reading: Reading) -> str:
    files = ", ".join(map(printable, reading.files[:4])) + (
        ", …" if len(reading.files) > len(reading.files[:4]) else ""
    )
    text = f"{files}: {reading.lines} lines, {reading.bytes} bytes"
    if reading.unreadable:
        text += f", {reading.unreadable} lines unreadable"
    if reading.newer:
        text += f", {reading.newer} lines of a newer version"
    return text


def _totals(totals: Totals) -> str:
    return (
        f"{totals.lines}: {totals.connection_lines} connection, {totals.scan_lines} scan, {totals.trap_lines} trap, "
        f"{totals.status_lines} status; {totals.scans} scans by {totals.sources} sources, "
        f"{totals.sources_banned} of them with ban"
    )


def _health(health: Health) -> Text:
    if health.state is None:
        return Text("the log does not say", style="yellow")
    counts = [f"{health.counts[name]} {name.replace('_', ' ')}" for name in _HEALTH if health.counts[name]]
    text = f"{health.state} at {health.timestamp}, version {health.version or 'unknown'}"
    return Text(printable("; ".join([text, *counts])), style="yellow" if counts else "green")


def _bars(summary: Summary) -> str:
    """New scans over time, in block characters."""
    line = summary.timeline
    scans = [sum(counts) for counts in zip(line.ban, line.watch, line.other, strict=True)]
    if not any(scans):
        return "none"
    steps = len(_BARS) - 1
    bars = "".join(_BARS[-(-count * steps // max(scans))] for count in scans)
    return f"{bars} one column is {duration(line.bucket_seconds)}, at most {max(scans)}"


def _delay(delay: Delay) -> str:
    if not delay.scans:
        return "none"
    return (
        f"{delay.scans} scans: median {delay.median_seconds:.2f} s, nine of ten within "
        f"{delay.ninth_decile_seconds:.2f} s, longest {delay.longest_seconds:.0f} s"
    )


def _anomalies(anomalies: Anomalies) -> Text:
    if anomalies.hours is None:
        return Text("the log is shorter than four weeks, so no hour can be compared", style="dim")
    hours = ", ".join(f"{_time(hour.start)} ({hour.scans}, expected {hour.expected:.1f})" for hour in anomalies.hours)
    test = f"{anomalies.test}; {anomalies.false_alarms_per_year:.1f} false alarms a year"
    return Text(f"{hours or 'none'} ({test})", style="bold red" if hours else "")


def _sources(title: str, sources: Sources) -> Table:
    columns = ("last seen (UTC)", "source", "verdict", "type", "technique", "ports", "reason", "scans", "from")
    return _table(
        _titled(title, sources.total, len(sources.rows)),
        columns,
        (
            (
                *(_time(row.last_seen), row.source, Text(printable(row.verdict), style=_STYLES.get(row.verdict, ""))),
                *(row.scan_type or "", row.technique or "", str(row.ports or 0), row.reason or "", str(row.scans)),
                row.origin,
            )
            for row in sources.rows
        ),
    )


def _ports(title: str, ports: Ports) -> Table:
    rows = (
        (f"{row.port}/{row.proto or '?'}", str(row.sources), str(row.lines), _time(row.first_seen))
        for row in ports.rows
    )
    columns = ("port", "sources", "lines", "first seen (UTC)")
    return _table(_titled(title, ports.total, len(ports.rows)), columns, rows)


def _groups(title: str, groups: Groups) -> Table:
    rows = ((row.name, str(row.scans), str(row.sources), str(row.banned)) for row in groups.rows)
    return _table(_titled(f"by {title}", groups.total, len(groups.rows)), (title, "scans", "sources", "banned"), rows)


def _titled(title: str, total: int, shown: int) -> str:
    return f"{title}: {total}" + (f", of which {shown} are shown" if shown < total else "")


def _time(timestamp: str) -> str:
    return timestamp[:19].replace("T", " ")


def _table(title: str, columns: Iterable[str], rows: Iterable[Iterable[str | Text]]) -> Table:
    # A narrow terminal wraps the lines: a cut address is useless.
    table = Table(*(Column(name, no_wrap=True) for name in columns), title=title, title_justify="left")
    for row in rows:
        # Text, because rich takes a plain string for markup.
        table.add_row(*(Text(printable(cell)) if isinstance(cell, str) else cell for cell in row))
    return table
