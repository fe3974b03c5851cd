"""Whom a stolen key cannot ban at a host, whatever it claims: those on whom this host depends, and who work on it.

The victim is a network namespace with a gateway, a resolver, an administrator who is logged in and an open connection.
The thief runs `fleet run` with its own key, and writes proven scans of all of them into its log. Needs root.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.lab.fleet.measured import Measured
from tests.lab.support.tables import table
from tests.support.fleet_lab import FleetHost, FleetLab
from tests.support.fleet_net import FleetNet, opened
from tests.support.namespaces import IFACE, ip
from tests.support.peers import HTTP_PORT
from tests.support.waiting import wait_for

VICTIM, THIEF = "web1", "web2"
_NETWORK = "45.97.0.0/16"
GATEWAY, RESOLVER, ADMINISTRATOR, FRIEND, STRANGER = (f"45.97.{number}.1" for number in range(1, 6))
# A /run of its own, with what systemd-resolved and systemd-logind keep there.
_RUN = f"""
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/resolve /run/systemd/sessions
echo nameserver {RESOLVER} >/run/systemd/resolve/resolv.conf
printf 'STATE=active\\nREMOTE=1\\nREMOTE_HOST={ADMINISTRATOR}\\n' >/run/systemd/sessions/1
exec "$@"
"""
_HOLD = (
    "import socket, sys; one = socket.create_connection((sys.argv[1], int(sys.argv[2])), 20, (sys.argv[3], 0)); "
    "one.settimeout(None); print('ready', flush=True); one.recv(1)"
)


@dataclass(frozen=True, slots=True)
class Row:
    """An address that the thief reports."""

    who: str
    address: str
    said: str
    holds: bool

    def cells(self) -> list[str]:
        return [self.who, self.said, "yes" if self.holds else "**no**"]


def _build(net: FleetNet) -> None:
    """Give the victim a gateway and the scanner's host the address of a friend, whose connection stays open."""
    victim = net.hosts[VICTIM]
    ip("-n", victim.namespace, "route", "add", _NETWORK, "dev", IFACE)
    ip("-n", victim.namespace, "route", "add", "default", "via", GATEWAY, "dev", IFACE, "onlink")
    ip("-n", net.scanner.namespace, "addr", "add", f"{FRIEND}/32", "dev", IFACE)
    victim.serve("serve")
    words = (sys.executable, "-c", _HOLD, victim.ipv4[0], str(HTTP_PORT), FRIEND)
    friend = net.scanner.start(*words, stdout=subprocess.PIPE)
    assert friend.stdout is not None
    assert friend.stdout.readline() == "ready\n"


def play(folder: Path, program: Path) -> list[Row]:
    """Let the thief report everybody, and a stranger at the end, who shows that the victim has read all."""
    with opened(2, 0) as net:
        _build(net)
        lab = FleetLab(folder, net.hosts, program, addresses=net.broker.ipv4[:1], inside=net.broker.inside())
        try:
            lab.start_broker()
            lab.publish()
            inside = (*net.hosts[VICTIM].inside(), "unshare", "--mount", "sh", "-euc", _RUN, "sh")
            victim = lab.host(VICTIM, inside=inside)
            thief = lab.host(THIEF, inside=net.hosts[THIEF].inside())
            thief.scan("45.66.1.1")
            victim.wait_for_line(src_ip="45.66.1.1")
            reported = {
                "own address of the victim": (net.hosts[VICTIM].ipv4[0], "own_address"),
                "its gateway": (GATEWAY, "gateway"),
                "its resolver": (RESOLVER, "resolver"),
                "an administrator who is logged in there": (ADMINISTRATOR, "ssh_session"),
                "a friend: who has a connection with it": (FRIEND, "friend"),
            }
            for address, _ in reported.values():
                thief.scan(address)
            thief.scan(STRANGER)
            victim.wait_for_line(src_ip=STRANGER)
            return [_row(victim, who, address, reason) for who, (address, reason) in reported.items()]
        finally:
            lab.close()


def _row(victim: FleetHost, who: str, address: str, reason: str) -> Row:
    text = f"must never be banned here ({reason}), such as {address}."

    def look() -> str | None:
        return next((line for line in victim.said().splitlines() if text in line), None)

    try:
        said = wait_for(look, text)
    except AssertionError:
        said = ""
    return Row(who, address, said.rpartition("agent:")[2], bool(said) and not victim.lines(src_ip=address))


def measure(folder: Path, program: Path) -> Measured:
    """What became of each."""
    rows = play(folder, program)
    held = sum(row.holds for row in rows)
    text = f"{held} of {len(rows)} are not banned.\n\n" + table(
        ("whom the thief reports, with a proof", "said in one line", "holds"), [row.cells() for row in rows]
    )
    return Measured(text, held == len(rows))
