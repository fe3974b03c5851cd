"""Who would be banned by each of several rules, side by side, so that one can choose before arming. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from portsentry_py.events.model import EvidenceEvent
from portsentry_py.fail2ban.pack import NETWORK_MODE

_PREFIXES = {4: (24,), 6: (48, 56, 64)}
_SOURCE_PREFIX = 64
# Techniques whose lines have a mode of their own.
_PARTS = {"trap", "sweep", "slow"}
# Mapped and loopback addresses, a link, NAT64, Teredo.
_SHARED = tuple(map(IPv6Network, ("::/64", "fe80::/10", "64:ff9b::/64", "2001::/32")))
_Networks = Iterable[IPv4Network | IPv6Network]


@dataclass(frozen=True, slots=True)
class FirstBan:
    """The first ban of a source by a rule, and its evidence."""

    timestamp: str
    technique: str | None
    reason: str | None
    ports: int | None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A source that at least one rule bans; `innocent` says that the allowlist has it."""

    source: str
    innocent: bool
    bans: dict[str, FirstBan]

    @property
    def first(self) -> FirstBan:
        """The earliest of its bans."""
        return min(self.bans.values(), key=lambda ban: ban.timestamp)


@dataclass(frozen=True, slots=True)
class Rule:
    """How many sources a rule bans, and how many of these the allowlist has."""

    name: str
    sources: int
    innocents: int


@dataclass(frozen=True, slots=True)
class WouldBan:
    """The rules side by side.

    Attributes:
        total: sources that at least one rule bans.
        candidates: these sources, innocents first, then in the order of their first bans.
        note: what the comparison does not see, one sentence.
    """

    rules: tuple[Rule, ...]
    total: int
    candidates: tuple[Candidate, ...]
    note: str


def modes_of(event: EvidenceEvent) -> Iterator[str]:
    """The modes of the filter that match a line; `queries.sql` has the same rule for the lines of a log."""
    if event.verdict not in {"ban", "watch"} or "outbound" in {event.direction, event.technique}:
        return
    yield "aggressive"
    if event.verdict == "ban":
        yield "normal"
        yield event.technique if event.technique in _PARTS else "scan"
        if event.source_verified:
            yield "strict"
        if event.technique == "distributed":
            yield NETWORK_MODE


def banned_by(mode: str, source: str, network: str | None) -> str | None:
    """What a mode of the filter bans for a line: the source, its /64, or in mode `network` the group's network.

    None if the filter refuses the line: the source is no address or mapped, or the network is not the source's own.
    """
    try:
        address = ip_address(source)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and ("%" in source or address.ipv4_mapped):
        return None
    own = _own_network(address, network)
    if mode == NETWORK_MODE:
        return str(own) if own else None
    return str(own) if own and own.prefixlen == _SOURCE_PREFIX else str(address)


def _own_network(address: IPv4Address | IPv6Address, text: str | None) -> IPv4Network | IPv6Network | None:
    """The network of an address that a ban may take in: /24, or of IPv6 /64, /56, /48 unless strangers share it."""
    try:
        network = ip_network(text or "")
    except ValueError:
        return None
    if address not in network or network.prefixlen not in _PREFIXES[network.version]:
        return None
    return None if any(address in shared for shared in _SHARED) else network


def compare(
    names: Sequence[str], bans: Mapping[str, Mapping[str, FirstBan]], allowlist: _Networks, note: str, most: int
) -> WouldBan:
    """The comparison of rules, by the first bans of each source.

    Args:
        names: the rules, in the order of the columns.
        bans: for each source (an address or a network), its first ban by the name of the rule.
        allowlist: networks whose sources are innocent.
        note: what the comparison does not see, one sentence.
        most: candidates that are kept; the sums are of all.
    """
    networks = tuple(allowlist)
    candidates = [Candidate(source, _is_in(source, networks), dict(of_rule)) for source, of_rule in bans.items()]
    candidates.sort(key=lambda one: (not one.innocent, one.first.timestamp, one.source))
    rules = []
    for name in names:
        banned = [one for one in candidates if name in one.bans]
        rules.append(Rule(name, len(banned), sum(one.innocent for one in banned)))
    return WouldBan(tuple(rules), len(candidates), tuple(candidates[:most]), note)


def _is_in(source: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Whether a ban of the source would hit one of the networks; what is no address hits none."""
    try:
        banned = ip_network(source, strict=False)
    except ValueError:
        return False
    return any(banned.version == network.version and banned.overlaps(network) for network in networks)
