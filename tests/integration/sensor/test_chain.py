"""From the scanner's packet to the dropped connection, with nothing faked in between."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.integration.sensor.conftest import StartSensor
from tests.support.namespaces import IFACE, Host, Lab
from tests.support.peers import HTTP_PORT, SSH_PORT
from tests.support.processes import all_ended
from tests.support.sensor import Line, Sensor
from tests.support.sensor_jail import Jail
from tests.support.waiting import wait_for

pytestmark = pytest.mark.wire

PORTS = "1-150"
DECOY = 2323
POLLED_SECONDS = 3.0  # fail2ban looks at a log every second where it has no inotify
REQUESTS = 200


def nmap(scanner: Host, *words: str) -> None:
    """Scan without asking names or pinging first; give up on ports that a ban hides."""
    done = scanner.run("nmap", "-n", "-Pn", "-T4", "--max-retries", "1", "--host-timeout", "60s", *words)
    assert done.returncode == 0, done.stderr


def accused(sensor: Sensor, address: str) -> list[Line]:
    """Give the lines that hold something against `address`."""
    found = [
        *sensor.matching(src_ip=address, verdict="ban"),
        *sensor.matching(src_ip=address, verdict="watch"),
    ]
    return found + sensor.matching(src_ip=address, event_type="scan")


@pytest.mark.parametrize(
    ("options", "version"),
    [(["-sS"], 4), (["-sT"], 4), (["-6", "-sS"], 6)],
    ids=["syn", "connect", "syn over IPv6"],
)
def test_a_scanner_is_banned_and_a_visitor_is_not(
    lab: Lab, jail: Jail, start_sensor: StartSensor, options: list[str], version: int
) -> None:
    sensor = start_sensor()
    scanner = (lab.scanner.ipv4 if version == 4 else lab.scanner.ipv6)[0]
    target = (lab.target.ipv4 if version == 4 else lab.target.ipv6)[0]
    assert lab.scanner.reaches(target, HTTP_PORT)
    visit = lab.visitor.visit(lab.target, REQUESTS)

    nmap(lab.scanner, *options, "-p", PORTS, target)
    sensor.wait_for_line("the scan", src_ip=scanner, event_type="scan", verdict="ban")
    jail.wait_for_ban(scanner)

    assert not lab.scanner.reaches(target, HTTP_PORT)
    output, _ = visit.communicate(timeout=120)
    assert json.loads(output) == {"answered": REQUESTS, "echoed": REQUESTS // 20}
    for visitor in (*lab.visitor.ipv4, *lab.visitor.ipv6):
        assert accused(sensor, visitor) == []
    assert jail.banned() == jail.blocked() == {scanner}


def test_a_host_on_the_ignore_list_scans_as_it_likes(lab: Lab, jail: Jail, start_sensor: StartSensor) -> None:
    friend, stranger = lab.scanner.ipv4
    sensor = start_sensor(ignore=[friend])
    target = lab.target.ipv4[0]

    nmap(lab.scanner, "-sS", "-p", "1-2000", target)
    sensor.wait_for_line("the friend's scan", src_ip=friend, event_type="scan", verdict="ignore")

    # fail2ban reads in order: once the stranger is banned, it has read about the friend and let it be.
    nmap(lab.scanner, "-sS", "-S", stranger, "-e", IFACE, "-p", PORTS, target)
    jail.wait_for_ban(stranger)
    assert friend not in jail.banned() | jail.blocked()
    assert {line["verdict"] for line in sensor.matching(src_ip=friend)} <= {"ignore", "none"}
    assert lab.scanner.reaches(target, HTTP_PORT)


def test_a_decoy_port_bans_at_the_second_touch(lab: Lab, jail: Jail, start_sensor: StartSensor) -> None:
    sensor = start_sensor(traps={"tcp": [DECOY]})
    scanner, target = lab.scanner.ipv4[0], lab.target.ipv4[0]

    lab.scanner.connect(target, DECOY)
    first = sensor.wait_for_line("the first touch", src_ip=scanner, event_type="trap")
    assert (first["verdict"], first["dest_port"]) == ("watch", DECOY)
    assert jail.banned() == set()

    lab.scanner.connect(target, DECOY)
    sensor.wait_for_line("the second touch", src_ip=scanner, event_type="trap", verdict="ban")
    jail.wait_for_ban(scanner)
    assert not lab.scanner.reaches(target, HTTP_PORT)


def test_a_decoy_port_bans_at_the_first_touch_where_that_is_asked_for(
    lab: Lab, jail: Jail, start_sensor: StartSensor
) -> None:
    sensor = start_sensor(traps={"tcp": [DECOY], "ban_on": "first"})
    scanner = lab.scanner.ipv4[0]

    lab.scanner.connect(lab.target.ipv4[0], DECOY)

    jail.wait_for_ban(scanner)
    assert sensor.matching(src_ip=scanner, event_type="trap")[0]["verdict"] == "ban"


def test_sigterm_ends_the_sensor_and_its_children(start_sensor: StartSensor) -> None:
    sensor = start_sensor()
    children = list(sensor.children().values())
    assert {child.name() for child in children} == {"dumpcap", "tshark"}

    assert sensor.stop() == 0

    assert all_ended(children)
    assert sensor.lines()[-1]["state"] == "stopped"


def test_the_children_do_not_outlive_a_killed_sensor(start_sensor: StartSensor) -> None:
    sensor = start_sensor()
    children = list(sensor.children().values())
    assert len(children) == 2

    sensor.process.kill()

    took = _seconds_until_gone(children)
    print(f"the children were gone after {took:.1f} s")


@pytest.mark.parametrize("victim", ["dumpcap", "tshark"])
def test_a_killed_child_is_replaced(lab: Lab, jail: Jail, start_sensor: StartSensor, victim: str) -> None:
    sensor = start_sensor()
    before = sensor.children()

    before[victim].kill()
    sensor.wait_for_line("the restart", event_type="status", state="restarted")

    after = sensor.children()
    assert set(after) == {"dumpcap", "tshark"}
    assert after[victim].pid != before[victim].pid
    assert all_ended(list(before.values()))
    nmap(lab.scanner, "-sS", "-p", PORTS, lab.target.ipv4[0])
    jail.wait_for_ban(lab.scanner.ipv4[0])


@pytest.mark.parametrize("how", ["rename", "copytruncate"])
def test_lines_go_on_in_the_new_file_after_a_rotation(
    lab: Lab, jail: Jail, start_sensor: StartSensor, how: str
) -> None:
    sensor = start_sensor(traps={"tcp": [DECOY]})
    scanner, target = lab.scanner.ipv4[0], lab.target.ipv4[0]
    lab.scanner.connect(target, DECOY)
    sensor.wait_for_line("the line before the rotation", src_ip=scanner, event_type="trap")

    rotated = sensor.log.with_name("portsentry.log.1")
    if how == "rename":
        sensor.log.rename(rotated)
        sensor.log.touch(0o640)
    else:
        # fail2ban takes a truncated log for one that was cut only if it has read further than it is long now.
        time.sleep(POLLED_SECONDS)
        shutil.copyfile(sensor.log, rotated)
        os.truncate(sensor.log, 0)
    lab.scanner.connect(target, DECOY)

    after = sensor.wait_for_line("the line after the rotation", src_ip=scanner, event_type="trap")
    assert after["verdict"] == "ban"
    assert [line["verdict"] for line in sensor.lines(rotated) if line["event_type"] == "trap"] == ["watch"]
    assert sensor.log.read_bytes().startswith(b'{"timestamp":')
    jail.wait_for_ban(scanner)


def test_a_replay_says_what_was_said_live(lab: Lab, start_sensor: StartSensor, tmp_path: Path) -> None:
    """Byte for byte from what the sensor captured; from a capture without its filter, but for the times."""
    witness = tmp_path / "witness.pcapng"
    with (tmp_path / "witness.out").open("w") as output:
        dumpcap = lab.target.start("dumpcap", "-q", "-i", IFACE, "-w", witness, stderr=output)
    wait_for(lambda: witness.exists() and witness.stat().st_size, "the witness to capture")
    sensor = start_sensor(
        copy=True,
        capture={"workers": 1},  # there is one file for the copy
        served={"tcp": [SSH_PORT, HTTP_PORT]},
        traps={"tcp": [DECOY]},
        connections="all",
        # So much that nothing is held back: microseconds must not decide which line is written.
        lines={"per_source_per_minute": 10_000, "per_second": 10_000},
    )

    visit = lab.visitor.visit(lab.target, 40)
    lab.scanner.connect(lab.target.ipv4[0], DECOY)
    for options in ("-sS -p 75-110", "-sT -p 75-110", "-sX -p 75-85", "-sU -p 75-80", "-6 -sS -p 75-110"):
        nmap(lab.scanner, *options.split(), (lab.target.ipv6 if "-6" in options else lab.target.ipv4)[0])
    visit.communicate(timeout=120)
    _settle(sensor.log)
    assert sensor.stop() == 0
    dumpcap.terminate()
    dumpcap.wait(30)

    live = _events(sensor.log.read_text())
    assert len(live) > 50, sensor.evidence()
    assert _events(_replay(lab, sensor, sensor.captured)) == live
    assert _timeless(_events(_replay(lab, sensor, witness))) == _timeless(live)


def _replay(lab: Lab, sensor: Sensor, capture: Path) -> str:
    homes = [word for home in (*lab.target.ipv4, *lab.target.ipv6) for word in ("--home", home)]
    replayed = subprocess.run(
        [sys.executable, "-m", "portsentry_py", "replay", str(capture), "-c", str(sensor.config), *homes],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert replayed.returncode == 0, replayed.stderr
    return replayed.stdout


def _events(text: str) -> list[str]:
    return [line for line in text.splitlines() if json.loads(line)["event_type"] != "status"]


def _timeless(lines: list[str]) -> list[Line]:
    """Drop the times, and the name that is made of one."""
    dated = {"timestamp", "first_seen", "last_seen", "event_id"}
    return [{key: value for key, value in json.loads(line).items() if key not in dated} for line in lines]


def _settle(log: Path) -> None:
    """Return when the log has been still for two seconds: what was captured has come through."""
    deadline = time.monotonic() + 60
    size, since = -1, time.monotonic()
    while time.monotonic() < deadline and time.monotonic() - since < 2:
        if log.stat().st_size != size:
            size, since = log.stat().st_size, time.monotonic()
        time.sleep(0.1)


def _seconds_until_gone(children: list[psutil.Process]) -> float:
    start = time.monotonic()
    wait_for(lambda: all_ended(children), "the children to be gone", seconds=15)
    return time.monotonic() - start
