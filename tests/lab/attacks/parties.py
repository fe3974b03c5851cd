"""Who takes part: the victim, the attacker's addresses, and everybody else, who is innocent."""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network


@dataclass(frozen=True)
class Family:
    """The addresses of one family.

    `second` is another address of the attacker, in a network of its own. `accomplice` scans when the attacker
    has prepared the sensor. `innocent` is a host that is there and never scans.
    """

    number: int
    victim: str
    attacker: str
    second: str
    accomplice: str
    innocent: str
    neighbour: str
    """An innocent in the attacker's /24 or /64."""
    stranger: str
    """An innocent that never spoke to the victim, and is not there."""


FOUR = Family(
    4,
    victim="203.0.113.1",
    attacker="198.51.100.66",
    second="198.18.9.67",
    accomplice="198.18.77.5",
    innocent="192.0.2.10",
    neighbour="198.51.100.9",
    stranger="198.19.200.7",
)
SIX = Family(
    6,
    victim="2001:db8:113::1",
    attacker="2001:db8:100::66",
    second="2001:db8:bad:9::67",
    accomplice="2001:db8:bad:77::5",
    innocent="2001:db8:2::10",
    neighbour="2001:db8:100::9",
    stranger="2001:db8:200::7",
)
FAMILIES = (FOUR, SIX)

_NAT64 = "64:ff9b::c612:0/112"  # 198.18.0.0/16 through NAT64
VICTIMS = (ip_network("203.0.113.0/24"), ip_network("2001:db8:113::/48"))
ATTACKERS = tuple(
    map(ip_network, ("198.51.100.0/24", "198.18.0.0/16", "2001:db8:100::/64", "2001:db8:bad::/48", "fe80::/10", _NAT64))
)
SENTINEL_VICTIM = "203.0.113.250"
"""An address of the victim that no attack touches."""
_NEIGHBOURS = frozenset({FOUR.neighbour, SIX.neighbour})


def role(banned: str) -> str:
    """Whose address or network this is: `attacker`, `victim` or `innocent`."""
    network = ip_network(banned, strict=False)
    if _NEIGHBOURS & {banned} or not _inside(network, (*ATTACKERS, *VICTIMS)):
        return "innocent"
    return "victim" if _inside(network, VICTIMS) else "attacker"


def covers(banned: str, address: str) -> bool:
    """Whether a ban of that address or network reaches an address."""
    return ip_address(address) in ip_network(banned, strict=False)


def strangers(count: int, family: int = 4) -> list[str]:
    """That many innocents, each in a network of its own, all over the address space."""
    if family == 6:
        return [f"2001:db8:{0x4000 + number:x}:1::5" for number in range(count)]
    return [f"10.{number & 0xFF}.{number >> 8 & 0xFF}.5" for number in range(count)]


def hosts(network: str, count: int) -> Iterator[str]:
    """The first hosts of a network."""
    first = ip_network(network).network_address
    return (str(first + number) for number in range(1, count + 1))


def _inside(network: Network, others: tuple[Network, ...]) -> bool:
    return any(
        (isinstance(network, IPv4Network) and isinstance(other, IPv4Network) and network.subnet_of(other))
        or (isinstance(network, IPv6Network) and isinstance(other, IPv6Network) and network.subnet_of(other))
        for other in others
    )
