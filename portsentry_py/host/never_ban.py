"""Reads which addresses must never be banned: gateways, resolvers, time and lease servers of this host.

A file that is missing, or that the user may not read, adds nothing.
"""

import re
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from portsentry_py.core.decode import canonical_address
from portsentry_py.events.model import Reason

_RTF_GATEWAY = 0x2  # linux/route.h
_RESOLV_CONF = ("etc/resolv.conf", "run/systemd/resolve/resolv.conf", "run/NetworkManager/resolv.conf")
_TIME_CONF = ("etc/systemd/timesyncd.conf", "etc/chrony/chrony.conf", "etc/ntp.conf", "etc/ntpsec/ntp.conf")
_LEASES = ("var/lib/dhcp/*.leases", "run/systemd/netif/leases/*", "var/lib/NetworkManager/*.lease")
_SSHD_CONF = ("etc/ssh/sshd_config", "etc/ssh/sshd_config.d/*.conf")
# sshd_config(5): blanks or one `=` separate keyword and value.
_SSHD_LINE = re.compile(r'\s*(Port|ListenAddress)(?:\s*=\s*|\s+)"?([^\s"]+)', re.IGNORECASE)
# systemd.unit(5): of two files with the same name, the one in the later folder counts.
_UNITS = ("usr/lib/systemd/system", "run/systemd/generator", "run/systemd/system", "etc/systemd/system")
_SSH_SOCKETS = ("ssh.socket", "sshd.socket")
_STREAM_LINE = re.compile(r"\s*ListenStream\s*=\s*(\S*)")
_PORT = re.compile(r"(?:\[[^\]]*\]:|[^:\[\]/]*:)?(\d{1,5})")
_ADDRESS = re.compile(r"[0-9A-Fa-f:.]{3,45}")


def protected_addresses(root: Path = Path("/")) -> dict[str, Reason]:
    """Each address with its reason: `gateway`, `resolver`, `ntp_server`, `dhcp_server`.

    Args:
        root: top of the tree with the files.
    """
    found: dict[str, Reason] = {}
    sources: tuple[tuple[Reason, Iterator[str]], ...] = (
        ("dhcp_server", _in_files(root, _LEASES, ("dhcp-server-identifier", "SERVER_ADDRESS"))),
        ("ntp_server", _in_files(root, _TIME_CONF, ("server", "pool", "peer", "NTP", "FallbackNTP"))),
        ("resolver", _in_files(root, _RESOLV_CONF, ("nameserver",))),
        ("gateway", _gateways(root)),
    )
    for reason, addresses in sources:
        found |= dict.fromkeys(addresses, reason)
    return found


def ssh_ports(root: Path = Path("/")) -> frozenset[int]:
    """The ports of sshd according to its configuration and systemd's socket units; 22 is not implied."""
    found = {port for pattern in _SSHD_CONF for path in root.glob(pattern) for port in _sshd_ports(path)}
    for name in _SSH_SOCKETS:
        found |= _streams(root, name)
    return frozenset(found)


def _sshd_ports(path: Path) -> Iterator[int]:
    for line in _lines(path):
        match = _SSHD_LINE.match(line)
        port = match and _PORT.fullmatch(match[2])
        if port:
            yield int(port[1])


def _streams(root: Path, name: str) -> set[int]:
    """Ports of a socket unit and its drop-ins; an empty value cancels all before it."""
    unit = next((root / folder / name for folder in reversed(_UNITS) if (root / folder / name).is_file()), None)
    drop_ins = {path.name: path for folder in _UNITS for path in root.glob(f"{folder}/{name}.d/*.conf")}
    found: set[int] = set()
    for path in (*([unit] if unit else []), *(drop_ins[key] for key in sorted(drop_ins))):
        for match in filter(None, map(_STREAM_LINE.match, _lines(path))):
            port = _PORT.fullmatch(match[1])
            if port:
                found.add(int(port[1]))
            elif not match[1]:
                found.clear()
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
    """Addresses in the lines that begin with one of the keys; host names are skipped."""
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
