"""A fail2ban server on a host of the lab: Debian's own, or one run from its source tree."""

import json
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
from tests.support.running import run
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
_etc = {config}
"""

NFTABLES = "[DEFAULT]\nbanaction = nftables\nbanaction_allports = nftables[type=allports]\n"
IPTABLES = "[DEFAULT]\nbanaction = iptables\nbanaction_allports = iptables-allports\n"
FORWARDED = "[portsentry]\nbanaction = portsentry-py-iptables\n"
IPSET = "[DEFAULT]\nbanaction = iptables-ipset-proto6\nbanaction_allports = iptables-ipset-proto6-allports\n"
FIREWALLS = {"nftables": NFTABLES, "iptables": IPTABLES, "ipset": IPSET, "our iptables": FORWARDED}
_NETWORK = "[portsentry]\nenabled = false\n[portsentry-net]\nenabled = true\n"
NETWORK_FIREWALLS = {
    "nftables": _NETWORK,
    **{name: f"{FIREWALLS[name]}{_NETWORK}banaction = %(banaction_allports)s\n" for name in ("iptables", "ipset")},
}


@dataclass(frozen=True)
class Fail2ban:
    """One fail2ban: how its programs are called, and its configuration as shipped."""

    origin: str
    config: Path
    tree: Path | None = None

    def program(self, name: str) -> list[str]:
        """The words that start the program `name`."""
        if self.tree is None:
            return [name]
        # Without the path it would find the package that Debian installed.
        return ["env", f"PYTHONPATH={self.tree}", PYTHON, f"{self.tree}/bin/{name}"]

    def version(self) -> str:
        return run(*self.program("fail2ban-client"), "--version").split()[1].removeprefix("v")


DEBIAN = Fail2ban("Debian", Path("/etc/fail2ban"))


def from_tree(tree: Path) -> Fail2ban:
    """Take the programs and the configuration of a source tree, as it is after a checkout."""
    tree = tree.resolve()
    return Fail2ban("source tree", tree / "config", tree)


class Fail2banServer:
    """A server with the shipped filter and jails, in a folder of its own; it bans with the host's firewall.

    Args:
        host: where it runs.
        folder: gets its configuration, log and database.
        local: the operator's jail file.
        which: Debian's fail2ban, or another.
        files: more files of the operator's, by their names below etc/fail2ban.
        log: what the jails read; the default is a file in the folder, for `write`.
    """

    def __init__(
        self,
        host: Host,
        folder: Path,
        local: str,
        *,
        which: Fail2ban = DEBIAN,
        files: Mapping[str, str] = MappingProxyType({}),
        log: Path | None = None,
    ) -> None:
        self.host = host
        self.which = which
        self.folder = folder
        self.config = folder / "etc/fail2ban"
        self.socket = folder / "fail2ban.sock"
        self.log = log or folder / "portsentry.log"
        shutil.copytree(which.config, self.config, symlinks=True)
        install(folder)
        (self.config / "fail2ban.local").write_text(_SERVER.format(folder=folder))
        (self.config / "jail.d/aa-lab.local").write_text(_JAIL.format(log=self.log, config=self.config))
        (self.config / "jail.d/zz-test.local").write_text(local)
        for name, text in files.items():
            (self.config / name).write_text(text)
        self.log.touch()  # as the package's tmpfiles entry does: fail2ban does not start without it
        self.processes: list[subprocess.Popen[str]] = []
        self.start()

    def start(self) -> None:
        """Start it, and wait until its jails run."""
        with (self.folder / "fail2ban.out").open("a") as output:
            words = [*self.which.program("fail2ban-server"), "-c", str(self.config), "-f", "start"]
            self.processes.append(self.host.start(*words, stderr=output))
        wait_for(self._has_jails, "fail2ban to start", evidence=self.evidence)

    def stop(self) -> None:
        """End it, which takes its rules out of the kernel."""
        self.client("stop")
        try:
            self.processes[-1].wait(60)
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

    def banned(self, jail: str = NAME) -> set[str]:
        """What a jail says is banned."""
        return set(self.client("get", jail, "banip").split())

    def failures(self, jail: str = NAME) -> int:
        """How many lines of its log a jail has matched."""
        return int(self.client("status", jail).split("Total failed:")[1].split()[0])

    def blocked(self) -> set[str]:
        """The addresses that the kernel's nftables hold for fail2ban."""
        return elements(self.host.run("nft", "--json", "list", "sets").stdout)

    def wait_for_bans(self, banned: Iterable[str], jail: str = NAME) -> None:
        """Return when exactly these are banned."""
        wanted = set(banned)
        some = sorted(wanted)[:3]
        wait_for(lambda: self.banned(jail) == wanted, f"{some} in {jail}", evidence=self.evidence)

    def wait_for_ban(self, address: str) -> None:
        """Return when this address is banned, both in fail2ban's view and in the kernel's."""
        wait_for(lambda: address in self.banned(), f"{address} to be banned", evidence=self.evidence)
        wait_for(lambda: address in self.blocked(), f"{address} to be blocked", evidence=self.evidence)

    def listing(self) -> str:
        """Everything that the kernel of the host holds for its firewalls."""
        commands = (("nft", "list", "ruleset"), ("iptables-save",), ("ip6tables-save",), ("ipset", "list"))
        return "\n".join(self.host.run(*command).stdout for command in commands)

    def messages(self) -> list[str]:
        """The lines of fail2ban's own log."""
        log = self.folder / "fail2ban.log"
        return log.read_text(errors="replace").splitlines() if log.exists() else []

    def errors(self) -> list[str]:
        """The lines in which fail2ban says that something failed."""
        return [line for line in self.messages() if " ERROR " in line or " CRITICAL " in line]

    def evidence(self) -> str:
        output = (self.folder / "fail2ban.out").read_text()
        return "\n".join(["-- fail2ban", output, *self.messages()[-30:]])

    def _has_jails(self) -> bool:
        if self.processes[-1].poll() is not None:
            raise AssertionError(f"fail2ban ended at once\n{self.evidence()}")
        status = self.client("status")
        return "Number of jail:" in status and "Number of jail:\t0" not in status


def elements(listed: str) -> set[str]:
    """The addresses and networks in the sets that `nft --json list sets` shows."""
    sets = [entry["set"] for entry in json.loads(listed)["nftables"] if "set" in entry]
    return {_element(element) for one in sets for element in one.get("elem", [])}


def _element(element: object) -> str:
    """An address, or a network, as fail2ban writes it."""
    if isinstance(element, dict):
        return "{addr}/{len}".format(**element["prefix"])
    return str(element)


def scan_line(
    address: str,
    event_type: str = "scan",
    verdict: str = "ban",
    *,
    verified: bool = False,
    technique: str = "port_scan",
    network: str = "203.0.113.0/24",
    group: str = "",
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
        group=group,
        timestamp=now,
    )
