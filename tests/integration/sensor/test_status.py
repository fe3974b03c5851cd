"""`status` beside a real sensor and a real fail2ban."""

import pytest

from portsentry_py.core.host_state import network_of
from portsentry_py.fail2ban import jails
from portsentry_py.fail2ban.client import Fail2banClient
from portsentry_py.report.overview import look
from tests.integration.fixtures import StartSensor
from tests.support.fail2ban_server import NAME, Fail2banServer
from tests.support.namespaces import Lab
from tests.support.scanning import nmap

pytestmark = pytest.mark.wire


def test_a_ban_is_shown_with_its_reason_until_fail2ban_stops(
    lab: Lab, jail: Fail2banServer, start_sensor: StartSensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jails, "_TIMEOUT_SECONDS", 60)
    sensor = start_sensor()
    log, client = jail.folder.parent / "portsentry.log", Fail2banClient(jail.folder / "fail2ban.sock")
    scanner = lab.scanner.ipv6[0]
    banned = network_of(scanner)
    # Banned by hand: no line of the log tells why.
    jail.client("set", NAME, "banip", "192.0.2.200")
    nmap(lab.scanner, "-6", "-sS", "-p", "90-250", lab.target.ipv6[0])
    sensor.wait_for_line("the scan", src_ip=scanner, event_type="scan", verdict="ban")
    jail.wait_for_ban(banned)

    told = look(log, client)

    assert (told.fail2ban.standing, told.fail2ban.note) == ("answers", "")
    (state,) = (state for state in told.fail2ban.jails if state.name == NAME)
    assert (state.currently_banned, state.total_banned, state.note) == (2, 2, "")
    assert state.logs == (str(log),)
    bans = {ban.address: ban for ban in state.bans}
    assert set(bans) == {banned, "192.0.2.200"}
    assert bans["192.0.2.200"].evidence is None
    for ban in bans.values():
        assert ban.ban_seconds is not None
        assert ban.left_seconds is not None
        assert ban.ban_seconds - 120 <= ban.left_seconds <= ban.ban_seconds + 1
    found = bans[banned].evidence
    assert found is not None
    assert (found.verdict, found.technique, found.scan_type) == ("ban", "port_scan", "syn")
    assert told.sources[0].src_ip == scanner
    assert told.sensor.running
    assert told.sensor.note == ""
    assert told.log.lines_unreadable == 0

    assert sensor.stop() == 0
    jail.stop()
    told = look(log, client)

    assert told.fail2ban.standing == "silent"
    assert "systemctl start fail2ban" in told.fail2ban.note
    assert (told.sensor.running, told.sensor.state) == (False, "stopped")
    assert told.sources[0].src_ip == scanner
