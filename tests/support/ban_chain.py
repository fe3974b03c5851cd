"""The chain behind the log: line, ban, rule in the kernel, refused packets, unban, accepted packets."""

import re
import time
from dataclasses import dataclass

from tests.support.fail2ban_server import NAME, NETWORK_NAME, Fail2banServer, scan_line
from tests.support.namespaces import Host, Lab
from tests.support.peers import HTTP_PORT
from tests.support.waiting import wait_for

_NEIGHBOUR, _DISTANT = "2001:db8:100::77", "2001:db8:100:1::77"


@dataclass(frozen=True)
class Case:
    """One kind of ban: who scans, and who is refused with it.

    Attributes:
        name: what is banned.
        family: 4 or 6.
        scanner: the address that is in the line.
        neighbour: another address of the same host.
        banned: what fail2ban and the kernel hold.
        network: `src_net` of the line.
        group: its `group_net`.
        refuses_neighbour: whether the ban covers the neighbour.
    """

    name: str
    family: int
    scanner: str
    neighbour: str
    banned: str
    network: str
    group: str = ""
    refuses_neighbour: bool = False

    @property
    def line(self) -> str:
        """The line of the sensor, dated now."""
        technique = "distributed" if self.group else "port_scan"
        return scan_line(self.scanner, technique=technique, network=self.network, group=self.group)


_IPV4 = (4, "198.51.100.66", "198.51.100.67")
_IPV6 = (6, "2001:db8:100::66", _NEIGHBOUR)
_SLASH_24, _SLASH_64, _SLASH_48 = "198.51.100.0/24", "2001:db8:100::/64", "2001:db8:100::/48"
CASES = {
    NAME: (
        Case("IPv4 address", *_IPV4, "198.51.100.66", _SLASH_24),
        Case("IPv6 /64", *_IPV6, _SLASH_64, _SLASH_64, refuses_neighbour=True),
        Case("IPv6 address", *_IPV6, "2001:db8:100::66", "2001:db8:100::66/128"),
    ),
    NETWORK_NAME: (
        Case("IPv4 /24", *_IPV4, _SLASH_24, _SLASH_24, _SLASH_24, refuses_neighbour=True),
        Case("IPv6 /48", 6, "2001:db8:100::66", _DISTANT, _SLASH_48, _SLASH_64, _SLASH_48, refuses_neighbour=True),
    ),
}


@dataclass(frozen=True)
class Proof:
    """How long a line took to become a rule, and the errors in fail2ban's log on the way there and back."""

    ban_seconds: float
    unban_seconds: float
    errors: list[str]


def open_ports(client: Host, target: str, source: str) -> set[str]:
    """Over which transports `source`, an address of the client, gets an answer."""
    tcp = client.reaches(target, HTTP_PORT, source=source)
    udp = client.peer("ask", target, source).returncode == 0
    return {name for name, answered in (("tcp", tcp), ("udp", udp)) if answered}


def listed(server: Fail2banServer, address: str) -> bool:
    """Whether the kernel holds the address or network for a firewall."""
    return bool(re.search(rf"(?<![\w.:]){re.escape(address)}(?![\w:]|\.\d)", server.listing()))


def _add_neighbours(lab: Lab) -> None:
    """More IPv6 addresses for the scanner."""
    for address in (_NEIGHBOUR, _DISTANT):
        lab.scanner.run("ip", "-6", "addr", "replace", f"{address}/64", "dev", "eth0", "nodad")
        lab.target.run("ip", "-6", "route", "replace", address, "dev", "eth0")


def prove(lab: Lab, server: Fail2banServer, case: Case, jail: str = NAME) -> Proof:
    """Go through the chain once, for one kind of ban.

    Raises:
        AssertionError: a link is broken.
    """
    target = (lab.target.ipv4 if case.family == 4 else lab.target.ipv6)[0]
    _add_neighbours(lab)

    def answers() -> tuple[set[str], set[str]]:
        return open_ports(lab.scanner, target, case.scanner), open_ports(lab.scanner, target, case.neighbour)

    everything = {"tcp", "udp"}
    refused = (set[str](), set[str]() if case.refuses_neighbour else everything)
    let_in = (everything, everything)
    wait_for(lambda: answers() == let_in, f"{case.scanner} and its neighbour to be answered before the ban")
    if listed(server, case.banned):
        raise AssertionError(f"a rule about {case.banned} before it was banned")

    begun = time.monotonic()
    server.write(case.line)
    wait_for(lambda: listed(server, case.banned), f"a rule about {case.banned}", evidence=server.evidence)
    blocked = time.monotonic()
    wait_for(lambda: answers() == refused, f"{case.scanner} to be refused", evidence=server.evidence)

    asked = time.monotonic()
    server.client("set", jail, "unbanip", case.banned)
    wait_for(lambda: not listed(server, case.banned), "the rule to go", evidence=server.evidence)
    unbanned = time.monotonic()
    wait_for(lambda: answers() == let_in, f"{case.scanner} to be answered again", evidence=server.evidence)
    return Proof(blocked - begun, unbanned - asked, server.errors())
