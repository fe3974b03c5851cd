"""Installs the service beside ufw and firewalld in copies of a Debian tree, boots them and scans them.

    python -m tests.lab.firewalls TREE [-o DIR]

TREE is what debootstrap made; it is copied, not changed. Writes the part of firewalls.md about its release.
Exits with 1 if a ban does not work. Needs root.
"""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.lab.boot import tree as trees
from tests.lab.boot.lifecycle import PROGRAM
from tests.lab.boot.machine import ADDRESS, SCANNERS, Machine, booted
from tests.lab.boot.tree import SSH_PORT
from tests.lab.support import page, program
from tests.support.waiting import wait_for

_CONNECT = """
import socket, sys
socket.create_connection((sys.argv[1], int(sys.argv[2])), 2, (sys.argv[3], 0)).close()
"""
_FRIEND = SCANNERS[-1]


@dataclass(frozen=True)
class Firewall:
    """A firewall, how it is switched on with SSH open, and fail2ban's own action for it."""

    name: str
    on: tuple[str, ...]
    reload: str
    action: str


FIREWALLS = (
    Firewall("ufw", (f"ufw allow {SSH_PORT}/tcp", "ufw --force enable"), "ufw reload", "ufw"),
    Firewall(
        "firewalld",
        ("systemctl start firewalld", f"firewall-cmd --permanent --add-port={SSH_PORT}/tcp", "firewall-cmd --reload"),
        "firewall-cmd --reload",
        "firewallcmd-rich-rules",
    ),
)


def main(words: Sequence[str]) -> int:
    parser = program.parser("firewalls", __doc__)
    parser.add_argument("tree", type=Path)
    arguments = program.begin(parser, words)
    program.need_root(parser)
    text = "| firewall | the jail bans with | seen |\n|---|---|---|\n"
    for firewall in FIREWALLS:
        with tempfile.TemporaryDirectory(prefix="portsentry-py-", dir=arguments.tree.resolve().parent) as folder:
            tree = Path(folder) / "tree"
            trees.furnish(arguments.tree, tree)
            trees.inside(tree, f"apt-get install -qq -y --no-install-recommends {firewall.name}")
            trees.inside(tree, f"systemctl disable {firewall.name}")
            trees.obey(tree, *trees.steps()[:-1])
            with (Path(folder) / "console").open("wb") as console, booted(tree, console) as machine:
                text += "".join(_rows(machine, firewall))
    print(text)
    if arguments.output:
        page.put(arguments.output / "firewalls.md", trees.release(arguments.tree), text)
    return 1 if "**" in text else 0


def _rows(machine: Machine, firewall: Firewall) -> Iterator[str]:
    def succeeds(command: str) -> bool:
        return machine.run("sh", "-c", command).returncode == 0

    for command in firewall.on:
        # firewalld does not answer at once.
        wait_for(partial(succeeds, command), command)
    assert _connects(machine, _FRIEND), f"{firewall.name} lets nobody in"
    for source, words in zip(SCANNERS, ((), ("--ban-action", firewall.action)), strict=False):
        done = machine.run(PROGRAM, "install", *words)
        with_what = done.stdout.splitlines()[-3].partition("with ")[2] if done.returncode == 0 else firewall.action
        refusal = done.stderr.strip()
        try:
            if done.returncode == 0:
                seen = _trial(machine, firewall, source)
            else:
                seen = f"`install` refuses: {refusal}" if words else f"**{refusal}**"
        except AssertionError as error:
            seen = f"**{str(error).splitlines()[0]}**"
            print(error, machine.run("nft", "list", "ruleset").stdout, file=sys.stderr)
        print(f"{firewall.name}, {with_what}: {seen}", flush=True)
        yield f"| {firewall.name} | {with_what} | {seen} |\n"


def _trial(machine: Machine, firewall: Firewall, source: str) -> str:
    """A scan is banned, others are let in, and what a reload of the firewall and an unban change."""
    assert _connects(machine, source), "the scanner cannot connect even before it scans"
    machine.scan(source)
    wait_for(lambda: source in machine.banned(), "the ban", evidence=machine.evidence)
    wait_for(lambda: not _connects(machine, source), "the ban to take effect", evidence=machine.evidence)
    assert _connects(machine, _FRIEND), "nobody else can connect either"
    machine.told("sh", "-c", firewall.reload)
    after = "holds" if not _connects(machine, source) else "is **lost**"
    machine.told("fail2ban-client", "set", "portsentry", "unbanip", source)
    wait_for(lambda: _connects(machine, source), "the unban to take effect")
    return f"a scan is banned, other addresses connect; the ban {after} after `{firewall.reload}`; the unban works"


def _connects(machine: Machine, source: str) -> bool:
    words = ("-c", _CONNECT, ADDRESS, str(SSH_PORT), source)
    return machine.scanner.run(sys.executable, *words).returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
