"""`report`: what the log says about days or years, as tables, JSON or a page."""

import os
import time
from pathlib import Path

import click
from rich.text import Text

from portsentry_py.cli.options import command, config_option, flag, option
from portsentry_py.cli.render import print_whole, stderr
from portsentry_py.cli.say import say
from portsentry_py.config.allowlist import read
from portsentry_py.config.loader import load
from portsentry_py.config.settings import Networks, Settings
from portsentry_py.config.values import OFF_WORD
from portsentry_py.errors import UsageError
from portsentry_py.output.log_file import replacing
from portsentry_py.report.ban_times import read_bans
from portsentry_py.report.database import LogDatabase, log_database
from portsentry_py.report.log_files import LogFile, find_logs, with_rotated
from portsentry_py.report.period import moment_us
from portsentry_py.report.summarize import summarize
from portsentry_py.report.summary_tables import render
from portsentry_py.report.web_page import page
from portsentry_py.text import printable

_EVER_US = 2**62


@command()
@click.argument("logs", nargs=-1, type=click.Path(path_type=Path))
@config_option
@option(
    "--since",
    show_default="the first line",
    help="Only lines from this time on: `7d`, `12h`, `2026-11-20`, `2026-11-20T08:41Z`.",
)
@option("--until", show_default="the last line", help="Only lines up to this time.")
@flag(
    "--would-ban", help="Also say who would be banned in each mode of the filter, and who of them is on the allowlist."
)
@option(
    "--html",
    type=click.Path(path_type=Path),
    show_default="tables instead",
    help="Write a page for the browser, which needs no network.",
)
@option(
    "--fail2ban-db",
    type=click.Path(path_type=Path),
    show_default="none",
    help="fail2ban's database (its `dbfile`), for the time from the first probe to the ban.",
)
@flag("--json", "as_json", help="Print JSON for programs.")
def report(
    logs: tuple[Path, ...],
    config: Path | None,
    *,
    since: str | None,
    until: str | None,
    html: Path | None,
    fail2ban_db: Path | None,
    would_ban: bool,
    as_json: bool,
) -> None:
    """Summarize logs: plain, gzip, rotated, or all of a directory.

    Without LOGS, the log of the configuration and its rotated predecessors. Needs the extra `report` (DuckDB).
    """
    settings = load(config)
    now_us = time.time_ns() // 1000
    since_us = moment_us(since, now_us, "--since") if since else None
    until_us = moment_us(until, now_us, "--until") if until else None
    bans = read_bans(fail2ban_db) if fail2ban_db else None
    files = find_logs(logs or _configured(settings))
    with log_database() as database:
        notes = _load(database, files)
        database.create(-_EVER_US if since_us is None else since_us, _EVER_US if until_us is None else until_us)
        summary = summarize(
            database,
            files,
            notes,
            now_us=now_us,
            since_us=since_us,
            until_us=until_us,
            allowlist=_allowlist(settings) if would_ban else None,
            bans=bans,
        )
    if html is not None:
        _write(page(summary), html)
        say(f"page: {html}", err=True)
    if as_json:
        click.echo(summary.to_json())
    elif html is None:
        for part in render(summary):
            print_whole(part)


def _configured(settings: Settings) -> list[Path]:
    if settings.log == "-":
        raise UsageError("the log is standard output, which cannot be read again; name the files of a log.")
    return with_rotated(Path(settings.log))


def _allowlist(settings: Settings) -> Networks:
    """Everybody whom the operator calls innocent."""
    entries = () if settings.allowlist == OFF_WORD else read(Path(settings.allowlist))
    return (*settings.ignore, *(entry.network for entry in entries))


def _load(database: LogDatabase, files: list[LogFile]) -> list[str]:
    """Read the files; what is wrong with them, one sentence each."""
    with stderr.status("reading") as status:

        def progress(file: LogFile, percent: float) -> None:
            name, number = printable(file.path.name), files.index(file) + 1
            status.update(Text(f"{name}, file {number} of {len(files)}: {percent:.0f} %"))

        notes = [database.load(file, progress) for file in files]
    return [note for note in notes if note]


def _write(text: str, path: Path) -> None:
    with replacing(path) as descriptor, os.fdopen(os.dup(descriptor), "w", encoding="utf-8") as file:
        file.write(text)
