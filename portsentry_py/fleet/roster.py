"""The roster: which hosts are in the fleet, and whom nobody may ban. The operator signs it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Annotated, Literal

import msgspec

from portsentry_py.config.settings import Network, Networks
from portsentry_py.config.values import read_network

MOST_BYTES = 1 << 20
NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?", re.ASCII)
_SITE_PREFIX = {4: 24, 6: 48}  # by the version of IP
_Text = Annotated[str, msgspec.Meta(max_length=64)]


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    issued_us: Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]
    hosts: Annotated[dict[_Text, _Text], msgspec.Meta(max_length=20_000)]
    allow: Annotated[tuple[_Text, ...], msgspec.Meta(max_length=10_000)]


@dataclass(frozen=True, slots=True)
class Roster:
    """The hosts of the fleet.

    Attributes:
        issued_us: when the operator signed it; an older one never replaces a newer one.
        hosts: the address of each host, by which others see it.
        allow: networks that no host may ban; no report changes that.
    """

    issued_us: int = 0
    hosts: Mapping[str, Network] = field(default_factory=dict)
    allow: Networks = ()

    def network_of(self, name: str) -> Network:
        """The network of a host: hosts of one network see the same forgeries, and count once."""
        address = self.hosts[name]
        return address.supernet(new_prefix=_SITE_PREFIX[address.version])


def write(roster: Roster) -> bytes:
    """The text that is signed."""
    hosts = {name: str(address.network_address) for name, address in sorted(roster.hosts.items())}
    return msgspec.json.encode(_Document(1, roster.issued_us, hosts, tuple(map(str, roster.allow))))


def read(text: bytes) -> Roster:
    """The roster of a text whose signature is right.

    Raises:
        ValueError: it is none.
    """
    try:
        document = msgspec.json.decode(text[: MOST_BYTES + 1], type=_Document)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError("not a roster") from error
    if not all(map(NAME.fullmatch, document.hosts)):
        raise ValueError("a name that no host can have")
    hosts = {name: ip_network(address) for name, address in document.hosts.items()}
    if any(address.num_addresses != 1 for address in hosts.values()):
        raise ValueError("a host that is a network")
    return Roster(document.issued_us, hosts, tuple(map(read_network, document.allow)))
