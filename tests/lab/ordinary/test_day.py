"""The ordinary host's day, in a minute: innocents and scanners share it, and the right ones are banned."""

import csv
from pathlib import Path

import pytest

from tests.lab.ordinary import judge, report
from tests.lab.ordinary.life import live
from tests.lab.ordinary.populations import EVERYONE
from tests.scenarios.families import SCENARIOS
from tests.support.needs import require_wire

pytestmark = [pytest.mark.wire, pytest.mark.slow]

_MINUTES = 1
_TOOLS = (
    *("bridge", "nft", "nmap", "masscan", "hping3", "tshark", "dumpcap", "editcap"),
    *("fail2ban-server", "nginx", "sshd", "ssh", "scp", "ssh-keygen", "openssl"),
)


def innocent_captures(folder: Path) -> Path:
    """Make a directory of captures out of the scenarios in which nobody is accused of anything."""
    columns = ("file", "label", "scan_types", "strength", "scanner_ips", "target_ips", "commit")
    with (folder / "index.csv").open("w", encoding="utf-8", newline="") as file:
        index = csv.DictWriter(file, columns, restval="")
        index.writeheader()
        for one in SCENARIOS.values():
            if one.committed and not one.names:
                (folder / f"{one.name}.pcap").symlink_to(one.capture)
                index.writerow({"file": f"{one.name}.pcap", "label": "negative", "strength": "clear"})
    return folder


def test_a_day_on_an_ordinary_host_bans_every_scanner_and_nobody_else(tmp_path: Path) -> None:
    require_wire(*_TOOLS)

    lived = live(_MINUTES, innocent_captures(tmp_path))

    judgements = judge.judged(lived, judge.Register(EVERYONE, lived.playlist))
    page = report.page(lived, EVERYONE, judgements, [])
    print(page)
    assert lived.faults == []
    assert judge.wrong(judgements) == []
    assert judge.missed(lived, EVERYONE) == []
    assert len(lived.playlist.recordings) > 10
    assert {one.ban.jail for one in judgements} == {"portsentry", "sshd"}
    for one in judgements:
        assert f"| {one.ban.address} | {one.who.name} | {one.ban.jail} | yes | " in page
