"""What one host tells the others: a ban, or all its bans. Strict JSON within bounds."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Annotated, Literal, TypeVar

import msgspec

from portsentry_py.events.model import FleetEvidence, ScanType

MOST_BANS = 500
MOST_BYTES = {"ban": 512, "state": 128 * 1024}
_LATEST_US = 253_402_300_799_999_999  # the last time that the log can write
_Time = Annotated[int, msgspec.Meta(ge=0, le=_LATEST_US)]


class Ban(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A source that a host bans.

    Attributes:
        address: canonical.
        prefix: 32, or of IPv6 64 where the ban is about the network, else 128.
        verified: the source proved that it receives the packets of the reporter.
        evidence: the technique that the reporter saw.
        until_us: when the ban ends, in microseconds since 1970.
    """

    address: Annotated[str, msgspec.Meta(max_length=45)]
    prefix: Literal[32, 64, 128]
    verified: bool
    evidence: FleetEvidence
    scan_type: ScanType
    until_us: _Time

    def __post_init__(self) -> None:
        parsed = ip_address(self.address)
        if str(parsed) != self.address or (parsed.version == 4) != (self.prefix == 32):  # noqa: PLR2004 - lengths
            raise ValueError(self.address)
        if isinstance(parsed, IPv6Address) and (parsed.scope_id or parsed.ipv4_mapped):
            raise ValueError(self.address)

    @property
    def source(self) -> str:
        """What is banned: an address, or an IPv6 /64."""
        return network64(self.address) if self.prefix == 64 else self.address  # noqa: PLR2004 - a length


class BanMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One ban, as it begins or goes on; `issued_us` is the time of the message."""

    version: Literal[1]
    issued_us: _Time
    ban: Ban


class StateMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All bans of a host: what is not in it is banned no longer."""

    version: Literal[1]
    issued_us: _Time
    bans: Annotated[tuple[Ban, ...], msgspec.Meta(max_length=MOST_BANS)]


Message = BanMessage | StateMessage
_Message = TypeVar("_Message", bound=Message)


def network64(address: str) -> str:
    """The IPv6 /64 of an address."""
    return str(ip_network((address, 64), strict=False))


def encode(message: Message) -> bytes:
    """The payload of a message."""
    return msgspec.json.encode(message)


def read_ban(payload: bytes) -> BanMessage:
    """The message of a payload.

    Raises:
        ValueError: it is none; the word is `too_large` or `malformed`.
    """
    return _read(BanMessage, payload, MOST_BYTES["ban"])


def read_state(payload: bytes) -> StateMessage:
    """The message of a payload.

    Raises:
        ValueError: it is none; the word is `too_large` or `malformed`.
    """
    return _read(StateMessage, payload, MOST_BYTES["state"])


def _read(kind: type[_Message], payload: bytes, most: int) -> _Message:
    if len(payload) > most:
        raise ValueError("too_large")
    try:
        return msgspec.json.decode(payload, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ValueError("malformed") from error


def is_public(address: str, site: Iterable[object] = ()) -> bool:
    """Whether an address is global unicast, or in a network of the site."""
    parsed = ip_address(address)
    if parsed.is_multicast or parsed.is_unspecified or parsed.is_loopback or parsed.is_link_local:
        return False
    if any(parsed in network for network in site):  # type: ignore[operator] # both families have `in`
        return True
    if isinstance(parsed, IPv4Address):
        return parsed.is_global and not parsed.is_reserved
    # Behind 6to4 and Teredo are IPv4 addresses of others.
    return parsed.is_global and parsed.packed[0] >> 5 == 1 and not parsed.sixtofour and not parsed.teredo
