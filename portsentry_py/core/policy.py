"""Who may be banned: the only place that decides. The line has it as `verdict` and `reason`."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv6Network
from typing import NamedTuple

from portsentry_py.config.settings import Network, Networks
from portsentry_py.core.expectation import Expectations
from portsentry_py.core.finding import Finding
from portsentry_py.core.host_state import HostState, is_unicast, network_of, parsed, within
from portsentry_py.core.known_scanners import KnownScanners
from portsentry_py.core.reflection import REFLECTED_TYPES
from portsentry_py.core.source_record import SourceRecord
from portsentry_py.core.standing import Acquaintance, StandingTable
from portsentry_py.events.model import Reason, Verdict

# One proof may be a visitor's own health check during a forged scan; proofs at two ports are the scan's own.
_SCAN_PROOFS = 2
# A guest's standing excuses as many distinct attempts as a forger's burst would have, a regular visitor's any number.
# Evidence that goes on for so long, with the stack and the hops of the visitor's own sessions, is the visitor's. With
# another stack it may be, too: raw scanners make their own headers.
_EXCUSED_ATTEMPTS = 64
_EXCUSED_US = 600_000_000
_OTHER_STACK_EXCUSED_US = 3_600_000_000


class Judgement(NamedTuple):
    """A finding with its verdict, and the rule that gave it."""

    finding: Finding
    verdict: Verdict
    reason: Reason

    @property
    def bans(self) -> bool:
        """Whether the source is to be banned."""
        return self.verdict == "ban"


class Policy:
    """Gives a finding its verdict.

    Args:
        ignore: networks that must never be banned.
        standing: what is known of addresses.
        expected: what this host asked for, and of whom.
        known: the known scanners.
        known_verdict: the verdict on them where anybody else would be banned.
    """

    def __init__(
        self,
        ignore: Networks,
        standing: StandingTable,
        expected: Expectations,
        known: KnownScanners,
        known_verdict: Verdict = "ban",
    ) -> None:
        self._ignore = ignore
        self._known = known
        self._known_verdict = known_verdict
        self._standing = standing
        self._expected = expected
        self.set_host(HostState())

    def set_host(self, host: HostState) -> None:
        """Take the host's addresses as they are now."""
        self._host = host
        self._never = (*self._ignore, *host.allowed)
        self._never6 = tuple(one for one in self._never if isinstance(one, IPv6Network))
        self._connected = host.peers | host.contacts
        self._connected_networks = _networks6(self._connected)
        self._exempt_networks = _networks6([*host.own, *host.protected])

    def judge(self, finding: Finding) -> Judgement:
        """The verdict on a finding, before the budget of bans."""
        verdict, reason = self._verdict(finding)
        is_softer = verdict == "ban" and self._known_verdict != "ban"
        if is_softer and self._known.of(finding.record.address) is not None:
            return Judgement(finding, self._known_verdict, "known_scanner")
        return Judgement(finding, verdict, reason)

    def _verdict(self, finding: Finding) -> tuple[Verdict, Reason]:
        record, address = finding.record, finding.record.address
        if record.direction == "outbound":
            return "watch", "outbound"
        home = self._home_of(address)
        exempt = self._exempt(address, home)
        if exempt is not None:
            return "ignore", exempt
        if home:
            return "watch", "home_network"
        if address.startswith("::ffff:"):
            # On the wire such a source is forged, and fail2ban would ban the embedded IPv4 address.
            return "watch", "mapped_source"
        if parsed(address).is_link_local:
            return "watch", "not_bannable"
        doubt = self._doubt(finding)
        if doubt is not None:
            return "watch", doubt
        return "ban" if finding.bannable else "watch", finding.reason

    def _doubt(self, finding: Finding) -> Reason | None:
        """Why the source may be innocent, and somebody else want it banned."""
        record, now_us = finding.record, finding.sighting.time_us
        is_network = record.source != record.address
        if is_network and self._holds_exempt(record.source):
            return "neighbour"
        if not (record.verified and len(record.proofs) >= _SCAN_PROOFS):
            known = self._standing.of(record.address)
            is_connected = record.address in self._connected or self._expected.is_contact(record.address, now_us)
            if self._is_excused(record, [known] if known else [], is_connected, now_us):
                return "friend"
            neighbours = self._standing.neighbours(record.address)
            is_connected = record.source in self._connected_networks or self._expected.is_contact_network(
                record.source, now_us
            )
            if is_network and self._is_excused(record, neighbours, is_connected, now_us):
                return "neighbour"
        if record.verified:
            return None
        if record.is_mimicked:
            return "decoy_source"
        if finding.scan_type == "udp" and self._expected.server(record.address, now_us):
            return "queried_server"
        types = set(record.types) if finding.scan_type == "mixed" else {finding.scan_type}
        if types <= REFLECTED_TYPES and self._is_reflector(finding):
            return "reflection"
        return None

    def _is_reflector(self, finding: Finding) -> bool:
        sighting = finding.sighting
        return self._expected.reflection.is_reflector(finding.record.source, sighting.proto, sighting.time_us)

    def _holds_exempt(self, network: str) -> bool:
        """Whether an address that must never be banned lies in the source's network: a ban would hit it."""
        if network in self._exempt_networks:
            return True
        if not self._never6:
            return False
        its = IPv6Network(network)
        return any(map(its.overlaps, self._never6))

    @staticmethod
    def _is_excused(record: SourceRecord, known: list[Acquaintance], is_connected: bool, now_us: int) -> bool:
        """Whether standing excuses the evidence: a forger may have made it."""
        is_guest = is_connected or any(one.is_guest(now_us) for one in known)
        if not any(one.is_regular(now_us) for one in known) and (
            not is_guest or len(record.unserved) > _EXCUSED_ATTEMPTS
        ):
            return False
        own = sum(record.stacks[stack] for stack in {stack for one in known for stack in one.stacks})
        return record.evidence_us <= (_OTHER_STACK_EXCUSED_US if own * 2 < record.probes else _EXCUSED_US)

    def _home_of(self, address: str) -> list[Network]:
        return [network for network in self._host.home if parsed(address) in network]

    def _exempt(self, address: str, home: Sequence[Network]) -> Reason | None:
        if address in self._host.own or any(net.num_addresses == 1 for net in home):
            return "own_address"
        if within(address, self._never):
            return "ignore_list"
        reason = self._host.protected.get(address)
        if reason is None and (not is_unicast(address) or parsed(address).is_loopback):
            return "not_bannable"
        return reason


def _networks6(addresses: Iterable[str]) -> frozenset[str]:
    return frozenset(network_of(address) for address in addresses if ":" in address)
