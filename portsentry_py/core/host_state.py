"""The host that the core protects: plain values, which the shell reads and refreshes."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from portsentry_py.config.settings import Networks
from portsentry_py.events.model import Reason

Address = IPv4Address | IPv6Address
_THIS_NETWORK = IPv4Network("0.0.0.0/8")
_SPECIAL6 = ("::", "64:ff9b", "2001:0:", "2001::", "fe8", "fe9", "fea", "feb")
PLAIN_64 = re.compile(r"(?!64:ff9b|fe[89ab])((?:[1-9a-f][0-9a-f]{0,3}:){3}[1-9a-f][0-9a-f]{0,3}):")
"""The first half of an IPv6 address whose /64 is written like it, and has one owner."""
_GROUPS, _GROUP_BITS = 8, 16  # of an IPv6 address as text
_HALF = 4  # groups
_LOW_DIGITS = 2  # of the four of a group
_ZERO = frozenset({"", "0"})  # a group in an address, or what is left of it where zeros are shortened
# Of a network with so many bits at most, the zeros at the end are what RFC 5952 shortens.
_LONGEST_TEXT = 64
_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))


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
        peers_known: False in a replay, which has no socket table to read peers from.
        allowed: networks of the operator's allowlist, which must never be banned.
        contacts: addresses to which this host holds a connection that it opened, over TCP or UDP.
        local_ports: the ports of this host's own clients (net.ipv4.ip_local_port_range).
    """

    own: frozenset[str] = frozenset()
    home: Networks = ()
    home_known: bool = True
    listening_tcp: frozenset[int] = frozenset()
    listening_udp: frozenset[int] = frozenset()
    open_traps: frozenset[int] = frozenset()
    protected: Mapping[str, Reason] = field(default_factory=dict)
    peers: frozenset[str] = frozenset()
    peers_known: bool = True
    allowed: Networks = ()
    contacts: frozenset[str] = frozenset()
    local_ports: range = range(32_768, 61_000)


@lru_cache(maxsize=8192)
def parsed(address: str) -> Address:
    """The object of a canonical address."""
    return ip_address(address)


def within(address: str, networks: Iterable[object]) -> bool:
    """Whether a canonical address lies in one of the networks (families may be mixed)."""
    parsed_address = parsed(address)
    return any(parsed_address in network for network in networks)  # type: ignore[operator] # both families have `in`


@lru_cache(maxsize=8192)
def network_of(address: str, prefix6: int = 64) -> str:
    """The network of a canonical address and its neighbours: /24, or an IPv6 network of that length."""
    if ":" not in address:
        return f"{address[: address.rindex('.')]}.0/24"
    # An object costs ten times as much as its text.
    if prefix6 > _LONGEST_TEXT or "." in address:
        return str(ip_network((address, prefix6), strict=False))
    head, gap, tail = address.partition("::")
    if gap and prefix6 == _LONGEST_TEXT and head.count(":") < _HALF > tail.count(":"):
        return f"{head}::/64"  # all that the gap leaves of the first half; no zero stands beside a gap (RFC 5952)
    groups = head.split(":") if head else []
    if gap and len(groups) < _LONGEST_TEXT // _GROUP_BITS:
        ends = tail.split(":") if tail else []
        groups = [*groups, *["0"] * (_GROUPS - len(groups) - len(ends)), *ends]
    whole, bits = divmod(prefix6, _GROUP_BITS)
    if bits:
        rest = _GROUP_BITS - bits
        groups[whole] = f"{int(groups[whole], 16) >> rest << rest:x}"
        whole += 1
    while whole and groups[whole - 1] == "0":
        whole -= 1
    return f"{':'.join(groups[:whole])}::/{prefix6}"


@lru_cache(maxsize=8192)
def groups_of(source: str) -> tuple[str, ...]:
    """The networks in which a source (an address or an IPv6 /64) may scan together with its neighbours."""
    if source[-3:] != "/64":
        return (network_of(source),)
    # Of a /64 the text tells all: zeros at its end are left out, others are not.
    groups = source[:-5].split(":")
    if len(groups) < _LONGEST_TEXT // _GROUP_BITS:
        head = source[:-3]
        return f"{head}/56", f"{head}/48"
    site = groups.pop()
    while groups and groups[-1] == "0":
        groups.pop()
    head = ":".join(groups)
    if len(site) <= _LOW_DIGITS:  # of the last group, a /56 has the upper half
        return f"{head}::/56", f"{head}::/48"
    return f"{source[: -5 - _LOW_DIGITS]}00::/56", f"{head}::/48"


@lru_cache(maxsize=8192)
def wide_network_of(address: str) -> str:
    """The network that one owner or provider mostly has: /16 or /32."""
    if ":" not in address:
        return ".".join(address.split(".", 2)[:2]) + ".0.0/16"
    if "." in address or address[0] in "0:":
        return network_of(address, 32)
    first, second = address.split(":", 2)[:2]
    return f"{first}::/32" if second in _ZERO else f"{first}:{second}::/32"


def is_one_of_many_owners(address: str) -> bool:
    """Whether neighbours of an IPv6 address have other owners: they are links, or stand for IPv4 addresses.

    Link-local (RFC 4291), IPv4-mapped, NAT64 (RFC 6052, RFC 8215), Teredo (RFC 4380).
    """
    if not address.startswith(_SPECIAL6):
        return False
    one = IPv6Address(address)
    return one.is_link_local or bool(one.ipv4_mapped or one.teredo) or any(one in network for network in _NAT64)


@lru_cache(maxsize=8192)
def is_unicast(address: str) -> bool:
    """Whether the address can be one host's: not multicast, broadcast, unspecified, "this network" or reserved.

    RFC 1122, section 3.2.1.3: 0.0.0.0/8 and 240.0.0.0/4 are no source's.
    """
    one = parsed(address)
    if isinstance(one, IPv4Address) and (one.is_reserved or one in _THIS_NETWORK):
        return False
    return not (one.is_multicast or one.is_unspecified)
