"""The booted machine, a scanner on its wire, and what can be seen of the sensor's processes from outside."""

import contextlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from typing import IO

from tests.lab.boot import tree as trees
from tests.support import namespaces
from tests.support.running import ran
from tests.support.sensor import Line
from tests.support.waiting import wait_for

ADDRESS = "203.0.113.1"
SCANNERS = tuple(f"198.51.100.{last}" for last in range(66, 76))
UNIT = "portsentry-py.service"
LOG = "var/log/portsentry.log"
BOOT_SECONDS = 180.0


@dataclass(frozen=True)
class Process:
    """One process of the unit; `pid` is this machine's number for it, `threads` their /proc/<tid>/status."""

    pid: int
    inner_pid: int
    name: str
    words: tuple[str, ...]
    threads: tuple[dict[str, str], ...]

    @property
    def status(self) -> dict[str, str]:
        """What the first thread's file says."""
        return self.threads[0]

    @property
    def uid(self) -> int:
        return int(self.status["Uid"].split()[1])

    def capabilities(self, which: str) -> int:
        """The set `Eff`, `Prm`, `Inh`, `Amb` or `Bnd`, of all threads together, as a mask."""
        masks = (int(thread[f"Cap{which}"], 16) for thread in self.threads)
        return reduce(or_, masks)


class Machine:
    """A tree that systemd-nspawn has booted, its only interface on a wire with a scanner."""

    def __init__(self, tree: Path, console: IO[bytes]) -> None:
        self.tree = tree
        self._console = console
        self.scanner = namespaces.Host("scanner", SCANNERS, ("2001:db8:100::66",))
        self._nspawn: subprocess.Popen[bytes] | None = None
        self.init = 0
        self._group = _control_groups() / f"psboot{os.getpid()}"

    def boot(self) -> None:
        """Wire it up and start it; returns when systemd has started everything."""
        self._group.mkdir()
        self._nspawn = subprocess.Popen(
            [
                # Its own control group: another machine's, of the same name, must not be its own.
                *("sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', self._group),
                *("systemd-nspawn", "--register=no", "--keep-unit", "--boot", "-D", self.tree),
                *("--private-network", "--rlimit=RLIMIT_NOFILE=1024:20000", "--console=pipe"),
                # For IPAddressDeny=, which is a program in the kernel, and for the sandbox of tshark.
                *("--capability=CAP_BPF", "--system-call-filter=bpf"),
                "--system-call-filter=landlock_create_ruleset landlock_add_rule landlock_restrict_self",
            ],
            # IPAddressDeny= needs this hierarchy, whichever the machine itself has.
            env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
            stdin=subprocess.DEVNULL,
            stdout=self._console,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.init = wait_for(self._find_init, "systemd to start")
        self._wire()
        wait_for(self._is_up, "the machine to boot", seconds=BOOT_SECONDS, evidence=self.evidence)

    def _wire(self) -> None:
        """Give it the interface that its network waits for; at the other end is the scanner."""
        name = self.scanner.namespace
        namespaces.ip("netns", "add", name)
        namespaces.ip("-n", name, "link", "set", "lo", "up")
        peer = ("peer", "name", trees.IFACE, "netns", str(self.init))
        namespaces.ip("-n", name, "link", "add", namespaces.IFACE, "type", "veth", *peer)
        namespaces.ip("-n", name, "link", "set", namespaces.IFACE, "up")
        for address in self.scanner.ipv4:
            namespaces.ip("-n", name, "addr", "add", f"{address}/24", "dev", namespaces.IFACE)
        namespaces.ip("-n", name, "addr", "add", f"{self.scanner.ipv6[0]}/64", "dev", namespaces.IFACE, "nodad")
        for network in ("203.0.113.0/24", "2001:db8:113::/64"):
            namespaces.ip("-n", name, "route", "add", network, "dev", namespaces.IFACE)

    def _find_init(self) -> int | None:
        assert self._nspawn is not None
        assert self._nspawn.poll() is None, "systemd-nspawn has ended"
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text()
        for pid in children.split():
            if Path(f"/proc/{pid}/comm").read_text() == "systemd\n":
                return int(pid)
        return None

    def _is_up(self) -> bool:
        return self.run("systemctl", "is-system-running").stdout.strip() in {"running", "degraded"}

    def run(self, *command: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command in the machine, as root; the caller judges the exit code."""
        return ran("nsenter", "-t", self.init, "-m", "-u", "-i", "-n", "-p", "--", *command, seconds=seconds)

    def told(self, *command: str, seconds: float = 120) -> str:
        """What a command in the machine prints; one that fails is a failure."""
        done = self.run(*command, seconds=seconds)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout

    def show(self, name: str, unit: str = UNIT) -> str:
        return self.told("systemctl", "show", "--value", f"--property={name}", unit).strip()

    def journal(self, *words: str) -> list[str]:
        """What the unit, and systemd about the unit, said; newest last."""
        return self.told("journalctl", "-u", UNIT, "-o", "cat", *words).splitlines()

    def lines(self, path: str = LOG) -> list[Line]:
        file = self.tree / path
        text = file.read_text(encoding="ascii") if file.exists() else ""
        # portsentry 2.x writes to the same file.
        return [json.loads(line) for line in text.splitlines(keepends=True) if line[0] == "{" and line[-1] == "\n"]

    def matching(self, **wanted: object) -> list[Line]:
        return [line for line in self.lines() if all(line.get(k) == v for k, v in wanted.items())]

    def processes(self) -> list[Process]:
        """Every process of the unit, the main one first."""
        found = [process for folder in Path("/proc").glob("[0-9]*") if (process := self._look(folder)) is not None]
        return sorted(found, key=lambda process: process.inner_pid)

    def _look(self, folder: Path) -> Process | None:
        with contextlib.suppress(OSError, ValueError, IndexError):
            if (folder / "ns/pid").readlink() != Path(f"/proc/{self.init}/ns/pid").readlink():
                return None
            if UNIT not in (folder / "cgroup").read_text(encoding="ascii"):
                return None
            paths = sorted(folder.glob("task/*/status"), key=lambda path: path.parent.name != folder.name)
            threads = tuple(_fields(path) for path in paths)
            words = (folder / "cmdline").read_bytes().decode().split("\0")[:-1]
            if threads[0]["State"].startswith("Z"):
                return None
            inner = int(threads[0]["NSpid"].split()[-1])
            return Process(int(folder.name), inner, threads[0]["Name"], tuple(words), threads)
        return None

    def main(self) -> Process | None:
        number = int(self.show("MainPID"))
        return next((process for process in self.processes() if process.inner_pid == number), None)

    def scan(self, source: str) -> None:
        """Let one of the scanner's addresses scan it with nmap."""
        words = ("-n", "-Pn", "-sS", "-e", namespaces.IFACE, "-S", source, "-p", "1-100", ADDRESS)
        done = self.scanner.run("nmap", *words)
        assert done.returncode == 0, done.stderr

    def banned(self) -> set[str]:
        status = self.told("fail2ban-client", "status", "portsentry")
        return set(status.split("Banned IP list:")[1].split())

    def blocked(self) -> set[str]:
        """The addresses in the rules and sets of the kernel, those of iptables-nft too."""
        return set(re.findall(r"[\d.]+", self.told("nft", "list", "ruleset")))

    def evidence(self) -> str:
        journal = self.run("journalctl", "-b", "-n", "40", "--no-hostname").stdout
        return f"{self.run('systemctl', 'list-jobs').stdout}\n{journal}"

    def end(self) -> None:
        """Shut it down, or end it, and take the wire away."""
        if self._nspawn is not None:
            if self.init and self._nspawn.poll() is None:
                self.run("systemctl", "poweroff")
            try:
                self._nspawn.wait(60)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.init, signal.SIGKILL)
                self._nspawn.kill()
                self._nspawn.wait()
        self.scanner.end()
        namespaces.remove(self.scanner.namespace)
        for group in sorted(self._group.glob("**/"), reverse=True):
            group.rmdir()


def _fields(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def _control_groups() -> Path:
    """Where the second version of control groups is mounted."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    return next(Path(where) for _, where, kind, *_ in mounts if kind == "cgroup2")


@contextlib.contextmanager
def booted(tree: Path, console: IO[bytes]) -> Iterator[Machine]:
    """The machine, up and running; it is taken down whatever happens meanwhile."""
    machine = Machine(tree, console)
    try:
        machine.boot()
        yield machine
    finally:
        machine.end()
