"""Debian's own fail2ban on a host of the lab, with our pack, in a folder of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.namespaces import Host
from tests.support.waiting import wait_for

NAME = "portsentry"

# What belongs to the lab, in the place where an administrator's own settings go. Debian's jail for sshd would
# want the log of the machine.
_LOCAL_JAIL = """\
[DEFAULT]
banaction = nftables
banaction_allports = nftables[type=allports]

[sshd]
enabled = false

[portsentry]
logpath = {log}
"""

_LOCAL_SERVER = """\
[Definition]
logtarget = {folder}/fail2ban.log
socket = {folder}/fail2ban.sock
pidfile = {folder}/fail2ban.pid
dbfile = {folder}/fail2ban.sqlite3
"""


class Jail:
    """A fail2ban server that reads the sensor's log and bans in the host's nftables."""

    def __init__(self, host: Host, folder: Path, log: Path) -> None:
        self.host = host
        self.folder = folder
        self.config = folder / "etc/fail2ban"
        shutil.copytree("/etc/fail2ban", self.config)
        subprocess.run(
            [sys.executable, "-m", "portsentry_py", "fail2ban", "install", "--root", str(folder)],
            check=True,
            timeout=60,
        )
        (self.config / "jail.d/zz-lab.local").write_text(_LOCAL_JAIL.format(log=log))
        (self.config / "fail2ban.local").write_text(_LOCAL_SERVER.format(folder=folder))
        # As the package's tmpfiles entry does: fail2ban does not start while the log is missing.
        log.touch()
        self._output = (folder / "fail2ban.out").open("w")
        self.process = host.start("fail2ban-server", "-c", self.config, "-f", "start", stderr=self._output)
        wait_for(self._answers, "fail2ban to start", evidence=self.evidence)

    def client(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Ask the server, as its administrator would."""
        return self.host.run("fail2ban-client", "-c", self.config, *words)

    def banned(self) -> set[str]:
        """Give the addresses that fail2ban says are banned."""
        status = self.client("status", NAME).stdout
        marker = "Banned IP list:"
        found = [line.split(marker)[1] for line in status.splitlines() if marker in line]
        if not found:
            raise AssertionError(f"no list of bans in the status:\n{status}\n{self.evidence()}")
        return set(found[0].split())

    def blocked(self) -> set[str]:
        """Give the addresses that the kernel's firewall holds for fail2ban."""
        listed = self.host.run("nft", "--json", "list", "table", "inet", "f2b-table")
        if listed.returncode != 0:
            return set()  # fail2ban makes its table at the first ban
        sets = [entry["set"] for entry in json.loads(listed.stdout)["nftables"] if "set" in entry]
        return {str(address) for one in sets for address in one.get("elem", [])}

    def wait_for_ban(self, address: str) -> None:
        """Return when `address` is banned, both in fail2ban's view and in the kernel's."""
        wait_for(lambda: address in self.banned(), f"{address} to be banned", evidence=self.evidence)
        wait_for(lambda: address in self.blocked(), f"{address} to be blocked", evidence=self.evidence)

    def stop(self) -> None:
        """End the server, which takes its rules out of the kernel."""
        self.client("stop")
        try:
            self.process.wait(30)
        finally:
            self.process.kill()
            self._output.close()

    def evidence(self) -> str:
        """Say what a person would look at first."""
        log = self.folder / "fail2ban.log"
        tail = log.read_text().splitlines()[-30:] if log.exists() else ["(no log)"]
        return "\n".join(["-- fail2ban", (self.folder / "fail2ban.out").read_text(), *tail])

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"fail2ban ended at once\n{self.evidence()}")
        return self.client("status", NAME).returncode == 0
