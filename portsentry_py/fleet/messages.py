"""What one host tells the others: a ban, all its bans, or who asked it in vain. Strict JSON within bounds."""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated, ClassVar, Literal, TypeVar

import msgspec

from portsentry_py.events.model import FleetEvidence, ScanType

MOST_BANS = 500
MOST_CONTACTS = 100
_LATEST_US = 253_402_300_799_999_999  # the last time that the log can write
_Time = Annotated[int, msgspec.Meta(ge=0, le=_LATEST_US)]
_Address = Annotated[str, msgspec.Meta(max_length=45)]
_VERSIONS = {32: 4, 64: 6, 128: 6}  # of IP, by the length of the prefix
_HASH = re.compile(r"[0-9a-f]{32}", re.ASCII)


class Ban(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A source that a host bans.

    Attributes:
        address: canonical.
        prefix: 32, or of IPv6 64 where the ban is about the network, else 128.
        verified: the source proved that it receives the packets of the reporter.
        evidence: the technique that the reporter saw.
        until_us: when the ban ends, in microseconds since 1970.
    """

    address: _Address
    prefix: Literal[32, 64, 128]
    verified: bool
    evidence: FleetEvidence
    scan_type: ScanType
    until_us: _Time

    def __post_init__(self) -> None:
        if _version(self.address) != _VERSIONS[self.prefix]:
            raise ValueError(self.address)

    @property
    def source(self) -> str:
        """What is banned: an address, or an IPv6 /64."""
        return network64(self.address) if self.prefix == 64 else self.address  # noqa: PLR2004 - a length


class BanMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One ban, as it begins or goes on; `issued_us` is the time of the message."""

    MOST_BYTES: ClassVar[int] = 512
    version: Literal[1]
    issued_us: _Time
    ban: Ban


class StateMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All bans of a host: what is not in it is banned no longer."""

    MOST_BYTES: ClassVar[int] = 128 * 1024
    version: Literal[1]
    issued_us: _Time
    bans: Annotated[tuple[Ban, ...], msgspec.Meta(max_length=MOST_BANS)]


class Contact(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A source that asked a host for what nobody serves there.

    Attributes:
        address: canonical, or 32 hex digits: the hash of the source.
        verified: the source proved to that host that it receives its packets.
    """

    address: _Address
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)]
    scan_type: ScanType
    verified: bool

    def __post_init__(self) -> None:
        if not self.is_hash:
            _version(self.address)

    @property
    def is_hash(self) -> bool:
        """Whether the address is hidden."""
        return _HASH.fullmatch(self.address) is not None

    @property
    def source(self) -> str:
        """Who is counted: an address, an IPv6 /64, or a hash of either."""
        return network64(self.address) if ":" in self.address else self.address


class SeenMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """First contacts of an hour with a host; `left_out` is the number of those that had no room since the last one."""

    MOST_BYTES: ClassVar[int] = 16 * 1024
    version: Literal[1]
    issued_us: _Time
    left_out: Annotated[int, msgspec.Meta(ge=0, le=1 << 31)]
    contacts: Annotated[tuple[Contact, ...], msgspec.Meta(max_length=MOST_CONTACTS)]


Message = BanMessage | StateMessage | SeenMessage
_Message = TypeVar("_Message", bound=Message)


def network64(address: str) -> str:
    """The IPv6 /64 of an address."""
    return str(ip_network((address, 64), strict=False))


def encode(message: Message) -> bytes:
    """The payload of a message."""
    return msgspec.json.encode(message)


def read(kind: type[_Message], payload: bytes) -> _Message:
    """The message of a payload, of the kind that is expected.

    Raises:
        ValueError: it is none; the word is `too_large` or `malformed`.
    """
    if len(payload) > kind.MOST_BYTES:
        raise ValueError("too_large")
    try:
        return msgspec.json.decode(payload, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ValueError("malformed") from error


def _version(address: str) -> int:
    """The IP version of a canonical address of one host.

    Raises:
        ValueError: it is none.
    """
    parsed = ip_address(address)
    is_no_host = isinstance(parsed, IPv6Address) and (parsed.scope_id or parsed.ipv4_mapped)
    if str(parsed) != address or is_no_host:
        raise ValueError(address)
    return parsed.version


def is_public(address: str, site: Iterable[IPv4Network | IPv6Network] = ()) -> bool:
    """Whether an address is global unicast, or in a network of the site."""
    parsed = ip_address(address)
    if parsed.is_multicast or parsed.is_unspecified or parsed.is_loopback or parsed.is_link_local:
        return False
    if any(parsed in network for network in site):
        return True
    if isinstance(parsed, IPv4Address):
        return parsed.is_global and not parsed.is_reserved
    # Behind 6to4 and Teredo are IPv4 addresses of others.
    return parsed.is_global and parsed.packed[0] >> 5 == 1 and not parsed.sixtofour and not parsed.teredo
