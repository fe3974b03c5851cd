"""Reads the routes of this host: where the networks of `home` do not live, and what is reached without a router."""

import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path

from portsentry_py.config.settings import Networks

_Network = IPv4Network | IPv6Network
_RTF_UP, _RTF_GATEWAY, _RTF_REJECT = 0x1, 0x2, 0x200  # linux/route.h
_LOOPBACK = "lo"


def home_elsewhere(home: Networks, root: Path = Path("/")) -> frozenset[tuple[str, str]]:
    """Pairs of an interface and a network: what comes in there with a source of that network is forged.

    The interface has the default route, and the network is a part of `home` that has a route through others alone. So
    a port that mirrors traffic is none of them.

    Args:
        home: networks that the operator counts as ours.
        root: top of the tree with the files.
    """
    if not home:
        return frozenset()
    known = [*routes(root)]
    outside = {name for name, network in known if not network.prefixlen}
    inside = [(name, network) for name, network in known if network.prefixlen]
    found = set()
    for ours in home:
        for _, network in inside:
            if network.version == ours.version and network.overlaps(ours):
                part = network if network.prefixlen > ours.prefixlen else ours
                here = {name for name, other in inside if other.version == part.version and other.overlaps(part)}
                found |= {(name, str(part)) for name in outside - here}
    return frozenset(found)


def is_on_link(address: IPv4Address | IPv6Address, root: Path = Path("/")) -> bool:
    """Whether the host has this address itself, or the route to it passes no router.

    Args:
        address: of either family.
        root: top of the tree with the files.
    """
    found = [
        (network.prefixlen, not flags & _RTF_GATEWAY)
        for _, network, flags in _all_routes(root)
        if network.version == address.version and address in network
    ]
    return max(found, default=(0, False))[1]


def routes(root: Path = Path("/")) -> Iterator[tuple[str, _Network]]:
    """The routes of this host but those over loopback: the interface and the network."""
    return ((name, network) for name, network, _ in _all_routes(root) if name != _LOOPBACK)


def _all_routes(root: Path) -> Iterator[tuple[str, _Network, int]]:
    for line in _lines(root / "proc/net/route")[1:]:
        with suppress(IndexError, ValueError):
            name, target, _, flags, _, _, _, mask, *_rest = line.split()
            yield from _route(name, _ipv4(target), int(mask, 16).bit_count(), int(flags, 16))
    for line in _lines(root / "proc/net/ipv6_route"):
        with suppress(IndexError, ValueError):
            target, length, *_rest, flags, name = line.split()
            yield from _route(name, str(ip_address(bytes.fromhex(target))), int(length, 16), int(flags, 16))


def _ipv4(word: str) -> str:
    return socket.inet_ntoa(int(word, 16).to_bytes(4, sys.byteorder))


def _route(name: str, target: str, length: int, flags: int) -> Iterator[tuple[str, _Network, int]]:
    if flags & _RTF_UP and not flags & _RTF_REJECT:
        yield name, ip_network((target, length)), flags


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except OSError:
        return []
