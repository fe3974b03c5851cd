"""The log between sensor and fail2ban: rotated in a burst, read after a pause, read twice."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.fixtures import StartServer
from tests.support.fail2ban_server import NFTABLES, Fail2banServer, scan_line
from tests.support.waiting import wait_for

pytestmark = pytest.mark.wire

BURST = 60
# fail2ban notices that a log was truncated only while it is shorter than before.
ROTATED_AT = 40
BACKENDS = pytest.mark.parametrize("backend", ["", "[portsentry]\nbackend = polling\n"], ids=["auto", "polling"])


def addresses(count: int) -> list[str]:
    return [f"198.18.{number // 250}.{number % 250 + 1}" for number in range(count)]


def bans(server: Fail2banServer) -> Counter[str]:
    """Count the bans of each address in fail2ban's own log, restored ones not included."""
    return Counter(line.split(" Ban ")[1].strip() for line in server.messages() if "[portsentry] Ban " in line)


def create(log: Path) -> None:
    """Do what logrotate's `create` does; the sensor opens its log again, as `Fail2banServer.write` does."""
    log.rename(log.with_suffix(".log.1"))
    log.touch(0o640)


def copytruncate(log: Path) -> None:
    shutil.copy(log, log.with_suffix(".log.1"))
    with log.open("r+") as file:
        file.truncate()


@pytest.mark.parametrize("rotate", [create, copytruncate])
@BACKENDS
def test_a_rotation_in_a_burst_loses_no_ban(
    start_server: StartServer, rotate: Callable[[Path], None], backend: str
) -> None:
    server = start_server(NFTABLES + backend)

    for number, address in enumerate(addresses(BURST)):
        if number == ROTATED_AT:
            # What fail2ban has not read by then is lost to it, and without pyinotify it looks once a second;
            # the sensor tells of a scan that goes on again for that reason.
            wait_for(lambda: server.failures() == ROTATED_AT, "all to be read", evidence=server.evidence)
            rotate(server.log)
        server.write(scan_line(address))

    server.wait_for_bans(addresses(BURST))
    # fail2ban lists a ban before it carries it out.
    wait_for(lambda: all(one in server.listing() for one in addresses(BURST)), "all rules", evidence=server.evidence)
    assert bans(server) == Counter(addresses(BURST))
    assert server.errors() == []


@BACKENDS
def test_a_stop_a_restart_and_a_reload_lose_no_ban_and_repeat_none(start_server: StartServer, backend: str) -> None:
    server = start_server(NFTABLES + backend)
    before, meanwhile, after = addresses(15)[:5], addresses(15)[5:10], addresses(15)[10:]
    server.write(*map(scan_line, before))
    server.wait_for_bans(before)

    server.stop()
    assert "f2b" not in server.listing()
    server.write(*map(scan_line, meanwhile))
    server.start()
    server.wait_for_bans(before + meanwhile)

    server.client("reload")
    server.client("restart", "portsentry")
    server.write(*map(scan_line, after))
    server.wait_for_bans(before + meanwhile + after)

    everyone = before + meanwhile + after
    wait_for(lambda: all(one in server.listing() for one in everyone), "all rules", evidence=server.evidence)
    assert bans(server) == Counter(everyone)
    assert server.errors() == []


def test_a_scan_that_goes_on_is_banned_once(start_server: StartServer) -> None:
    server = start_server(NFTABLES)
    server.write(*[scan_line("192.0.2.1")] * 5)
    server.wait_for_bans(["192.0.2.1"])
    server.write(scan_line("192.0.2.1"), scan_line("192.0.2.2"))
    server.wait_for_bans(["192.0.2.1", "192.0.2.2"])

    assert bans(server) == Counter(["192.0.2.1", "192.0.2.2"])
    assert server.errors() == []
