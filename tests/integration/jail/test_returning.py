"""Scanners that come back: longer bans, and fail2ban's own jail [recidive], which counts each ban once."""

import re
from functools import partial
from pathlib import Path

import pytest

from tests.integration.fixtures import StartServer
from tests.support.fail2ban_server import NFTABLES, Fail2banServer, scan_line
from tests.support.paths import ROOT
from tests.support.waiting import wait_for

pytestmark = pytest.mark.wire

README = ROOT / "fail2ban/README.md"
ADDRESS, OTHER, THIRD = "198.18.0.9", "198.18.0.10", "198.18.0.11"
# Without it, fail2ban does not start with [recidive]; the path is from its configuration's folder.
OWN_LOG = {"../../fail2ban.log": ""}
PARTS = ("portsentry", "portsentry-trap", "portsentry-sweep", "portsentry-slow")


def block(heading: str, containing: str) -> str:
    """The indented settings of a chapter of the README."""
    chapter = README.read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"(?:^    .*\n|^\n)+", chapter, re.MULTILINE)
    (found,) = [text for text in blocks if containing in text]
    return re.sub(r"^    ", "", found, flags=re.MULTILINE)


def recidive(tmp_path: Path, maxretry: int) -> str:
    """The operator's [recidive], which reads this server's own log."""
    log = tmp_path / "f2b/fail2ban.log"
    return f"[recidive]\nenabled = true\nlogpath = {log}\nbackend = auto\nmaxretry = {maxretry}\n"


def ban_again(server: Fail2banServer, line: str) -> None:
    """Unban everywhere, then let the line ban."""
    server.client("unban", ADDRESS)
    wait_for(lambda: ADDRESS not in server.listing(), "the rule to go", evidence=server.evidence)
    server.write(line)
    wait_for(lambda: ADDRESS in server.listing(), "the rule", evidence=server.evidence)


def test_recidive_counts_each_ban_once_however_many_lines_there_are(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server(NFTABLES + recidive(tmp_path, maxretry=3), OWN_LOG)
    lines = [*[scan_line(ADDRESS)] * 5, scan_line(ADDRESS, "trap", technique="trap")]
    # fail2ban bans in the order of the log: with the last one, it is done with the others.
    server.write(*lines, scan_line(OTHER))
    server.wait_for_bans([ADDRESS, OTHER])
    ban_again(server, scan_line(ADDRESS))
    server.write(scan_line(ADDRESS), scan_line(THIRD))
    server.wait_for_bans([ADDRESS, OTHER, THIRD])
    wait_for(lambda: server.failures("recidive") == 4, "four bans", evidence=server.evidence)
    assert server.banned("recidive") == set()

    ban_again(server, scan_line(ADDRESS))
    server.wait_for_bans([ADDRESS], "recidive")
    assert server.failures("recidive") == 5
    assert server.errors() == []


def test_recidive_bans_the_network_of_an_ipv6_source(start_server: StartServer, tmp_path: Path) -> None:
    networks = block("What you should set yourself", "[recidive]")
    server = start_server(NFTABLES + recidive(tmp_path, maxretry=2) + networks.replace("[recidive]\n", ""), OWN_LOG)
    network = "2001:db8:7::/64"
    for address in ("2001:db8:7::1", "2001:db8:7::2"):
        server.write(scan_line(address, network=network))
        # fail2ban lists a ban before it carries it out, and an unban does not wait for that.
        wait_for(lambda: network in server.listing(), "the rule", evidence=server.evidence)
        server.client("set", "portsentry", "unbanip", network)

    server.wait_for_bans([network], "recidive")
    wait_for(lambda: network in server.listing(), "the rule", evidence=server.evidence)
    assert server.failures("recidive") == 2
    assert server.errors() == []


def test_the_recommended_parts_count_one_ban_for_each_line(start_server: StartServer, tmp_path: Path) -> None:
    parts = block("Modes", "[portsentry-slow]")
    server = start_server(NFTABLES + parts + recidive(tmp_path, maxretry=9), OWN_LOG)
    for number, technique in enumerate(("port_scan", "trap", "sweep", "slow"), 1):
        server.write(scan_line(f"198.18.0.{number}", "scan", technique=technique))
    for number, jail in enumerate(PARTS, 1):
        server.wait_for_bans([f"198.18.0.{number}"], jail)

    wait_for(lambda: server.failures("recidive") == len(PARTS), "the bans to be counted", evidence=server.evidence)
    assert server.errors() == []


def test_the_recommended_ban_times_grow(start_server: StartServer) -> None:
    recommended = block("What you should set yourself", "bantime.increment")
    server = start_server(NFTABLES + recommended.replace("= 10m", "= 4s").replace("= 5m", "= 0s"))

    def said(text: str, times: int) -> bool:
        return sum(text in message for message in server.messages()) == times

    for turn in (1, 2):
        server.write(scan_line(ADDRESS))
        wait_for(partial(said, f"] Ban {ADDRESS}", turn), "the ban", evidence=server.evidence)
        wait_for(partial(said, f"] Unban {ADDRESS}", turn), "its end", evidence=server.evidence)
    server.write(scan_line(ADDRESS))
    # The longer time is worked out beside the ban, and fail2ban's log keeps it.
    increase = re.compile(rf"Increase Ban {re.escape(ADDRESS)} \((\d) # (?:0:00:)?0?(\d+)")
    wait_for(
        lambda: increase.findall("\n".join(server.messages())) == [("2", "8"), ("3", "16")],
        "longer bans",
        evidence=server.evidence,
    )
    assert server.errors() == []
