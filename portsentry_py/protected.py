"""Addresses that must never be banned, read from the system: gateways, resolvers, time and lease servers.

Everything here is best effort: a file that is missing or odd adds nothing and stops nothing.
"""

import re
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from portsentry_py.decode import canonical_address

_RTF_GATEWAY = 0x2  # linux/route.h
_RESOLV_CONF = ("etc/resolv.conf", "run/systemd/resolve/resolv.conf", "run/NetworkManager/resolv.conf")
_TIME_CONF = ("etc/systemd/timesyncd.conf", "etc/chrony/chrony.conf", "etc/ntp.conf", "etc/ntpsec/ntp.conf")
_LEASES = ("var/lib/dhcp/*.leases", "run/systemd/netif/leases/*", "var/lib/NetworkManager/*.lease")
_ADDRESS = re.compile(r"[0-9A-Fa-f:.]{3,45}")


def protected_addresses(root: Path = Path("/")) -> dict[str, str]:
    """Address to reason: `gateway`, `resolver`, `ntp_server`, `dhcp_server`.

    Args:
        root: top of the tree whose files are read.
    """
    found: dict[str, str] = {}
    for reason, addresses in (
        ("dhcp_server", _in_files(root, _LEASES, ("dhcp-server-identifier", "SERVER_ADDRESS"))),
        ("ntp_server", _in_files(root, _TIME_CONF, ("server", "pool", "peer", "NTP", "FallbackNTP"))),
        ("resolver", _in_files(root, _RESOLV_CONF, ("nameserver",))),
        ("gateway", _gateways(root)),
    ):
        found |= dict.fromkeys(addresses, reason)
    return found


def _gateways(root: Path) -> Iterator[str]:
    for line in _lines(root / "proc/net/route")[1:]:
        cells = line.split()
        with suppress(IndexError, ValueError, struct.error):
            if int(cells[3], 16) & _RTF_GATEWAY:
                yield str(IPv4Address(struct.pack("=L", int(cells[2], 16))))
    for line in _lines(root / "proc/net/ipv6_route"):
        cells = line.split()
        with suppress(IndexError, ValueError):
            if int(cells[8], 16) & _RTF_GATEWAY:
                yield canonical_address(str(IPv6Address(bytes.fromhex(cells[4]))))


def _in_files(root: Path, patterns: tuple[str, ...], keys: tuple[str, ...]) -> Iterator[str]:
    """Addresses in the lines that begin with one of the keys; names are passed over, nothing is looked up."""
    begins = re.compile(rf"\s*(?:option\s+)?(?:{'|'.join(keys)})\b", re.IGNORECASE)
    for pattern in patterns:
        for path in root.glob(pattern):
            for line in _lines(path):
                if begins.match(line):
                    yield from _addresses(line)


def _addresses(line: str) -> Iterator[str]:
    for word in _ADDRESS.findall(line):
        for family in (socket.AF_INET, socket.AF_INET6):
            try:
                socket.inet_pton(family, word)
            except OSError:
                continue
            yield canonical_address(word)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
