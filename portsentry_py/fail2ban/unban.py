"""Lifts the bans of an address or a network in every jail of ours."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_network
from typing import NamedTuple

from portsentry_py.config.settings import Network
from portsentry_py.fail2ban.client import Fail2banClient
from portsentry_py.fail2ban.jails import addresses, is_ours, jail_names

_TIMEOUT_SECONDS = 10


class JailEntry(NamedTuple):
    """A ban: the jail, and the address or network that it holds."""

    jail: str
    address: str


@dataclass(frozen=True, slots=True)
class Unbanned:
    """The bans that were lifted, and those of other jails, which are for the operator to lift."""

    lifted: tuple[JailEntry, ...]
    others: tuple[JailEntry, ...]


def unban(client: Fail2banClient, network: Network) -> Unbanned:
    """Lifts every ban of our jails that hits an address of the network: an IPv6 source is banned with its /64.

    Raises:
        Fail2banError, PermissionDenied: fail2ban is not installed, does not answer, or refuses.
    """
    found = bans_of(client, [network])
    lifted = tuple(entry for entry in found if is_ours(entry.jail))
    lift(client, lifted)
    return Unbanned(lifted, tuple(entry for entry in found if not is_ours(entry.jail)))


def bans_of(client: Fail2banClient, networks: Collection[Network]) -> tuple[JailEntry, ...]:
    """The bans of any jail that hit an address of the networks.

    Raises:
        Fail2banError, PermissionDenied: as `unban`.
    """
    ask = partial(client.ask, timeout_seconds=_TIMEOUT_SECONDS)
    return tuple(
        JailEntry(jail, banned)
        for jail in jail_names(ask)
        for banned in addresses(ask("get", jail, "banip"))
        if any(_hits(ip_network(banned), network) for network in networks)
    )


def _hits(banned: Network, network: Network) -> bool:
    return banned.version == network.version and banned.overlaps(network)


def lift(client: Fail2banClient, entries: Iterable[JailEntry]) -> None:
    """Lifts these bans.

    Raises:
        Fail2banError, PermissionDenied: as `unban`.
    """
    for entry in entries:
        client.ask("set", entry.jail, "unbanip", entry.address, timeout_seconds=_TIMEOUT_SECONDS)
