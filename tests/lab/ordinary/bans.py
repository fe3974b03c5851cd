"""What fail2ban did, out of its own database: who was banned, by which jail, for which lines."""

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Ban:
    """One address in one jail; later bans of the same only count."""

    jail: str
    address: str
    moment: float
    matches: tuple[str, ...]
    times: int


def read(database: Path) -> list[Ban]:
    query = "SELECT jail, ip, min(timeofban), data, count(*) FROM bans GROUP BY jail, ip ORDER BY min(timeofban)"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        rows = connection.execute(query).fetchall()
    return [Ban(jail, ip, float(when), _matches(data), times) for jail, ip, when, data, times in rows]


def _matches(data: Any) -> tuple[str, ...]:
    found = json.loads(data).get("matches") or []
    return tuple(match if isinstance(match, str) else "".join(match) for match in found)
