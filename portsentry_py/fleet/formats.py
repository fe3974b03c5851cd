"""The accepted sources as lists for other programs."""

import json
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Literal, get_args

Format = Literal["plain", "cidr", "nftables", "mikrotik", "juniper", "json"]
FORMATS = get_args(Format)
Networks = list[IPv4Network | IPv6Network]
_NAME = "portsentry"


def listed(sources: Iterable[str], form: Format) -> str:
    """The text of a list; every address is canonical."""
    networks: Networks = sorted(map(ip_network, sources), key=lambda one: (one.version, one))
    return _WRITERS[form](networks)


def _plain(networks: Networks) -> str:
    return _lines(str(one.network_address) if one.num_addresses == 1 else str(one) for one in networks)


def _cidr(networks: Networks) -> str:
    return _lines(map(str, networks))


def _nftables(networks: Networks) -> str:
    """A file for `nft -f`, which makes the sets again."""
    sets = []
    for version, kind in ((4, "ipv4_addr"), (6, "ipv6_addr")):
        elements = ", ".join(str(one) for one in networks if one.version == version)
        inner = f" elements = {{ {elements} }}" if elements else ""
        sets.append(f"  set {_NAME}{version} {{ type {kind}; flags interval;{inner} }}")
    table = f"inet {_NAME}_fleet"
    return _lines([f"add table {table}", f"delete table {table}", f"table {table} {{", *sets, "}"])


def _mikrotik(networks: Networks) -> str:
    """A script for `/import`."""
    paths = {4: "/ip", 6: "/ipv6"}
    removed = (f"{path} firewall address-list remove [find list={_NAME}]" for path in paths.values())
    added = (f"{paths[one.version]} firewall address-list add list={_NAME} address={one}" for one in networks)
    return _lines([*removed, *added])


def _json(networks: Networks) -> str:
    return json.dumps([str(one) for one in networks]) + "\n"


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


# Juniper's feeds are lists of networks in files whose names end with .txt.
_WRITERS: dict[Format, Callable[[Networks], str]] = {
    "plain": _plain,
    "cidr": _cidr,
    "nftables": _nftables,
    "mikrotik": _mikrotik,
    "juniper": _cidr,
    "json": _json,
}
