"""Lifts the bans of an address or a network in every jail of ours."""

from collections.abc import Iterator
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
    ask = partial(client.ask, timeout_seconds=_TIMEOUT_SECONDS)
    jails = jail_names(ask)
    found = [JailEntry(jail, banned) for jail in jails for banned in _hitting(network, ask("get", jail, "banip"))]
    lifted = tuple(entry for entry in found if is_ours(entry.jail))
    for entry in lifted:
        ask("set", entry.jail, "unbanip", entry.address)
    return Unbanned(lifted, tuple(entry for entry in found if not is_ours(entry.jail)))


def _hitting(network: Network, answer: str) -> Iterator[str]:
    for banned in addresses(answer):
        other = ip_network(banned)
        if other.version == network.version and other.overlaps(network):
            yield banned
