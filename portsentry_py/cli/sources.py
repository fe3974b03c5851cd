"""`sources`: who the log and the state file know."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click

from portsentry_py.cli.options import command, config_option, flag, log_option, networks, option, seconds, state_option
from portsentry_py.cli.render import sources_table, stdout
from portsentry_py.cli.say import say
from portsentry_py.config.loader import load
from portsentry_py.config.values import OFF_WORD
from portsentry_py.errors import PortsentryError, UsageError
from portsentry_py.events.model import Verdict, utc
from portsentry_py.report.log_reader import log_path, read_tail
from portsentry_py.report.source_list import SourceFilter, as_csv, as_json, list_sources
from portsentry_py.state.sources import KnownSource, read_memory

_SHOWN = 50


@command()
@config_option
@log_option
@state_option
@option("--net", multiple=True, show_default="all", help="Sources in this network; may be repeated.")
@option(
    "--verdict",
    multiple=True,
    type=click.Choice(get_args(Verdict)),
    show_default="all",
    help="Sources with this verdict; may be repeated.",
)
@option(
    "--port",
    multiple=True,
    type=click.IntRange(0, 65_535),
    show_default="all",
    help="Sources that asked for this port lately; may be repeated.",
)
@option("--min-ports", type=click.IntRange(0), default=0, help="Sources that asked for as many unserved ports.")
@option("--min-attempts", type=click.IntRange(0), default=0, help="Sources that sent as many probes.")
@option("--min-score", type=click.IntRange(0), default=0, help="Sources with as many points.")
@option("--seen", show_default="any time", help="Sources seen within this time: a number with s, m, h, d or w.")
@flag("--json", "json", help="Print one JSON object for each source.")
@flag("--csv", "csv", help="Print a table for spreadsheets.")
def sources(
    *,
    config: Path | None,
    log: str | None,
    state: Path | None,
    net: tuple[str, ...],
    verdict: tuple[str, ...],
    port: tuple[int, ...],
    min_ports: int,
    min_attempts: int,
    min_score: int,
    seen: str | None,
    json: bool,
    csv: bool,
) -> None:
    """List the sources that the log and the state know.

    The log is read from its end, 8 MiB at most. The state file, at most five minutes old, adds sources below every
    threshold.
    """
    if json and csv:
        raise UsageError("--json and --csv are two forms; give one of them.")
    wanted = SourceFilter(
        networks=networks("--net", net),
        verdicts=frozenset(verdict),
        ports=frozenset(port),
        min_ports=min_ports,
        min_attempts=min_attempts,
        min_score=min_score,
        seen_since=utc(time.time_ns() // 1000 - seconds("--seen", seen) * 1_000_000) if seen else "",
    )
    settings = load(config)
    tail = read_tail(log_path(log or settings.log))
    rows = list_sources(tail, _remembered(state or settings.state), wanted)
    if json or csv:
        for line in as_json(rows) if json else as_csv(rows):
            click.echo(line)
        return
    stdout.print(sources_table(rows[:_SHOWN]))
    if len(rows) > _SHOWN:
        say(f"{len(rows) - _SHOWN} more sources: --json and --csv show all.", err=True)


def _remembered(path: Path | str) -> Iterator[KnownSource]:
    """The sources of the state file; a note if it cannot be read."""
    if str(path) == OFF_WORD:
        return
    try:
        memory = read_memory(Path(path))
    except PortsentryError as error:
        say(f"note: {error}", err=True)
        return
    yield from memory.sources if memory else ()
