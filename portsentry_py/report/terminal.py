"""The overview as tables on a terminal."""

from collections.abc import Iterable

from rich.console import RenderableType
from rich.table import Column, Table
from rich.text import Text

from portsentry_py.events.model import EvidenceEvent
from portsentry_py.events.readable import STYLES
from portsentry_py.fail2ban.jails import JailBan, JailState
from portsentry_py.report.overview import LogView, Overview, SensorView
from portsentry_py.text import printable

_BANS = 50  # bans shown per jail; `--json` has them all

_RUNNING = {True: ("running", "green"), False: ("not running", "bold red"), None: ("unknown", "yellow")}
_DURATIONS = ((86_400, "d"), (3_600, "h"), (60, "min"))
_SIZES = ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB"))


def render(overview: Overview) -> list[RenderableType]:
    """The parts to print, from top to bottom. No text in them is markup."""
    facts = Table.grid(padding=(0, 2))
    facts.add_row("sensor", _sensor(overview.sensor))
    facts.add_row("log", _log(overview.log))
    if overview.outbound:
        facts.add_row("this host", Text(printable(overview.outbound), style="bold red"))
    if overview.fail2ban.note:
        facts.add_row("fail2ban", Text(printable(overview.fail2ban.note), style="yellow"))
    for jail in overview.fail2ban.jails:
        facts.add_row("jail", _jail(jail))
    parts: list[RenderableType] = [facts]
    for jail in overview.fail2ban.jails:
        if jail.bans:
            parts.append(_bans(jail))
            if len(jail.bans) > _BANS:
                parts.append(Text(f"… and {len(jail.bans) - _BANS} more: --json shows all", style="dim"))
    if overview.sources:
        parts.append(_sources(overview))
    return parts


def duration(seconds: int) -> str:
    """A length of time in its two largest units."""
    for nth, (size, unit) in enumerate(_DURATIONS):
        if seconds >= size:
            text = f"{seconds // size} {unit}"
            if nth + 1 < len(_DURATIONS):
                smaller, name = _DURATIONS[nth + 1]
                rest = seconds % size // smaller
                text += f" {rest} {name}" if rest else ""
            return text
    return f"{seconds} s"


def _sensor(sensor: SensorView) -> Text:
    word, style = _RUNNING[sensor.running]
    text = Text(word, style=style)
    if sensor.state is not None and sensor.age_seconds is not None:
        reason = f" ({_words(sensor.reason)})" if sensor.reason not in {None, "", "none"} else ""
        text.append(f"; last said {sensor.state}{reason} {duration(sensor.age_seconds)} ago", style="default")
        text.append(f", version {sensor.version or 'unknown'}: ", style="default")
        text.append(_counts(sensor.counts), style="default")
    if sensor.memory_bytes:
        text.append(f"; {_size(sensor.memory_bytes)} of memory", style="default")
    return _with_note(text, sensor.note)


def _counts(counts: dict[str, int]) -> str:
    """The packets, and the other counts that are not zero."""
    shown = {name: number for name, number in counts.items() if number or name == "packets"}
    return ", ".join(f"{number} {_words(name)}" for name, number in shown.items())


def _log(log: LogView) -> Text:
    text = Text(f"{printable(str(log.path))}, {_size(log.size_bytes)}")
    if log.last_line_age_seconds is not None:
        text.append(f", last line {duration(log.last_line_age_seconds)} ago")
    if log.lines_unreadable:
        text.append(f", {log.lines_unreadable} of {log.lines_read} lines unreadable", style="yellow")
    return _with_note(text, log.note)


def _jail(jail: JailState) -> Text:
    now, total = ("?" if number is None else str(number) for number in (jail.currently_banned, jail.total_banned))
    return _with_note(Text(f"{jail.name}: {now} banned now, {total} since fail2ban started"), jail.note)


def _with_note(text: Text, note: str) -> Text:
    if note:
        text.append("\n" + printable(note), style="yellow")
    return text


def _bans(jail: JailState) -> Table:
    columns = ("address", "time left", "type", "technique", "ports", "reason")
    rows = ((ban.address, _left(ban), *_evidence(ban.evidence)) for ban in jail.bans[:_BANS])
    return _table(f"banned by {jail.name}", columns, rows)


def _left(ban: JailBan) -> str:
    if ban.permanent:
        return "for ever"
    return "unknown" if ban.left_seconds is None else duration(ban.left_seconds)


def _sources(overview: Overview) -> Table:
    columns = ("time (UTC)", "source", "verdict", "type", "technique", "ports", "reason")
    rows = (
        (line.timestamp[:19].replace("T", " "), line.src_ip, _verdict(line), *_evidence(line))
        for line in overview.sources
    )
    return _table("latest sources", columns, rows)


def _verdict(line: EvidenceEvent) -> Text:
    return Text(line.verdict, style=STYLES.get(line.verdict, ""))


def _evidence(line: EvidenceEvent | None) -> tuple[str, str, str, str]:
    if line is None:
        return "", "", "", "not in what was read of the log"
    return line.scan_type, line.technique, _ports(line), line.reason


def _ports(line: EvidenceEvent) -> str:
    """The number of ports, and some of them."""
    few = ", ".join(str(port) for port in line.ports_sample[:5])
    more = ", …" if line.ports > len(line.ports_sample[:5]) else ""
    return f"{line.ports} ({few}{more})" if few else str(line.ports)


def _table(title: str, columns: Iterable[str], rows: Iterable[Iterable[str | Text]]) -> Table:
    # A narrow terminal wraps the lines: a cut address is useless.
    table = Table(*(Column(name, no_wrap=True) for name in columns), title=title, title_justify="left")
    for row in rows:
        # Text, because rich takes a plain string for markup.
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    return table


def _words(name: str | None) -> str:
    return (name or "").replace("_", " ")


def _size(count: int) -> str:
    for size, unit in _SIZES:
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
