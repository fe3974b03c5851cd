"""Scanners that come back: longer bans, and fail2ban's own jail [recidive], which counts each ban once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.integration.jail.conftest import StartServer
from tests.support.fail2ban_server import NAME, NFTABLES, Server, scan_line
from tests.support.paths import ROOT
from tests.support.waiting import wait_for

pytestmark = pytest.mark.wire

README = ROOT / "fail2ban/README.md"
ADDRESS = "198.18.0.9"
# Without it, fail2ban does not start with [recidive]; the path is from its configuration's folder.
OWN_LOG = {"../../fail2ban.log": ""}
PARTS = ("portsentry", "portsentry-trap", "portsentry-sweep", "portsentry-slow")


def block(heading: str, containing: str) -> str:
    """Give the indented settings of a chapter of the README."""
    chapter = README.read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"(?:^    .*\n|^\n)+", chapter, re.MULTILINE)
    (found,) = [text for text in blocks if containing in text]
    return re.sub(r"^    ", "", found, flags=re.MULTILINE)


def recidive(tmp_path: Path, maxretry: int) -> str:
    """Give the operator's [recidive], which reads this server's own log."""
    log = tmp_path / "f2b/fail2ban.log"
    return f"[recidive]\nenabled = true\nlogpath = {log}\nbackend = auto\nmaxretry = {maxretry}\n"


def ban_again(server: Server, line: str) -> None:
    """Unban everywhere, then let the line ban."""
    server.client("unban", ADDRESS)
    wait_for(lambda: ADDRESS not in server.listing(), "the rule to go", evidence=server.evidence)
    server.write(line)
    wait_for(lambda: ADDRESS in server.listing(), "the rule", evidence=server.evidence)


def counted(server: Server) -> int:
    """Tell how many failures [recidive] has seen."""
    return int(server.client("status", "recidive").split("Total failed:")[1].split()[0])


def test_recidive_counts_each_ban_once_however_many_lines_there_are(
    start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server(NFTABLES + recidive(tmp_path, maxretry=3), OWN_LOG)
    server.write(*[scan_line(ADDRESS)] * 5, scan_line(ADDRESS, "trap", technique="trap"))
    server.wait_for_bans([ADDRESS])
    ban_again(server, scan_line(ADDRESS))
    server.write(scan_line(ADDRESS), scan_line("198.18.0.10"))
    server.wait_for_bans([ADDRESS, "198.18.0.10"])
    wait_for(lambda: counted(server) == 3, "three bans", evidence=server.evidence)
    assert server.banned("recidive") == []

    ban_again(server, scan_line(ADDRESS))
    server.wait_for_bans([ADDRESS], "recidive")
    assert counted(server) == 4
    assert server.errors() == []


def test_the_recommended_parts_count_one_ban_for_each_line(start_server: StartServer, tmp_path: Path) -> None:
    parts = block("Modes", "[portsentry-slow]")
    server = start_server(NFTABLES + parts + recidive(tmp_path, maxretry=9), OWN_LOG)
    for number, technique in enumerate(("port_scan", "trap", "sweep", "slow"), 1):
        server.write(scan_line(f"198.18.0.{number}", "scan", technique=technique))
    for number, jail in enumerate(PARTS, 1):
        server.wait_for_bans([f"198.18.0.{number}"], jail)

    wait_for(lambda: counted(server) == len(PARTS), "the bans to be counted", evidence=server.evidence)
    assert server.errors() == []


def test_the_recommended_ban_times_grow(start_server: StartServer) -> None:
    recommended = block("What you should set yourself", "bantime.increment")
    server = start_server(NFTABLES + recommended.replace("= 10m", "= 3s").replace("= 5m", "= 0s"))

    def seconds() -> int:
        (listed,) = server.client("get", NAME, "banip", "--with-time").splitlines()
        return int(listed.split(" + ")[1].split()[0])

    for expected in (3, 6, 12):
        server.write(scan_line(ADDRESS))
        server.wait_for_bans([ADDRESS])
        # The longer time is worked out beside the ban, a moment later.
        wait_for(lambda wanted=expected: seconds() == wanted, f"{expected} s", evidence=server.evidence)  # type: ignore[misc]
        wait_for(lambda: not server.banned(), "the end of the ban", evidence=server.evidence)
    assert server.errors() == []
