"""A population: everybody of one kind who lives on the host, and what is to become of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address, ip_network
from pathlib import Path

from tests.lab.ordinary.day import Day


class Meant(Enum):
    """Who is to be banned, and by which jail."""

    NOBODY = "nobody"
    EACH = "each, by portsentry"
    SOME = "some of them, by portsentry"
    LOGIN = "each, by sshd"


@dataclass(frozen=True)
class Scene:
    """Where and when a population lives: the day, and the folder with keys and files."""

    day: Day
    folder: Path


@dataclass(frozen=True)
class Population:
    """Everybody in these networks.

    Attributes:
        name: a word or two.
        about: what they do.
        place: the network namespace that they act from.
        networks: their addresses, IPv4 first; nobody else has any of them.
        live: their day.
        meant: who of them is to be banned.
    """

    name: str
    about: str
    place: str
    networks: tuple[str, ...]
    live: Callable[[Scene, Population], Awaitable[None]]
    meant: Meant = Meant.NOBODY

    def address(self, number: int) -> str:
        return str(ip_network(self.networks[0])[number])

    def address6(self, number: int) -> str:
        return str(ip_network(self.networks[-1])[number])

    def owns(self, address: str) -> bool:
        one = ip_address(address)
        return any(one in ip_network(network) for network in self.networks)


def guests(number: int) -> tuple[str, str]:
    """Networks of both families for innocent strangers."""
    return f"198.18.{number}.0/24", f"2001:db8:18:{number:x}::/64"


def scanner_networks(number: int) -> tuple[str, str]:
    """Networks of both families for scanners: each has its own, because networks are judged as well."""
    return f"198.19.{number}.0/24", f"2001:db8:19:{number:x}::/64"
