"""From the scanner's packet to the dropped connection, with nothing faked in between."""

import json
import os
import shutil
import sys
from datetime import datetime
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from portsentry_py.core.host_state import network_of
from tests.integration.fixtures import StartSensor
from tests.support.capturing import capturing
from tests.support.fail2ban_server import Fail2banServer, scan_line
from tests.support.namespaces import Lab
from tests.support.patience import PATIENT_RUN
from tests.support.peers import HTTP_PORT, SSH_PORT
from tests.support.processes import all_ended
from tests.support.running import run
from tests.support.scanning import PORTS, nmap, scan_from
from tests.support.sensor import CAPTURE_TOOLS, RUN, Line, Sensor
from tests.support.waiting import wait_for

pytestmark = pytest.mark.wire

TRAP = 2323
REQUESTS = 200


def evidence_against(sensor: Sensor, address: str) -> list[Line]:
    return [
        line
        for line in sensor.matching(src_ip=address)
        if line["event_type"] == "scan" or line["verdict"] in {"ban", "watch"}
    ]


@pytest.mark.parametrize(
    ("options", "version"), [(["-sS"], 4), (["-sT"], 4), (["-6", "-sS"], 6)], ids=["syn", "connect", "syn over IPv6"]
)
def test_a_scanner_is_banned_and_a_visitor_is_not(
    lab: Lab, jail: Fail2banServer, start_sensor: StartSensor, options: list[str], version: int
) -> None:
    sensor = start_sensor(capture={"keep_minutes": 5})
    scanner = (lab.scanner.ipv4 if version == 4 else lab.scanner.ipv6)[0]
    target = (lab.target.ipv4 if version == 4 else lab.target.ipv6)[0]
    assert lab.scanner.reaches(target, HTTP_PORT)
    visit = lab.visitor.visit(lab.target, REQUESTS)

    nmap(lab.scanner, *options, "-p", PORTS, target)
    sensor.wait_for_line("the scan", src_ip=scanner, event_type="scan", verdict="ban")
    banned = scanner if version == 4 else network_of(scanner)
    jail.wait_for_ban(banned)

    assert not lab.scanner.reaches(target, HTTP_PORT)
    output, _ = visit.communicate(timeout=120)
    assert json.loads(output) == {"answered": REQUESTS, "echoed": REQUESTS // 20}
    for visitor in (*lab.visitor.ipv4, *lab.visitor.ipv6):
        assert evidence_against(sensor, visitor) == []
    assert jail.banned() == jail.blocked() == {banned}
    explained_with_its_ban(lab, sensor, jail, banned)


def explained_with_its_ban(lab: Lab, sensor: Sensor, jail: Fail2banServer, banned: str) -> None:
    """`explain` names the jail that holds the ban and its end, as fail2ban does, and shows packets that were kept."""
    files = ("-c", sensor.config, "--log", sensor.log, "--socket", jail.socket)
    done = lab.target.run(sys.executable, *PATIENT_RUN, "explain", banned, *files, "--json")
    found = json.loads(done.stdout)
    assert len(found["fail2ban"]["bans"]) == 1, found["fail2ban"]
    (ban,) = found["fail2ban"]["bans"]
    assert (found["verdict"], ban["jail"], ban["address"]) == ("ban", "portsentry", banned)
    end = datetime.fromisoformat(ban["ends_at"].replace("Z", "+00:00")).astimezone()
    assert f"{banned} " in (held := jail.client("get", "portsentry", "banip", "--with-time"))
    assert held.rstrip().endswith(end.strftime("= %Y-%m-%d %H:%M:%S"))
    assert 0 < ban["left_seconds"] <= ban["ban_seconds"]
    addresses = {address for packet in found["capture"]["packets"] for address in (packet["src_ip"], packet["dest_ip"])}
    assert any(ip_address(one) in ip_network(banned) for one in addresses)
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in (sensor.state.parent / "packets").iterdir())
    shown = " ".join(lab.target.run(sys.executable, *PATIENT_RUN, "explain", banned, *files).stdout.split())
    assert f"Jail portsentry bans {banned} until {ban['ends_at']}" in shown


def test_a_scan_from_the_ignore_list_bans_nobody(lab: Lab, jail: Fail2banServer, start_sensor: StartSensor) -> None:
    friend, stranger = lab.scanner.ipv4
    sensor = start_sensor(ignore=[friend])
    target = lab.target.ipv4[0]

    nmap(lab.scanner, "-sS", "-p", "1-2000", target)
    sensor.wait_for_line("the friend's scan", src_ip=friend, event_type="scan", verdict="ignore")

    # fail2ban reads in order: when the stranger is banned, it has read the lines about the friend.
    scan_from(lab.scanner, stranger, "-sS", "-p", PORTS, target)
    jail.wait_for_ban(stranger)
    assert friend not in jail.banned() | jail.blocked()
    assert {line["verdict"] for line in sensor.matching(src_ip=friend)} <= {"ignore", "none"}
    assert lab.scanner.reaches(target, HTTP_PORT)


def test_whom_the_operator_allows_is_unbanned_and_not_banned_again(
    lab: Lab, jail: Fail2banServer, start_sensor: StartSensor, tmp_path: Path
) -> None:
    (banned, neighbour), target, allowlist = lab.scanner.ipv4, lab.target.ipv4[0], tmp_path / "allowlist"
    stranger, network = lab.visitor.ipv4[0], network_of(banned)
    sensor = start_sensor(allowlist=str(allowlist))
    scan_from(lab.scanner, banned, "-sS", "-p", PORTS, target)
    jail.wait_for_ban(banned)

    words = ["allow", network, "--for", "1d", "--allowlist", str(allowlist), "--socket", str(jail.socket)]
    done = lab.target.run(sys.executable, *PATIENT_RUN, *words)

    assert done.returncode == 0, done.stderr
    assert f"unbanned {banned} in portsentry" in done.stdout
    assert banned not in jail.banned() | jail.blocked()
    # Before a ban the sensor reads the host again, unless it did so within two seconds.
    scan_from(lab.scanner, neighbour, "-sS", "--scan-delay", "500ms", "-p", "1001-1012", target)
    sensor.wait_for_line("the scan", src_ip=neighbour, event_type="scan", verdict="ignore", reason="ignore_list")
    # fail2ban reads in order: when the stranger is banned, it has read the lines about the others.
    scan_from(lab.visitor, stranger, "-sS", "-p", PORTS, target)
    jail.wait_for_ban(stranger)
    assert jail.banned() == jail.blocked() == {stranger}


def test_a_trap_bans_at_the_second_touch(lab: Lab, jail: Fail2banServer, start_sensor: StartSensor) -> None:
    sensor = start_sensor(traps={"tcp": [TRAP]})
    scanner, target = lab.scanner.ipv4[0], lab.target.ipv4[0]

    lab.scanner.connect(target, TRAP)
    first = sensor.wait_for_line("the first touch", src_ip=scanner, event_type="trap")
    assert (first["verdict"], first["dest_port"]) == ("watch", TRAP)
    assert jail.banned() == set()

    lab.scanner.connect(target, TRAP)
    sensor.wait_for_line("the second touch", src_ip=scanner, event_type="trap", verdict="ban")
    jail.wait_for_ban(scanner)
    assert not lab.scanner.reaches(target, HTTP_PORT)


def test_a_trap_bans_at_the_first_touch_where_that_is_configured(
    lab: Lab, jail: Fail2banServer, start_sensor: StartSensor
) -> None:
    sensor = start_sensor(traps={"tcp": [TRAP], "ban_on": "first"})
    scanner = lab.scanner.ipv4[0]

    lab.scanner.connect(lab.target.ipv4[0], TRAP)

    jail.wait_for_ban(scanner)
    assert sensor.matching(src_ip=scanner, event_type="trap")[0]["verdict"] == "ban"


def test_sigterm_ends_the_sensor_and_its_children(start_sensor: StartSensor) -> None:
    sensor = start_sensor()
    children = sensor.capture_tools()
    assert {child.name() for child in children} == CAPTURE_TOOLS

    assert sensor.stop() == 0

    assert all_ended(children)
    assert sensor.lines()[-1]["state"] == "stopped"


def test_the_children_do_not_outlive_a_killed_sensor(start_sensor: StartSensor) -> None:
    sensor = start_sensor()
    children = sensor.capture_tools()
    assert {child.name() for child in children} == CAPTURE_TOOLS

    sensor.process.kill()

    wait_for(lambda: all_ended(children), "the end of the children")


@pytest.mark.parametrize("victim", ["dumpcap", "tshark"])
def test_a_killed_child_is_replaced(lab: Lab, jail: Fail2banServer, start_sensor: StartSensor, victim: str) -> None:
    sensor = start_sensor()
    before = sensor.children()

    before[victim].kill()
    sensor.wait_for_line("the restart", event_type="status", state="restarted")
    sensor.wait_for(lambda: sensor.children().keys() == CAPTURE_TOOLS, "both children")

    after = sensor.children()
    assert after[victim].pid != before[victim].pid
    assert all_ended(before.values())
    nmap(lab.scanner, "-sS", "-p", PORTS, lab.target.ipv4[0])
    jail.wait_for_ban(lab.scanner.ipv4[0])


@pytest.mark.parametrize("how", ["rename", "copytruncate"])
def test_lines_go_on_in_the_new_file_after_a_rotation(
    lab: Lab, jail: Fail2banServer, start_sensor: StartSensor, how: str
) -> None:
    sensor = start_sensor(traps={"tcp": [TRAP]})
    scanner, target, other = lab.scanner.ipv4[0], lab.target.ipv4[0], "192.0.2.99"
    lab.scanner.connect(target, TRAP)
    sensor.wait_for_line("the line before the rotation", src_ip=scanner, event_type="trap")
    # fail2ban notices that a log was truncated only if it had read further than the log is long now.
    jail.write(scan_line(other))
    jail.wait_for_ban(other)

    rotated = sensor.log.with_name("portsentry.log.1")
    if how == "rename":
        sensor.log.rename(rotated)
        sensor.log.touch(0o640)
    else:
        shutil.copyfile(sensor.log, rotated)
        os.truncate(sensor.log, 0)
    lab.scanner.connect(target, TRAP)

    after = sensor.wait_for_line("the line after the rotation", src_ip=scanner, event_type="trap")
    assert after["verdict"] == "ban"
    assert [line["verdict"] for line in sensor.lines(rotated) if line["event_type"] == "trap"] == ["watch"]
    assert sensor.log.read_bytes().startswith(b'{"timestamp":')
    jail.wait_for_ban(scanner)


def test_a_replay_says_what_was_said_live(lab: Lab, start_sensor: StartSensor, tmp_path: Path) -> None:
    """Byte for byte from what the sensor captured; from a capture without its filter, but for the times."""
    unfiltered = tmp_path / "unfiltered.pcapng"
    with capturing(lab.target, unfiltered) as capture:
        sensor = start_sensor(
            copy=True,
            capture={"workers": 1},  # there is one file for the copy
            served={"tcp": [SSH_PORT, HTTP_PORT]},
            traps={"tcp": [TRAP]},
            connections="all",
            # So much that nothing is suppressed: microseconds must not decide which line is written.
            lines={"per_source_per_minute": 10_000, "per_second": 10_000},
        )
        visit = lab.visitor.visit(lab.target, 40)
        lab.scanner.connect(lab.target.ipv4[0], TRAP)
        for options in ("-sS -p 75-110", "-sT -p 75-110", "-sX -p 75-85", "-sU -p 75-80", "-6 -sS -p 75-110"):
            nmap(lab.scanner, *options.split(), (lab.target.ipv6 if "-6" in options else lab.target.ipv4)[0])
        visit.communicate(timeout=120)
        sensor.settle()
        capture.settle()
        assert sensor.stop() == 0

    live = _events(sensor.log.read_text())
    assert len(live) > 50, sensor.evidence()
    assert _events(_replay(lab, sensor, sensor.captured)) == live
    assert _timeless(_events(_replay(lab, sensor, unfiltered))) == _timeless(live)


def _replay(lab: Lab, sensor: Sensor, capture: Path) -> str:
    homes = [word for home in (*lab.target.ipv4, *lab.target.ipv6) for word in ("--home", home)]
    return run(sys.executable, *RUN, "replay", capture, "-c", sensor.config, *homes)


def _events(text: str) -> list[str]:
    return [line for line in text.splitlines() if json.loads(line)["event_type"] != "status"]


def _timeless(lines: list[str]) -> list[Line]:
    """Drop the times, and the name that is made of one."""
    dated = {"timestamp", "first_seen", "last_seen", "event_id"}
    return [{key: value for key, value in json.loads(line).items() if key not in dated} for line in lines]
