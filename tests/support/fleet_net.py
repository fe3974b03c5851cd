"""Hosts of a fleet on one switch, each a network namespace, with the brokers and a scanner in two more."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.namespaces import IFACE, Host, ip, remove, sweep

SCANNERS = "198.18.0.0/15"
"""The network of the scanner's addresses: reserved for measurements of networks."""


class FleetNet:
    """The hosts, the brokers and the scanner."""

    def __init__(self, count: int, scanners: int) -> None:
        self.hosts = {
            f"web{number}": Host(f"web{number}", (f"203.0.113.{number}",), ()) for number in range(1, count + 1)
        }
        self.broker = Host("brokers", ("203.0.113.101", "203.0.113.102", "203.0.113.103"), ())
        self.scanner = Host("scanner", ("203.0.113.200",), ())
        self.switch = Host("switch", (), ())
        self.sources = [f"198.18.{number}.9" for number in range(scanners)]

    @property
    def everyone(self) -> tuple[Host, ...]:
        return (*self.hosts.values(), self.broker, self.scanner)

    def build(self) -> None:
        for host in (*self.everyone, self.switch):
            ip("netns", "add", host.namespace)
            ip("-n", host.namespace, "link", "set", "lo", "up")
        switch = self.switch.namespace
        ip("-n", switch, "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        ip("-n", switch, "link", "set", "br0", "up")
        for host in self.everyone:
            port = f"to-{host.role}"
            ip("-n", switch, "link", "add", port, "type", "veth", "peer", "name", IFACE, "netns", host.namespace)
            ip("-n", switch, "link", "set", port, "master", "br0", "up")
            ip("-n", host.namespace, "link", "set", IFACE, "up")
            for address in host.ipv4:
                ip("-n", host.namespace, "addr", "add", f"{address}/24", "dev", IFACE)
            if host is not self.scanner:
                ip("-n", host.namespace, "route", "add", SCANNERS, "dev", IFACE)
        batch = "".join(f"addr add {one}/32 dev {IFACE}\n" for one in self.sources)
        subprocess.run(self.scanner.inside("ip", "-batch", "-"), input=batch, text=True, check=True, timeout=60)

    def cut(self, name: str) -> None:
        """Take the wire of a host out of the switch."""
        ip("-n", self.switch.namespace, "link", "set", f"to-{name}", "down")

    def join(self, name: str) -> None:
        """Put it in again."""
        ip("-n", self.switch.namespace, "link", "set", f"to-{name}", "up")


@contextmanager
def opened(count: int, scanners: int) -> Iterator[FleetNet]:
    """A net that is taken down, with every process left in it, whatever happens meanwhile."""
    sweep()
    net = FleetNet(count, scanners)
    try:
        net.build()
        yield net
    finally:
        for host in (*net.everyone, net.switch):
            host.end()
            remove(host.namespace)
