"""Whom this host never bans, whatever others say."""

from collections.abc import Iterable
from ipaddress import IPv6Network, ip_network

from portsentry_py.config.settings import Network
from portsentry_py.events.model import Reason
from portsentry_py.fleet.messages import network64


class Protection:
    """Addresses and networks, each with the reason.

    Args:
        protected: pairs of a network, or an address without a prefix, and a reason; the first of several counts.
    """

    def __init__(self, protected: Iterable[tuple[Network | str, Reason]] = ()) -> None:
        self._single: dict[str, Reason] = {}
        self._wide: list[tuple[Network, Reason]] = []
        for one, reason in protected:
            network = ip_network(one)
            if network.num_addresses > 1:
                self._wide.append((network, reason))
                continue
            address = str(network.network_address)
            self._single.setdefault(address, reason)
            if isinstance(network, IPv6Network):
                self._single.setdefault(network64(address), reason)

    def reason(self, source: str) -> Reason | None:
        """Why a source, an address or an IPv6 /64, must not be banned; None if it may be."""
        found = self._single.get(source)
        if found is None and self._wide:
            network = ip_network(source)
            for one, reason in self._wide:
                if one.version == network.version and one.overlaps(network):
                    return reason
        return found
