"""What fail2ban did, out of its own database: who was banned, by which jail, for which lines."""

import json
import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

_SOURCE = re.compile(r'"src_ip":"([0-9a-f.:]+)"')


@dataclass(frozen=True)
class Ban:
    """One address or IPv6 network in one jail; later bans of the same only count."""

    jail: str
    address: str
    moment: float
    matches: tuple[str, ...]
    times: int

    def hits(self, address: str) -> bool:
        return ip_address(address) in ip_network(self.address)

    @property
    def source(self) -> str:
        """The address; of a network that is banned, the one that the lines name."""
        if "/" not in self.address:
            return self.address
        named = _SOURCE.search("".join(self.matches))
        return named[1] if named else self.address


def read(database: Path) -> list[Ban]:
    query = "SELECT jail, ip, min(timeofban), data, count(*) FROM bans GROUP BY jail, ip ORDER BY min(timeofban)"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        rows = connection.execute(query).fetchall()
    return [Ban(jail, ip, float(when), _matches(data), times) for jail, ip, when, data, times in rows]


def _matches(data: Any) -> tuple[str, ...]:
    found = json.loads(data).get("matches") or []
    return tuple(match if isinstance(match, str) else "".join(match) for match in found)
