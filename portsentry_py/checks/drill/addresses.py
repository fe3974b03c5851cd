"""Where strangers come in, and as whom the drill comes: addresses for documentation that nobody uses here."""

import random
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from portsentry_py.config.settings import Network
from portsentry_py.errors import DrillError
from portsentry_py.fail2ban.ban_test import TEST_ADDRESS
from portsentry_py.host.choice import default_interfaces
from portsentry_py.host.interfaces import addresses_of
from portsentry_py.host.routes import routes

# RFC 5737, RFC 3849, RFC 9637.
DOCUMENTATION = tuple(
    map(ip_network, ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"))
)
_TRIES = 2000
_RANDOM = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class Target:
    """An address of this host, and the interface on which strangers reach it."""

    address: str
    interface: str

    @property
    def version(self) -> int:
        """4 or 6."""
        return ip_address(self.address).version


def targets() -> tuple[Target, ...]:
    """One for each family of this host: on the interface of the default route, or on another that is up.

    Raises:
        DrillError: this host has no address that a stranger could reach.
    """
    known = list(routes())
    found: list[Target] = []
    for version in (4, 6):
        outside = [name for name, network in known if network.version == version and not network.prefixlen]
        for name in dict.fromkeys((*outside, *default_interfaces())):
            usable = [one for one in addresses_of(name) if _is_reachable(one, version)]
            if usable:
                found.append(Target(usable[0], name))
                break
    if not found:
        raise DrillError("this host has no address that strangers can reach; give an interface one.")
    return tuple(found)


def _is_reachable(address: str, version: int) -> bool:
    one = ip_address(address)
    return one.version == version and not (one.is_link_local or one.is_loopback)


def is_for_documentation(text: str) -> bool:
    """Whether an address or network is reserved for documentation, so that no host has it."""
    network = ip_network(text)
    return any(isinstance(network, type(one)) and network.subnet_of(one) for one in DOCUMENTATION)  # type: ignore[arg-type] # one type


def network_of(address: str) -> Network:
    """What a ban of an address holds: the address, or the /64."""
    return ip_network(f"{address}/64" if ":" in address else address, strict=False)


class Sources:
    """Gives out addresses for documentation that this host neither has nor routes, each once.

    Args:
        taken: networks that this host has or routes.
        choice: picks one of a sequence.
    """

    def __init__(self, taken: Iterable[Network], choice: Callable[[int], int] = _RANDOM.randrange) -> None:
        self._taken = tuple(taken)
        self._choice = choice
        self._given: set[str] = set()

    def one(self, version: int) -> str:
        """An address; of IPv6, in a /64 of its own, because a ban holds that.

        Raises:
            DrillError: this host uses them all.
        """
        networks = [one for one in DOCUMENTATION if one.version == version]
        for _ in range(_TRIES):
            found = self._in(networks[self._choice(len(networks))])
            if found not in self._given and not self._is_taken(found):
                self._given.add(found)
                return str(found)
        raise DrillError("this host routes every address for documentation; take a route to them out.")

    def _in(self, network: Network) -> str:
        if isinstance(network, IPv6Network):
            prefix = int(network.network_address) >> 64
            return str(IPv6Address((prefix + self._choice(1 << (64 - network.prefixlen)) << 64) + 0x77))
        return str(IPv4Address(int(network.network_address) + 1 + self._choice(network.num_addresses - 2)))

    def _is_taken(self, address: str) -> bool:
        network = network_of(address)
        return any(one.version == network.version and one.overlaps(network) for one in self._taken)


def routed(own: Collection[str]) -> Iterator[Network]:
    """The networks that this host has or routes, and the address of the test ban. The default route is no such one."""
    yield from (network for _, network in routes() if network.prefixlen)
    yield from map(ip_network, (*own, TEST_ADDRESS))
