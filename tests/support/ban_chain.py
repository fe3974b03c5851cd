"""The chain behind the log: line, ban, rule in the kernel, refused packets, unban, accepted packets."""

import re
import time
from dataclasses import dataclass

from tests.support.fail2ban_server import NAME, NETWORK_NAME, Fail2banServer, scan_line
from tests.support.namespaces import Host, Lab
from tests.support.peers import HTTP_PORT
from tests.support.waiting import wait_for

FAMILIES = ("IPv4", "IPv6")
NETWORKS = ("198.51.100.0/24", "2001:db8:100::/64")  # the scanner's


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


def prove(lab: Lab, server: Fail2banServer, family: str, jail: str = NAME) -> Proof:
    """Go through the chain once, for one family, with the jail for addresses or the one for networks.

    Raises:
        AssertionError: a link is broken.
    """
    number = FAMILIES.index(family)
    scanner = (lab.scanner.ipv4, lab.scanner.ipv6)[number][0]
    target = (lab.target.ipv4, lab.target.ipv6)[number][0]
    line, banned = scan_line(scanner), scanner
    if jail == NETWORK_NAME:
        banned = NETWORKS[number]
        line = scan_line(scanner, technique="distributed", network=banned)

    def answers() -> set[str]:
        return open_ports(lab.scanner, target, scanner)

    if answers() != {"tcp", "udp"} or listed(server, banned):
        raise AssertionError(f"{scanner} is refused before it was banned")

    begun = time.monotonic()
    server.write(line)
    wait_for(lambda: listed(server, banned), f"a rule about {banned}", evidence=server.evidence)
    blocked = time.monotonic()
    wait_for(lambda: not answers(), f"{scanner} to be refused", evidence=server.evidence)

    asked = time.monotonic()
    server.client("set", jail, "unbanip", banned)
    wait_for(lambda: not listed(server, banned), "the rule to go", evidence=server.evidence)
    unbanned = time.monotonic()
    if answers() != {"tcp", "udp"}:
        raise AssertionError(f"{scanner} is refused though it was unbanned\n{server.evidence()}")
    return Proof(blocked - begun, unbanned - asked, server.errors())
