"""What only a real kernel can show: who is connected, who completes a handshake, what is read again."""

from __future__ import annotations

import signal

import pytest
import yaml

from tests.integration.sensor.conftest import StartSensor
from tests.integration.sensor.test_chain import DECOY, PORTS, nmap
from tests.support.namespaces import IFACE, Lab
from tests.support.sensor import Sensor
from tests.support.sensor_jail import Jail

pytestmark = pytest.mark.wire

# More requests than a forged scan takes: the session on port 22 is open all the while.
LONG_VISIT = 2000


def forge(lab: Lab, source: str) -> None:
    """Scan the target in somebody else's name."""
    target = lab.target.ipv4[0]
    # nmap sends from addresses of the host alone. No neighbour must hear that this one moved here: the target
    # is looked up before, and never again.
    assert lab.scanner.reaches(target, 80)
    lab.scanner.run("ip", "neigh", "change", target, "dev", IFACE, "nud", "permanent")
    lab.scanner.run("ip", "addr", "add", f"{source}/32", "dev", "lo")
    nmap(lab.scanner, "-sS", "--send-ip", "-S", source, "-e", IFACE, "-p", PORTS, target)


def verdicts(sensor: Sensor, address: str) -> set[tuple[str, str]]:
    """What the scan lines say of an address."""
    return {(line["verdict"], line["reason"]) for line in sensor.matching(src_ip=address, event_type="scan")}


def test_who_is_logged_in_over_ssh_cannot_be_banned_by_a_forger(
    lab: Lab, jail: Jail, start_sensor: StartSensor
) -> None:
    friend = lab.visitor.ipv4[0]
    visit = lab.visitor.visit(lab.target, LONG_VISIT)
    try:
        lab.visitor.reaches(lab.target.ipv4[0], 80)
        sensor = start_sensor()

        forge(lab, friend)
        sensor.wait_for_line("the forged scan", src_ip=friend, event_type="scan")

        assert verdicts(sensor, friend) == {("ignore", "ssh_session")}
        nmap(lab.scanner, "-sS", "-p", PORTS, lab.target.ipv4[0])
        jail.wait_for_ban(lab.scanner.ipv4[0])
        assert friend not in jail.banned()
    finally:
        visit.kill()


def test_a_guest_who_browsed_cannot_be_banned_by_a_forger(
    lab: Lab, jail: Jail, start_sensor: StartSensor
) -> None:
    guest = lab.visitor.ipv4[0]
    sensor = start_sensor()
    visit = lab.visitor.visit(lab.target, 40)
    assert visit.wait(60) == 0

    forge(lab, guest)
    sensor.wait_for_line("the forged scan", src_ip=guest, event_type="scan")

    assert verdicts(sensor, guest) <= {("watch", "friend"), ("ignore", "ssh_session")}
    assert jail.banned() == set()


def test_an_open_decoy_port_proves_its_visitor(lab: Lab, jail: Jail, start_sensor: StartSensor) -> None:
    sensor = start_sensor(traps={"tcp": [DECOY], "listen": True, "banner": "220 ready\r\n"})
    scanner, target = lab.scanner.ipv4[0], lab.target.ipv4[0]

    assert lab.scanner.reaches(target, DECOY)

    line = sensor.wait_for_line("the touch", src_ip=scanner, event_type="trap", verdict="ban")
    assert line["source_verified"] is True
    jail.wait_for_ban(scanner)


def test_a_port_that_a_service_holds_is_no_open_decoy(lab: Lab, start_sensor: StartSensor) -> None:
    sensor = start_sensor(traps={"tcp": [80, DECOY], "listen": True})

    assert lab.visitor.reaches(lab.target.ipv4[0], 80)
    assert lab.visitor.reaches(lab.target.ipv4[0], DECOY)

    sensor.wait_for_line("the touch", src_ip=lab.visitor.ipv4[0], event_type="trap", dest_port=DECOY)
    assert sensor.matching(dest_port=80, event_type="trap") == []
    assert "trap 80 stays closed" in sensor.diagnostics.read_text()


@pytest.mark.parametrize("good", [True, False], ids=["a good file", "a bad file"])
def test_the_configuration_is_read_again_at_sighup(
    lab: Lab, start_sensor: StartSensor, *, good: bool
) -> None:
    scanner, target = lab.scanner.ipv4[0], lab.target.ipv4[0]
    sensor = start_sensor()

    sensor.config.write_text(yaml.safe_dump({"ignore": [scanner]} if good else {"ignroe": [scanner]}))
    sensor.process.send_signal(signal.SIGHUP)
    if good:
        sensor.wait_for_line("the reload", event_type="status", state="reloaded")
    else:
        sensor.wait_for_diagnostics("did you mean ignore?")
    nmap(lab.scanner, "-sS", "-p", PORTS, target)

    line = sensor.wait_for_line("the scan", src_ip=scanner, event_type="scan")
    assert line["verdict"] == ("ignore" if good else "ban")


@pytest.mark.parametrize("options", [["-sS", "-f"], ["-sX", "--mtu", "16"]], ids=["8 bytes", "16 bytes"])
def test_fragments_hide_nothing(lab: Lab, start_sensor: StartSensor, options: list[str]) -> None:
    sensor = start_sensor()

    nmap(lab.scanner, *options, "-p", PORTS, lab.target.ipv4[0])

    line = sensor.wait_for_line("the scan", src_ip=lab.scanner.ipv4[0], event_type="scan")
    assert line["scan_type"] == ("xmas" if "-sX" in options else "syn")


def test_every_technique_is_named_on_the_wire(lab: Lab, start_sensor: StartSensor) -> None:
    sensor = start_sensor()
    target = lab.target.ipv4[0]
    wanted = {
        "-sF": "fin",
        "-sN": "null",
        "-sX": "xmas",
        "-sM": "maimon",
        "-sA": "ack",
        "-sW": "ack",
        "-sU": "udp",
        "-sY": "sctp_init",
        "-sZ": "sctp_cookie",
        "-sO": "ipproto",
    }

    for number, (option, scan_type) in enumerate(wanted.items(), start=100):
        source = f"198.51.100.{number}"
        lab.scanner.run("ip", "addr", "add", f"{source}/32", "dev", IFACE)
        lab.target.run("ip", "route", "add", source, "dev", IFACE)
        ports = "1-30" if option in {"-sO", "-sU"} else "1-60"
        nmap(lab.scanner, option, "--send-ip", "-S", source, "-e", IFACE, "-p", ports, target)
        line = sensor.wait_for_line(f"{option}", src_ip=source, event_type="scan")
        assert line["scan_type"] == scan_type, option


def test_an_interface_that_comes_up_later_is_watched_too(lab: Lab, start_sensor: StartSensor) -> None:
    sensor = start_sensor(iface="")  # every one that is up
    lab.target.run("ip", "link", "add", "late0", "type", "veth", "peer", "name", "late1")
    lab.target.run("ip", "link", "set", "late0", "up")
    lab.target.run("ip", "link", "set", "late1", "up")

    sensor.wait_for_line("the other capture", event_type="status", state="restarted")

    assert "late0" in sensor.diagnostics.read_text()
    nmap(lab.scanner, "-sS", "-p", PORTS, lab.target.ipv4[0])
    sensor.wait_for_line("the scan", src_ip=lab.scanner.ipv4[0], event_type="scan", verdict="ban")
