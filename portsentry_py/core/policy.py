"""Who may be banned: the only place that decides. The line has it as `verdict` and `reason`."""

from collections.abc import Callable

from portsentry_py.config.settings import Network, Networks
from portsentry_py.core.finding import Finding
from portsentry_py.core.host_state import HostState, is_unicast, parsed, within
from portsentry_py.core.source_record import SourceRecord
from portsentry_py.events.model import Reason, Verdict

# A scanner uses a connection or two; a source that used more is a visitor whose address can be forged.
_FRIEND_SESSIONS = 5
# One proof may be a visitor's own health check during a forged scan; proofs at two ports are the scan's own.
_FRIEND_PROOFS = 2


class Policy:
    """Gives a finding its verdict.

    Args:
        ignore: networks that must never be banned.
        server: the kind of server that an address is, if it answered our queries for names, time or a lease.
    """

    def __init__(self, ignore: Networks, server: Callable[[str], Reason | None]) -> None:
        self._ignore = ignore
        self._server = server
        self._host = HostState()

    def set_host(self, host: HostState) -> None:
        """Take the host's addresses as they are now."""
        self._host = host

    def verdict(self, finding: Finding) -> tuple[Verdict, Reason]:
        """The verdict, and the rule that gave it."""
        source = finding.record.source
        if finding.record.direction == "outbound":
            return "watch", "outbound"
        exempt = self._exempt(source)
        if exempt is not None:
            return "ignore", exempt
        if self._home_of(source):
            return "watch", "home_network"
        if source.startswith("::ffff:"):
            # On the wire such a source is forged, and fail2ban would ban the embedded IPv4 address.
            return "watch", "mapped_source"
        doubt = self._doubt(finding.record)
        if doubt is not None:
            return "watch", doubt
        if not finding.bannable:
            return "watch", finding.reason
        return "ban", finding.reason

    def _doubt(self, record: SourceRecord) -> Reason | None:
        """Why the source may be innocent, and somebody else want it banned."""
        friend = record.sessions >= _FRIEND_SESSIONS or record.source in self._host.peers
        if friend and not (record.verified and len(record.proofs) >= _FRIEND_PROOFS):
            return "friend"
        if record.verified:
            return None
        if record.tunnelled:
            # Anybody can put any source inside a tunnel, even from a network that filters forged sources.
            return "tunnelled"
        if record.has_twin:
            return "decoy_source"
        return None

    def _home_of(self, source: str) -> list[Network]:
        return [network for network in self._host.home if parsed(source) in network]

    def _exempt(self, source: str) -> Reason | None:
        if source in self._host.own or any(net.num_addresses == 1 for net in self._home_of(source)):
            return "own_address"
        if within(source, self._ignore):
            return "ignore_list"
        reason = self._host.protected.get(source) or self._server(source)
        if reason is not None:
            return reason
        address = parsed(source)
        if not is_unicast(source) or address.is_loopback or address.is_link_local:
            return "not_bannable"
        return None
