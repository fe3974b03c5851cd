"""The host that the core protects: plain values, which the shell reads and refreshes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from portsentry_py.config.settings import Networks
from portsentry_py.events.model import Reason

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class HostState:
    """The host at one moment.

    Attributes:
        own: its addresses.
        home: further networks that count as ours.
        home_known: False only in a replay without `--home`: then any target of a first packet is home.
        listening_tcp: ports with a socket that others can reach.
        listening_udp: likewise.
        open_traps: TCP ports that we opened as traps; they answer and serve nobody.
        protected: addresses that must never be banned, with the reason (gateway, resolver, ...).
        peers: addresses that hold an established connection to a served port.
    """

    own: frozenset[str] = frozenset()
    home: Networks = ()
    home_known: bool = True
    listening_tcp: frozenset[int] = frozenset()
    listening_udp: frozenset[int] = frozenset()
    open_traps: frozenset[int] = frozenset()
    protected: Mapping[str, Reason] = field(default_factory=dict)
    peers: frozenset[str] = frozenset()


@lru_cache(maxsize=8192)
def parsed(address: str) -> Address:
    """The object of a canonical address."""
    return ip_address(address)


def within(address: str, networks: Iterable[object]) -> bool:
    """Whether a canonical address lies in one of the networks (families may be mixed)."""
    parsed_address = parsed(address)
    return any(parsed_address in network for network in networks)  # type: ignore[operator] # both families have `in`


@lru_cache(maxsize=8192)
def network_of(address: str) -> str:
    """The network of an address and its neighbours: /24 or /64."""
    if ":" in address:
        return str(ip_network((address, 64), strict=False))
    return f"{address[: address.rindex('.')]}.0/24"


@lru_cache(maxsize=8192)
def is_unicast(address: str) -> bool:
    """Whether the address can be one host's: not multicast, broadcast or unspecified."""
    one = parsed(address)
    return not (one.is_multicast or one.is_unspecified or address == "255.255.255.255")
