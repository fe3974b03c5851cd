"""The wire: the host with its neighbours, the rest of the world behind a router, the scanners behind another.

Whole networks live in one namespace each: a local route makes the kernel answer for all their addresses.
"""

import contextlib
from collections.abc import Iterator

from portsentry_py.host.never_ban import protected_addresses
from tests.support import namespaces
from tests.support.namespaces import IFACE, Host

HOST, HOST6 = "203.0.113.1", "2001:db8:113::1"
HOSTS = tuple(f"203.0.113.{number}" for number in range(1, 7))
NEIGHBOURS = tuple(f"203.0.113.{number}" for number in range(16, 22))
BROADCAST = "203.0.113.255"
RESOLVER, TIME_SERVER, MIRROR, FTP_SITE, GIT_SITE = (f"192.0.2.{n}" for n in (53, 123, 80, 21, 94))

_ROUTER, _ROUTER6 = "203.0.113.254", "2001:db8:113::fe"
_BACK_DOOR, _BACK_DOOR6 = "203.0.113.253", "2001:db8:113::fd"
ROUTERS = (_ROUTER, _ROUTER6, _BACK_DOOR, _BACK_DOOR6)
_WORLD = ("198.18.0.0/16", "100.64.0.0/10", "192.0.2.0/24", "2001:db8:18::/48")
_SCANNERS = ("198.19.0.0/16", "2001:db8:19::/48")


class Network:
    def __init__(self) -> None:
        self.switch = Host("switch", (), ())
        self.host = Host("host", HOSTS, (HOST6,))
        self.world = Host("world", (_ROUTER,), (_ROUTER6,))
        self.scanners = Host("scanners", (_BACK_DOOR,), (_BACK_DOOR6,))
        self.lan = Host("lan", NEIGHBOURS, ())
        self.recording = Host("recording", (), ())
        self.ends = (self.host, self.world, self.scanners, self.lan, self.recording)

    def place(self, name: str) -> Host:
        return next(end for end in self.ends if end.role == name)

    def build(self) -> None:
        for one in (*self.ends, self.switch):
            namespaces.ip("netns", "add", one.namespace)
            namespaces.ip("-n", one.namespace, "link", "set", "lo", "up")
        switch = self.switch.namespace
        namespaces.ip("-n", switch, "link", "add", "br0", "type", "bridge")
        namespaces.ip("-n", switch, "link", "set", "br0", "up")
        for one in self.ends:
            self._plug(one)
        # What is replayed comes from everywhere at once: the switch must not learn from it, or it would not
        # let the host see both directions.
        _ask(self.switch, "bridge", "link", "set", "dev", "to-recording", "learning", "off")
        for place, networks in ((self.world, _WORLD), (self.scanners, _SCANNERS)):
            place.set_kernel("echo 1 >/proc/sys/net/ipv6/ip_nonlocal_bind")
            for network in networks:
                family = "-6" if ":" in network else "-4"
                namespaces.ip("-n", place.namespace, family, "route", "add", "local", network, "dev", "lo")
        host = self.host.namespace
        for address, reason in protected_addresses().items():
            if reason == "resolver":
                # The machine's own: fail2ban would wait for it before its first ban.
                namespaces.ip("-n", host, "route", "add", "unreachable", address)
        namespaces.ip("-n", host, "route", "add", "default", "via", _ROUTER)
        namespaces.ip("-n", host, "-6", "route", "add", "default", "via", _ROUTER6)
        namespaces.ip("-n", host, "route", "add", _SCANNERS[0], "via", _BACK_DOOR)
        namespaces.ip("-n", host, "-6", "route", "add", _SCANNERS[1], "via", _BACK_DOOR6)

    def _plug(self, host: Host) -> None:
        name, port, switch = host.namespace, f"to-{host.role}", self.switch.namespace
        namespaces.ip("-n", switch, "link", "add", port, "type", "veth", "peer", "name", IFACE, "netns", name)
        namespaces.ip("-n", switch, "link", "set", port, "master", "br0", "up")
        namespaces.ip("-n", name, "link", "set", IFACE, "up")
        for address in host.ipv4:
            namespaces.ip("-n", name, "addr", "add", f"{address}/24", "broadcast", "+", "dev", IFACE)
        for address in host.ipv6:
            namespaces.ip("-n", name, "addr", "add", f"{address}/64", "dev", IFACE, "nodad")


@contextlib.contextmanager
def opened() -> Iterator[Network]:
    """A network that is taken down, with every process left in it, whatever happens meanwhile."""
    namespaces.sweep()
    network = Network()
    try:
        network.build()
        yield network
    finally:
        for host in (*network.ends, network.switch):
            host.end()
            namespaces.remove(host.namespace)


def _ask(host: Host, *words: str) -> None:
    done = host.run(*words)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(words)}: {done.stderr.strip()}")
