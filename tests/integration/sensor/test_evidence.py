"""What only a real kernel can show: who is connected, who completes a handshake, what is read again."""

import signal

import pytest
import yaml

from tests.integration.fixtures import StartSensor
from tests.support.fail2ban_server import Fail2banServer
from tests.support.namespaces import IFACE, Lab
from tests.support.scanning import PORTS, forge, nmap, scan_from
from tests.support.sensor import scan_verdicts

pytestmark = pytest.mark.wire

TRAP = 2323


def test_a_guest_who_browsed_cannot_be_banned_by_a_forger(
    lab: Lab, jail: Fail2banServer, start_sensor: StartSensor
) -> None:
    guest = lab.visitor.ipv4[0]
    sensor = start_sensor()
    visit = lab.visitor.visit(lab.target, 40)
    assert visit.wait(60) == 0

    forge(lab, guest)
    sensor.wait_for_line("the forged scan", src_ip=guest, event_type="scan")

    assert scan_verdicts(sensor, guest) <= {("watch", "friend"), ("ignore", "ssh_session")}
    assert jail.banned() == set()


def test_an_open_trap_proves_its_visitor(lab: Lab, jail: Fail2banServer, start_sensor: StartSensor) -> None:
    sensor = start_sensor(traps={"tcp": [TRAP], "listen": True, "banner": "220 ready\r\n"})
    scanner, target = lab.scanner.ipv4[0], lab.target.ipv4[0]

    assert lab.scanner.reaches(target, TRAP)

    line = sensor.wait_for_line("the touch", src_ip=scanner, event_type="trap", verdict="ban")
    assert line["source_verified"] is True
    jail.wait_for_ban(scanner)


def test_a_port_that_a_service_holds_is_no_open_trap(lab: Lab, start_sensor: StartSensor) -> None:
    sensor = start_sensor(traps={"tcp": [80, TRAP], "listen": True})

    assert lab.visitor.reaches(lab.target.ipv4[0], 80)
    assert lab.visitor.reaches(lab.target.ipv4[0], TRAP)

    sensor.wait_for_line("the touch", src_ip=lab.visitor.ipv4[0], event_type="trap", dest_port=TRAP)
    assert sensor.matching(dest_port=80, event_type="trap") == []
    assert "trap 80 stays closed" in sensor.diagnostics.read_text()


@pytest.mark.parametrize("good", [True, False], ids=["a good file", "a bad file"])
def test_the_configuration_is_read_again_at_sighup(lab: Lab, start_sensor: StartSensor, *, good: bool) -> None:
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


NAMED = {
    "-sF": ("fin", "1-60"),
    "-sN": ("null", "1-60"),
    "-sX": ("xmas", "1-60"),
    "-sM": ("maimon", "1-60"),
    "-sA": ("ack", "1-60"),
    "-sW": ("ack", "1-60"),
    "-sU": ("udp", "1-30"),
    "-sY": ("sctp_init", "1-60"),
    "-sZ": ("sctp_cookie", "1-60"),
    "-sO": ("ipproto", "60-89"),
}


def stranger(number: int) -> str:
    """An address in a network of its own: neighbours would be a distributed scan of several types."""
    return f"100.{number}.0.66"


def test_every_scan_type_is_named_on_the_wire(lab: Lab, start_sensor: StartSensor) -> None:
    sensor = start_sensor()

    for number, (option, (scan_type, ports)) in enumerate(NAMED.items(), start=100):
        source = stranger(number)
        lab.scanner.run("ip", "addr", "add", f"{source}/32", "dev", IFACE)
        lab.target.run("ip", "route", "add", source, "dev", IFACE)
        scan_from(lab.scanner, source, option, "-p", ports, lab.target.ipv4[0])
        line = sensor.wait_for_line(option, src_ip=source, event_type="scan")
        assert line["scan_type"] == scan_type, option


# As people type it: with host discovery, which counts because the target refuses it, and 1,000 ports.
WHOLE = {
    "": "syn",
    "-sT": "connect",
    "-sA": "ack",
    "-sO --max-retries 0": "ipproto",
    "-O --max-os-tries 1": "syn",
    "-A --max-os-tries 1 --version-intensity 0 --script-timeout 5s -p 1-100": "syn",
    "--scanflags SYNRST -p 1-60 --max-retries 0": "odd_flags",
    "--scanflags 0xff -p 1-60 --max-retries 0": "odd_flags",
    "-6": "syn",
}


def test_host_discovery_and_os_detection_change_no_name(lab: Lab, start_sensor: StartSensor) -> None:
    sensor = start_sensor()

    for number, (options, scan_type) in enumerate(WHOLE.items(), start=100):
        source, target = stranger(number), lab.target.ipv4[0]
        if options == "-6":
            source, target = lab.scanner.ipv6[0], lab.target.ipv6[0]
        else:
            lab.scanner.run("ip", "addr", "add", f"{source}/32", "dev", IFACE)
            lab.scanner.run("ip", "route", "change", target, "dev", IFACE, "src", source)
            lab.target.run("ip", "route", "add", source, "dev", IFACE)
        command = ("nmap", "-n", "-T4", "--send-ip", "--disable-arp-ping", *options.split(), target)
        done = lab.scanner.run(*command)
        assert done.returncode == 0, done.stderr
        # A scanner that holds connections meanwhile is watched first, for 64 probes.
        sensor.wait_for_line(options, src_ip=source, event_type="scan", verdict="ban")
        sensor.settle()
        assert {line["scan_type"] for line in sensor.matching(src_ip=source, event_type="scan")} == {scan_type}, options


def test_os_detection_alone_is_watched(lab: Lab, start_sensor: StartSensor) -> None:
    sensor = start_sensor()

    nmap(lab.scanner, "-O", "--max-os-tries", "1", "-p", "22,9999", lab.target.ipv4[0])

    line = sensor.wait_for_line("the scan", src_ip=lab.scanner.ipv4[0], event_type="scan")
    assert (line["verdict"], line["technique"], line["tool"]) == ("watch", "stealth", "nmap")
