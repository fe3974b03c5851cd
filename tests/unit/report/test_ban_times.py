"""When fail2ban banned, by a database that it made itself."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from portsentry_py.errors import InputError
from portsentry_py.report.ban_times import BannedScan, delay, read_bans
from tests.support.needs import require_tool
from tests.support.running import run

MAKE = "import sys; from fail2ban.server.database import Fail2BanDb; Fail2BanDb(sys.argv[1]).close()"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database of the installed fail2ban, with four bans."""
    require_tool("fail2ban-server")
    path = tmp_path / "fail2ban ?.sqlite3"
    run("/usr/bin/python3", "-c", MAKE, path)
    rows = [("portsentry", "203.0.113.9", 100), ("portsentry-trap", "2001:db8::/64", 200)]
    rows += [("sshd", "203.0.113.7", 300), ("portsentryx", "203.0.113.8", 400)]
    with closing(sqlite3.connect(path)) as connection, connection:
        for jail in dict.fromkeys(row[0] for row in rows):
            connection.execute("INSERT INTO jails (name, enabled) VALUES (?, 1)", (jail,))
        connection.executemany(
            "INSERT INTO bans (jail, ip, timeofban, bantime, data) VALUES (?, ?, ?, 600, '{}')", rows
        )
    return path


def test_the_bans_of_our_jails_are_read(database: Path) -> None:
    assert read_bans(database) == [("203.0.113.9", 100), ("2001:db8::/64", 200)]


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("x" * 5000)
    for name in ("none", "text"):
        with pytest.raises(InputError, match="cannot read fail2ban's database"):
            read_bans(tmp_path / name)
    assert not (tmp_path / "none").exists()


def test_a_delay_is_from_the_first_probe_of_the_latest_scan_before_the_ban() -> None:
    scans = [
        BannedScan("203.0.113.9", 10_000_000, 20_000_000),
        BannedScan("203.0.113.9", 90_500_000, 100_200_000),
        BannedScan("203.0.113.9", 150_000_000, 160_000_000),
    ]
    found = delay(scans, [("203.0.113.9", 100), ("198.51.100.7", 100), ("203.0.113.9", 5)])
    assert (found.scans, found.median_seconds, found.longest_seconds) == (1, 9.5, 9.5)


def test_deciles_are_between_the_shortest_and_the_longest() -> None:
    scans = [BannedScan(str(number), 0, 0) for number in range(1, 12)]
    found = delay(scans, [(str(number), number) for number in range(1, 12)])
    assert (found.scans, found.median_seconds, found.ninth_decile_seconds, found.longest_seconds) == (
        11,
        6.0,
        10.0,
        11.0,
    )


def test_no_ban_is_no_delay() -> None:
    assert delay([], [("203.0.113.9", 1)]).scans == 0
