"""What people read: sentences, and tables on standard output or, beside event lines, on standard error."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from portsentry_py.cli.say import say
from portsentry_py.text import printable

if TYPE_CHECKING:  # a command waits for no more than it uses
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from portsentry_py.capture.source_packets import DissectedPacket
    from portsentry_py.checks.drill.row import Mark, Row
    from portsentry_py.config.allowlist import Entry
    from portsentry_py.fail2ban.filter_test import ModeResult
    from portsentry_py.fail2ban.placing import Outcome
    from portsentry_py.report.source_list import SourceRow
    from portsentry_py.sensor.replay import Summary

# Neither markup nor emoji: rich reads `:a:` as one, and many IPv6 addresses hold it.
stderr = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)
# Tables are never so narrow that addresses are cut: a small terminal wraps their lines instead.
stdout = Console(
    highlight=False, soft_wrap=True, width=max(shutil.get_terminal_size().columns, 140), markup=False, emoji=False
)


def print_whole(part: RenderableType) -> None:
    """Print a table as wide as it is: a terminal wraps its lines, and cuts no cell."""
    widest = Measurement.get(stdout, stdout.options.update(max_width=1000), part).maximum
    stdout.width = max(stdout.width, widest)
    stdout.print(part)


@contextmanager
def reading() -> Iterator[Callable[[Path, int], None]]:
    """Shows on a terminal how far the reading of a capture is."""
    with stderr.status("reading") as status:
        yield lambda path, packets: status.update(Text(f"{printable(path.name)}: {packets} packets"))


def show_outcomes(outcomes: list[Outcome]) -> None:
    """Print what was done to each file."""
    for outcome in outcomes:
        note = f" ({outcome.note})" if outcome.note else ""
        say(f"{outcome.action}: {outcome.path}{note}")
        if outcome.diff:
            say(outcome.diff)


def allowlist_table(entries: Iterable[Entry]) -> Table:
    """Who is never banned, until when, and why."""
    table = Table("never banned", "until", "reason")
    for entry in entries:
        table.add_row(entry.name, entry.until or "no end", printable(entry.reason))
    return table


def summary_table(summary: Summary) -> Table:
    """The sources of a replay, each with its last line."""
    counted = ", ".join(f"{count} {name}" for name, count in sorted(summary.events.items()))
    table = Table(
        "source", "last verdict", "type", "technique", "ports", "reason", title=f"{summary.packets} packets: {counted}"
    )
    for source, event in summary.sources.items():
        table.add_row(source, event.verdict, event.scan_type, event.technique, str(event.ports), event.reason)
    if summary.unshown:
        table.caption = f"{summary.unshown} more lines, about other sources"
    return table


def sources_table(rows: Iterable[SourceRow]) -> Table:
    """Who the log and the state know."""
    names = ("source", "verdict", "technique", "ports", "some", "attempts", "score", "last seen (UTC)", "reason")
    table = Table(*names)
    for row in rows:
        some = " ".join(map(str, row.sample[:5]))
        counts = (str(row.ports), some, str(row.attempts), str(row.score))
        table.add_row(row.source, row.verdict, row.technique, *counts, row.last_seen[:19], row.reason or row.known_from)
    return table


def packets_table(packets: Iterable[DissectedPacket]) -> Table:
    """The packets of a source; the last column is what their sender chose."""
    table = Table("time (UTC)", "from", "to", "protocol", "flags, type", "ttl", "window", "length", "it says")
    for one in packets:
        ends = (_endpoint(one.src_ip, one.src_port), _endpoint(one.dest_ip, one.dest_port))
        numbers = ("" if number is None else str(number) for number in (one.ttl, one.window, one.length))
        cells = (one.timestamp[:-1].replace("T", " "), *ends, one.protocol, one.flags, *numbers, one.text)
        table.add_row(*map(printable, cells))
    return table


def _endpoint(address: str, port: int | None) -> str:
    if port is None:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def filter_table(results: list[ModeResult]) -> Table:
    """What the filter matched in each mode."""
    table = Table("mode", "lines matched", "lines not matched", "verdict")
    for result in results:
        verdict = "as it must be" if result.ok else f"missed: {result.missed}; wrong: {result.wrong}"
        table.add_row(result.mode, str(len(result.matched)), str(len(result.unmatched)), verdict)
    return table


def drill_table(rows: Iterable[Row], *, armed: bool) -> Table:
    """How far each technique came from the packet to the ban and back."""
    seen = ("technique", "from", "line after", "type", "verdict", "reason")
    table = Table(*seen, *(("banned by", "after", "blocked", "unbanned", "let in") if armed else ()))
    for row in rows:
        reason = row.line.reason if row.line else ""
        cells = (row.technique.name, row.source, _after(row.line_seconds), _mark(row.is_named if row.line else None))
        blocked = f"tcp {_mark(row.tcp)}, udp {_mark(row.udp)}"
        if row.forwarded:
            blocked += f", forwarded {_mark(False)}"
        ban = (row.jail or "nobody", _after(row.ban_seconds), blocked, _mark(row.unbanned), _mark(row.let_in))
        table.add_row(*cells, row.verdict or "-", reason or "-", *(ban if armed else ()))
    return table


def _after(seconds: float | None) -> str:
    return "no" if seconds is None else f"{seconds:.1f} s"


def _mark(mark: Mark) -> str:
    return "-" if mark is None else "yes" if mark else "NO"
