"""Three hosts on one switch, each a network namespace: scanner, visitor and target.

Each host is in a network of its own, as strangers on the internet are; the addresses are those reserved for
documentation. The switch is a namespace too, so that the machine's own firewall never sees this traffic.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tests.support.running import ran, run

_PEERS = Path(__file__).with_name("peers.py")
_LOSSY_PATH = Path(__file__).with_name("lossy_path.py")
NAMESPACES = Path("/run/netns")
IFACE = "eth0"
# Of IPv6, only what is asked for: no report of a multicast group later than a moment, no search for routers.
_CALM = """
echo 1 >/proc/sys/net/ipv6/conf/default/mldv2_unsolicited_report_interval
echo 0 >/proc/sys/net/ipv6/conf/default/router_solicitations
echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
"""
_SILENT = """
echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
for setting in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 >"$setting"; done
"""


@dataclass(frozen=True)
class Host:
    """One namespace; the first address of each family is the one it speaks from."""

    role: str
    ipv4: tuple[str, ...]
    ipv6: tuple[str, ...]
    started: list[subprocess.Popen[str]] = field(default_factory=list, compare=False)

    @property
    def namespace(self) -> str:
        """The name carries our process id: test runs beside each other never meet."""
        return f"pslab{os.getpid()}-{self.role}"

    def inside(self, *command: str | Path) -> list[str]:
        """The command line that runs `command` on this host.

        Not `ip netns exec`: that remounts /sys, which a chroot does not allow.
        """
        return ["nsenter", f"--net={NAMESPACES / self.namespace}", "--", *map(str, command)]

    def run(self, *command: str | Path, seconds: float = 120, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command to its end, with this text as its input; the caller judges the exit code."""
        return ran(*self.inside(*command), seconds=seconds, text=text)

    def pids(self) -> set[int]:
        """The process ids in the namespace."""
        return set(map(int, run("ip", "netns", "pids", self.namespace).split()))

    def set_kernel(self, script: str) -> None:
        """Run shell commands that write below /proc/sys.

        A container's own may be read-only; a fresh one, in a mount namespace of its own, is not.
        """
        done = self.run("unshare", "--mount", "sh", "-euc", f"mount -t proc proc /proc\n{script}")
        if done.returncode != 0:
            raise AssertionError(f"{self.role}: {done.stderr.strip()}")

    def start(
        self,
        *command: str | Path,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.DEVNULL,
        stderr: IO[str] | None = None,
    ) -> subprocess.Popen[str]:
        """Start a command that ends with the lab at the latest."""
        process = subprocess.Popen(self.inside(*command), stdin=stdin, stdout=stdout, stderr=stderr, text=True)
        self.started.append(process)
        return process

    def end(self) -> None:
        """Kill what was started, and collect it."""
        for process in self.started:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    with contextlib.suppress(BrokenPipeError):  # what it never read
                        pipe.close()

    def peer(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, _PEERS, *words)

    def serve(self, *words: str, program: Path = _PEERS) -> None:
        """Start a program that serves, and wait until it does."""
        service = self.start(sys.executable, program, *words, stdout=subprocess.PIPE)
        if service.stdout is None or service.stdout.readline() != "ready\n":
            raise AssertionError(f"{self.role} does not {' '.join(words)}")

    def connect(self, address: str, port: int, *, source: str | None = None) -> subprocess.CompletedProcess[str]:
        """Try one TCP connection, which is one SYN when the port is closed."""
        return self.peer("connect", address, str(port), *([source] if source else []))

    def reaches(self, address: str, port: int, *, source: str | None = None) -> bool:
        """Whether a TCP connection from this host to `port` is accepted."""
        return self.connect(address, port, source=source).returncode == 0

    def visit(self, host: Host, requests: int) -> subprocess.Popen[str]:
        """Start a visit to `host`: HTTP requests in both families while an SSH-like session is held open."""
        words = ("visit", str(requests), host.ipv4[0], host.ipv6[0])
        return self.start(sys.executable, _PEERS, *words, stdout=subprocess.PIPE)

    def load_burst(self, iface: str, frames: Iterable[bytes]) -> subprocess.Popen[str]:
        """These frames to a sender that sends them all at once when its input is closed."""
        sender = self.start(sys.executable, _PEERS, "burst", iface, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if sender.stdin is None:
            raise AssertionError("no pipe")
        for frame in frames:
            sender.stdin.write(f"{frame.hex()}\n")
        return sender


class Lab:
    def __init__(self) -> None:
        self.switch = Host("switch", (), ())
        self.target = Host("target", ("203.0.113.1",), ("2001:db8:113::1",))
        self.scanner = Host("scanner", ("198.51.100.66", "198.51.100.67"), ("2001:db8:100::66",))
        self.visitor = Host("visitor", ("192.0.2.10",), ("2001:db8:2::10",))
        self.ends = (self.target, self.scanner, self.visitor)

    def build(self) -> None:
        for host in (*self.ends, self.switch):
            ip("netns", "add", host.namespace)
            host.set_kernel(_CALM)
            ip("-n", host.namespace, "link", "set", "lo", "up")
        switch = self.switch.namespace
        # A bridge that snoops says so to all, in packets of its own.
        ip("-n", switch, "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        ip("-n", switch, "link", "set", "br0", "up")
        for host in self.ends:
            name, port = host.namespace, f"to-{host.role}"
            ip("-n", switch, "link", "add", port, "type", "veth", "peer", "name", IFACE, "netns", name)
            ip("-n", switch, "link", "set", port, "master", "br0", "up")
            self._address(host)

    def _address(self, host: Host) -> None:
        """Give its interface the addresses of a host, and routes to the others."""
        name = host.namespace
        ip("-n", name, "link", "set", IFACE, "up")
        for address in host.ipv4:
            ip("-n", name, "addr", "add", f"{address}/24", "dev", IFACE)
        for address in host.ipv6:
            # Without nodad the address would be unusable for the first second or two.
            ip("-n", name, "addr", "add", f"{address}/64", "dev", IFACE, "nodad")
        # The others are on this wire, whatever their network: no router is needed.
        for other in self.ends:
            if other is not host:
                for address in (*other.ipv4, *other.ipv6):
                    ip("-n", name, "route", "add", address, "dev", IFACE)

    def damage(self) -> None:
        """Put a wire that delays and loses (see lossy_path.py) between scanner and target; the visitor loses both."""
        hosts = {"left": self.scanner, "right": self.target}
        self.switch.serve(*hosts, program=_LOSSY_PATH)
        for tap, host in hosts.items():
            ip("-n", host.namespace, "link", "delete", IFACE)
            ip("-n", self.switch.namespace, "link", "set", tap, "netns", host.namespace)
            ip("-n", host.namespace, "link", "set", tap, "name", IFACE)
            self._address(host)

    def silence(self) -> None:
        """Let the hosts say nothing by themselves: no IPv6, and no care about where a source may come from.

        Without a route back, a kernel takes the packets and answers none: each that is sent is one packet on
        the wire.
        """
        for host in (*self.ends, self.switch):
            host.set_kernel(_SILENT)


@contextlib.contextmanager
def opened() -> Iterator[Lab]:
    """A lab that is taken down, with every process left in it, whatever happens meanwhile."""
    sweep()
    lab = Lab()
    try:
        lab.build()
        lab.target.serve("serve")  # ports 22 and 80 of both families
        yield lab
    finally:
        for host in (*lab.ends, lab.switch):
            host.end()
            remove(host.namespace)


def sweep() -> None:
    """Remove the hosts of test runs that were killed before they could clean up."""
    for path in NAMESPACES.glob("pslab*-*"):
        made_by = re.match(r"pslab(\d+)-", path.name)
        if made_by and not Path("/proc", made_by[1]).exists():
            remove(path.name)


def remove(namespace: str) -> None:
    """Take a host down, with every process in it."""
    for pid in ran("ip", "netns", "pids", namespace).stdout.split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    ran("ip", "netns", "delete", namespace)


def ip(*words: str) -> None:
    """Set up the network; anything but success is a failure."""
    run("ip", *words)
