"""Whom to scan, and whom to refuse."""

import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from portsentry_py.checks.scan.model import Family, Options, Target
from portsentry_py.errors import ScanError, UsageError
from portsentry_py.host.interfaces import broadcast_addresses, own_addresses
from portsentry_py.host.routes import is_on_link

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network
_LEAST_PREFIX = {4: 24, 6: 120}
_DISCARD_PORT = 9
# RFC 5737, RFC 3849, RFC 9637.
_DOCUMENTATION = tuple(
    map(ip_network, ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"))
)
# RFC 1918, RFC 4193, RFC 1122, RFC 3927, RFC 4291.
_LOCAL = tuple(
    map(
        ip_network,
        (
            *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),
            *("127.0.0.0/8", "::1/128", "169.254.0.0/16", "fe80::/10"),
        ),
    )
)
# RFC 1122: 0/8 is "this network", 240/4 is reserved and ends with the broadcast address.
_NO_HOSTS = tuple(map(ip_network, ("0.0.0.0/8", "240.0.0.0/4", "::/128")))


def find_targets(texts: Iterable[str], options: Options) -> list[Target]:
    """The hosts that the texts name: addresses, small networks, names.

    Raises:
        UsageError: one is no host, or not to be scanned.
        ScanError: a name does not resolve, or no route leads to a host.
    """
    found = [target for text in texts for target in _targets(text, options)]
    return list(dict.fromkeys(found))


def _targets(text: str, options: Options) -> list[Target]:
    try:
        network = ip_network(text)
    except ValueError:
        return [_host(text, options)]
    _refuse_wide(text, network)
    if network.num_addresses == 1:
        return [_host(text, options)]
    refuse(network, options)
    return [_host(str(address), options) for address in network.hosts()]


def _refuse_wide(text: str, network: _Network) -> None:
    least = _LEAST_PREFIX[network.version]
    if network.prefixlen < least:
        raise UsageError(f"{text} has more than 256 addresses; give a network of /{least} or smaller.")


def _host(text: str, options: Options) -> Target:
    address, scope = _resolved(text, options.family)
    refuse(ip_network(address), options)
    target = Target(str(address), address.packed, "", scope)
    return target._replace(source=_source(text, target))


def _resolved(text: str, family: Family | None) -> tuple[_Address, int]:
    wanted = {None: socket.AF_UNSPEC, 4: socket.AF_INET, 6: socket.AF_INET6}[family]
    try:
        found = socket.getaddrinfo(text, None, wanted, socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        with_family = f" over IPv{family}" if family else ""
        raise ScanError(f"{text}: no address is known{with_family} ({_reason(error)}); check the name.") from error
    if family is None:
        found.sort(key=lambda one: one[0] != socket.AF_INET)
    where = found[0][4]
    address = ip_address(str(where[0]).partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address, int(where[3]) if len(where) > 2 else 0  # noqa: PLR2004 - IPv6 has four parts


def refuse(network: _Network, options: Options) -> None:
    """Let pass what may be scanned.

    Raises:
        UsageError: it may not.
    """
    name = str(network.network_address if network.num_addresses == 1 else network)
    if network.is_multicast or _within(network, _NO_HOSTS) or name in broadcast_addresses():
        raise UsageError(f"{name} is the address of no single host; name a host.")
    if name in own_addresses():
        return
    if _within(network, _DOCUMENTATION):
        if not options.owned or not is_on_link(network.network_address):
            raise UsageError(
                f"{name} is an address of documentation, which no host has; name the address of a host. "
                "Only in a network of your own that uses it: --i-own-this."
            )
    elif not options.owned and not _within(network, _LOCAL):
        raise UsageError(f"{name} is a public address; scan it only if it is yours, with --i-own-this.")


def _within(network: _Network, others: Iterable[_Network]) -> bool:
    return any(network.overlaps(other) for other in others if other.version == network.version)


def _source(text: str, target: Target) -> str:
    with socket.socket(target.socket_family, socket.SOCK_DGRAM) as anything:
        try:
            # This sends nothing: the kernel only looks up the route.
            anything.connect(target.endpoint(target.address, _DISCARD_PORT))
        except OSError as error:
            raise ScanError(f"{text}: no route leads there ({_reason(error)}); check its address.") from error
        return str(anything.getsockname()[0]).partition("%")[0]


def _reason(error: OSError | UnicodeError) -> str:
    return getattr(error, "strerror", None) or str(error)
