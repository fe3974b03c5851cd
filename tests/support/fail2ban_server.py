"""A fail2ban server on a host of the lab: Debian's own or one run from its source tree, with our pack."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import MappingProxyType

from portsentry_py.fail2ban.installer import install
from portsentry_py.fail2ban.samples import event_line
from tests.support.namespaces import Host
from tests.support.waiting import wait_for

PYTHON = "/usr/bin/python3"  # fail2ban's own: a tree needs no more than its standard library
NAME = "portsentry"
NETWORK_NAME = "portsentry-net"

_SERVER = """\
[Definition]
logtarget = {folder}/fail2ban.log
socket = {folder}/fail2ban.sock
pidfile = {folder}/fail2ban.pid
dbfile = {folder}/fail2ban.sqlite3
"""
_JAIL = """\
[sshd]
enabled = false

[portsentry]
logpath = {log}
"""

NFTABLES = "[DEFAULT]\nbanaction = nftables\nbanaction_allports = nftables[type=allports]\n"
IPTABLES = "[DEFAULT]\nbanaction = iptables\nbanaction_allports = iptables-allports\n"
IPSET = "[DEFAULT]\nbanaction = iptables-ipset-proto6\nbanaction_allports = iptables-ipset-proto6-allports\n"
_NETWORK = (
    "[portsentry]\nenabled = false\n[portsentry-net]\nenabled = true\nbanaction = portsentry-py-%s-net\n"
)
NETWORK_FIREWALLS = {name: _NETWORK % name for name in ("nft", "ipset")}
FIREWALLS = {"nftables": NFTABLES, "iptables": IPTABLES, "ipset": IPSET}


@dataclass(frozen=True)
class Fail2ban:
    """One fail2ban: how its programs are called, and its configuration as shipped."""

    origin: str
    config: Path
    tree: Path | None = None

    def program(self, name: str) -> list[str]:
        """Give the words that start the program `name`."""
        if self.tree is None:
            return [name]
        # Without the path it would find the package that Debian installed.
        return ["env", f"PYTHONPATH={self.tree}", PYTHON, f"{self.tree}/bin/{name}"]

    def version(self) -> str:
        """Ask it."""
        done = subprocess.run(
            [*self.program("fail2ban-client"), "--version"], capture_output=True, text=True, check=True
        )
        return done.stdout.split()[1].removeprefix("v")


DEBIAN = Fail2ban("Debian", Path("/etc/fail2ban"))


def from_tree(tree: Path) -> Fail2ban:
    """Take the programs and the configuration of a source tree, as it is after a checkout."""
    tree = tree.resolve()
    return Fail2ban("source tree", tree / "config", tree)


class Server:
    """A server that reads a log which the test writes, in a folder of its own."""

    def __init__(
        self,
        host: Host,
        folder: Path,
        local: str,
        which: Fail2ban = DEBIAN,
        files: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.host = host
        self.which = which
        self.folder = folder
        self.config = folder / "etc/fail2ban"
        self.log = folder / "portsentry.log"
        shutil.copytree(which.config, self.config, symlinks=True)
        install(folder)
        (self.config / "fail2ban.local").write_text(_SERVER.format(folder=folder))
        (self.config / "jail.d/aa-lab.local").write_text(_JAIL.format(log=self.log))
        (self.config / "jail.d/zz-test.local").write_text(local)
        for name, text in files.items():
            (self.config / name).write_text(text)
        self.log.touch()
        self.processes: list[subprocess.Popen[str]] = []
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.folder / "fail2ban.out").open("a") as output:
            words = [*self.which.program("fail2ban-server"), "-c", str(self.config), "-f", "start"]
            self.processes.append(self.host.start(*words, stderr=output))
        wait_for(self._answers, "fail2ban to start", evidence=self.evidence)

    def stop(self) -> None:
        """End it, which takes its rules out of the kernel."""
        self.client("stop")
        try:
            self.processes[-1].wait(30)
        finally:
            self.processes[-1].kill()

    def client(self, *words: str) -> str:
        """Ask the server, as its administrator would."""
        done = self.host.run(*self.which.program("fail2ban-client"), "-c", self.config, *words)
        return done.stdout + done.stderr

    def write(self, *lines: str) -> None:
        """Append lines to the log as the sensor does, each with one write."""
        descriptor = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            for line in lines:
                os.write(descriptor, line.encode("ascii") + b"\n")
        finally:
            os.close(descriptor)

    def banned(self, jail: str = NAME) -> list[str]:
        """Give what a jail says is banned."""
        listed = self.client("get", jail, "banip")
        return listed.split()

    def wait_for_bans(self, banned: Iterable[str], jail: str = NAME) -> None:
        """Return when exactly these are banned."""
        wanted = sorted(banned)
        wait_for(
            lambda: sorted(self.banned(jail)) == wanted, f"{wanted[:3]} in {jail}", evidence=self.evidence
        )

    def listing(self) -> str:
        """Give everything that the kernel of the host holds for its firewalls."""
        commands = (
            ("nft", "list", "ruleset"),
            ("iptables-save",),
            ("ip6tables-save",),
            ("ipset", "list"),
        )
        return "\n".join(self.host.run(*command).stdout for command in commands)

    def told(self) -> list[str]:
        """Give fail2ban's own log."""
        log = self.folder / "fail2ban.log"
        return log.read_text(errors="replace").splitlines() if log.exists() else []

    def errors(self) -> list[str]:
        """Give the lines in which fail2ban says that something failed."""
        return [line for line in self.told() if " ERROR " in line or " CRITICAL " in line]

    def evidence(self) -> str:
        """Say what a person would look at first."""
        return "\n".join(["-- fail2ban", (self.folder / "fail2ban.out").read_text(), *self.told()[-30:]])

    def _answers(self) -> bool:
        if self.processes[-1].poll() is not None:
            raise AssertionError(f"fail2ban ended at once\n{self.evidence()}")
        return "Server replied: pong" in self.client("ping")


def scan_line(
    address: str,
    event_type: str = "scan",
    verdict: str = "ban",
    *,
    verified: bool = False,
    technique: str = "port_scan",
    network: str = "203.0.113.0/24",
) -> str:
    """Write a line as the sensor does, dated now."""
    now = datetime.now(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return event_line(
        address,
        event_type,
        verdict,
        verified=verified,
        technique=technique,
        network=network,
        timestamp=now,
    )
