"""The jail [portsentry-fleet] bans what other hosts ban, and `fleet unban` lifts what they lift."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from portsentry_py.fail2ban.pack import FLEET_JAIL
from portsentry_py.fleet.change import Change
from portsentry_py.fleet.line import line
from portsentry_py.fleet.messages import Ban
from portsentry_py.output.json_log import json_line
from tests.integration.fixtures import StartServer
from tests.support.fail2ban_server import NFTABLES, Fail2banServer
from tests.support.waiting import wait_for

pytestmark = pytest.mark.wire

ADDRESSES = {"198.18.0.9": "198.18.0.9", "2001:db8:0:9::9": "2001:db8:0:9::/64"}


def text(address: str, *, bans: bool) -> str:
    now_us = int(datetime.now(timezone.utc).timestamp() * 1_000_000)
    ban = Ban(address, 64 if ":" in address else 32, True, "port_scan", "syn", now_us + 600_000_000)
    return json_line(line(Change(bans, ban, ("web1",), ban.until_us), "ban", now_us)).decode().rstrip("\n")


@pytest.fixture
def unban() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.terminate()
        process.wait(30)


def start_unban(server: Fail2banServer, folder: Path) -> subprocess.Popen[bytes]:
    config = folder / "fleet.yaml"
    config.write_text(f"fleet: {{log: {server.log}}}\n")
    words = [sys.executable, "-m", "portsentry_py", "fleet", "unban", "-c", str(config), "--socket", str(server.socket)]
    with (folder / "unban.err").open("wb") as errors:
        return subprocess.Popen(words, stderr=errors)


def test_a_reported_source_is_banned_and_a_withdrawn_one_let_in(
    start_server: StartServer, tmp_path: Path, unban: list[subprocess.Popen[bytes]]
) -> None:
    log = tmp_path / "f2b" / "portsentry.log"
    jails = f"[portsentry]\nenabled = false\n[{FLEET_JAIL}]\nenabled = true\nlogpath = {log}\n"
    server = start_server(NFTABLES + jails)
    server.write(*(text(address, bans=True) for address in ADDRESSES))
    server.wait_for_bans(ADDRESSES.values(), FLEET_JAIL)
    wait_for(lambda: set(ADDRESSES.values()) <= server.blocked(), "the rules", evidence=server.evidence)
    unban.append(start_unban(server, tmp_path))

    def withdraw() -> bool:
        # The command begins at the end of the log, whenever it is ready.
        server.write(*(text(address, bans=False) for address in ADDRESSES))
        return not server.banned(FLEET_JAIL)

    wait_for(withdraw, "the unban", evidence=lambda: (tmp_path / "unban.err").read_text() + server.evidence())
    wait_for(lambda: not server.blocked() & set(ADDRESSES.values()), "the rules to go", evidence=server.evidence)
    assert server.errors() == []
