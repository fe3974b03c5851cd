"""The time from the first probe of a scan to fail2ban's ban, by fail2ban's database, which keeps whole seconds."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from statistics import quantiles
from typing import NamedTuple
from urllib.parse import quote

from portsentry_py.errors import InputError
from portsentry_py.fail2ban.pack import JAIL
from portsentry_py.report.summary import Delay

_MOST_BANS = 1_000_000
_QUERY = "SELECT ip, timeofban FROM bans WHERE jail = ?1 OR jail GLOB ?1 || '-*' LIMIT ?2"


class BannedScan(NamedTuple):
    """A scan with a line that bans; times in microseconds since 1970."""

    source: str
    first_us: int
    ban_us: int


def read_bans(path: Path) -> list[tuple[str, int]]:
    """The bans of our jails: address or network, and the second of the ban.

    Raises:
        InputError: it is no database of fail2ban, or cannot be read.
    """
    try:
        # Read-only: the server may be writing to it.
        with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)) as connection:
            rows = connection.execute(_QUERY, (JAIL, _MOST_BANS)).fetchall()
    except sqlite3.Error as error:
        raise InputError(f"{path}: cannot read fail2ban's database ({error}); name its dbfile, as root.") from error
    return [(ip, second) for ip, second in rows if isinstance(ip, str) and isinstance(second, int)]


def delay(scans: Iterable[BannedScan], bans: Iterable[tuple[str, int]]) -> Delay:
    """The delays of the bans of which the log has the scan: the latest with a line that bans by then."""
    of_source: defaultdict[str, list[BannedScan]] = defaultdict(list)
    for scan in scans:
        of_source[scan.source].append(scan)
    found = []
    for source, second in bans:
        end_us = (second + 1) * 1_000_000
        before = [scan for scan in of_source.get(source, ()) if scan.ban_us < end_us]
        if before:
            latest = max(before, key=lambda scan: scan.ban_us)
            found.append(max(0.0, second - latest.first_us / 1e6))
    if not found:
        return Delay(0, 0.0, 0.0, 0.0)
    tenths = quantiles(found, n=10, method="inclusive") if len(found) > 1 else found * 9
    return Delay(len(found), tenths[4], tenths[8], max(found))
