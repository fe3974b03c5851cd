"""Summaries of logs for tests."""

from pathlib import Path

from portsentry_py.config.settings import Networks
from portsentry_py.report.database import log_database
from portsentry_py.report.log_files import find_logs
from portsentry_py.report.summarize import summarize
from portsentry_py.report.summary import Summary

EVER_US = 2**62
NOW_US = 1_800_000_000_000_000


def summary_of(*logs: Path, allowlist: Networks | None = None, bans: list[tuple[str, int]] | None = None) -> Summary:
    """The summary of these files."""
    files = find_logs(logs)
    with log_database() as database:
        notes = [note for file in files if (note := database.load(file, lambda *_: None))]
        database.create(-EVER_US, EVER_US)
        return summarize(database, files, notes, now_us=NOW_US, allowlist=allowlist, bans=bans)
