"""Which addresses are this host's, and which addresses are one source."""

from functools import lru_cache
from ipaddress import IPv6Network

from portsentry_py.core.host_state import PLAIN_64, HostState, is_one_of_many_owners, network_of, within
from portsentry_py.events.model import Direction

_SOURCE6_BITS = 64


class Home:
    """The host's own addresses and the networks that count as ours.

    Attributes:
        is_known: False only in a replay without `--home`: then any address may be ours.
        source6_of: the source of an IPv6 address, for callers that know it to be one.
    """

    def __init__(self) -> None:
        self.source6_of = lru_cache(maxsize=8192)(self._uncached_source6_of)
        self._is_in_networks = lru_cache(maxsize=4096)(lambda address: within(address, self._networks))
        self.set_host(HostState())

    def set_host(self, host: HostState) -> None:
        """Take the host's addresses as they are now."""
        self.is_known = host.home_known
        # A flood has ever new addresses, and an address is compared much sooner than a network.
        single = frozenset(str(one.network_address) for one in host.home if one.num_addresses == 1)
        self._addresses = host.own | single
        self._networks = tuple(one for one in host.home if one.num_addresses > 1)
        self._near_64s = frozenset(network_of(address) for address in host.own if ":" in address)
        self._networks6 = tuple(one for one in host.home if isinstance(one, IPv6Network))
        self._home_64s = frozenset(network_of(str(one.network_address)) for one in self._networks6)
        self._is_wide6 = any(one.prefixlen < _SOURCE6_BITS for one in self._networks6)
        self.source6_of.cache_clear()
        self._is_in_networks.cache_clear()

    def has(self, address: str) -> bool:
        """Whether a canonical address is ours; in a replay without `--home`, any may be."""
        if address in self._addresses or not self.is_known:
            return True
        return bool(self._networks) and self._is_in_networks(address)

    def surely_has(self, address: str) -> bool:
        """Whether an address is known to be ours, so that a refusal from there tells of a probe that we missed."""
        return self.is_known and self.has(address)

    def direction(self, src: str, dst: str) -> Direction | None:
        """`inbound` to us, `outbound` from us to others, None between others."""
        if self.has(dst):
            return "inbound"
        return "outbound" if self.has(src) else None

    def source_of(self, address: str) -> str:
        """The source that an address belongs to: for IPv6 its /64, which one owner has, else the address.

        In a network of our own, every address is a host: the /64 would be us as well.
        """
        return address if ":" not in address else self.source6_of(address)

    def _uncached_source6_of(self, address: str) -> str:
        network = network_of(address)
        may_be_home = self._is_wide6 or network in self._home_64s
        is_near = network in self._near_64s or (may_be_home and within(address, self._networks6))
        return address if is_near or is_one_of_many_owners(address) else network

    def source_of_text(self, text: str) -> str:
        """The /64 that an IPv6 address shows by itself and that is far from here; empty where it takes a closer look.

        In a flood each address is another, and its object costs ten times as much.
        """
        prefix = PLAIN_64.match(text)
        if prefix is None or self._is_wide6:
            return ""
        network = f"{prefix[1]}::/64"
        return "" if network in self._near_64s or network in self._home_64s else network
