"""The bans of the drill's sources: which there are, and how they go."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import ip_network

from portsentry_py.checks.drill.addresses import is_for_documentation, network_of
from portsentry_py.checks.drill.row import Row
from portsentry_py.config.allowlist import overlap
from portsentry_py.config.settings import Network
from portsentry_py.fail2ban.client import Fail2banClient
from portsentry_py.fail2ban.jails import is_ours, jail_names
from portsentry_py.fail2ban.unban import JailEntry, bans_of, lift

PAUSE_SECONDS = 0.2


class SourceBans:
    """The bans of some sources, in any jail.

    A wider ban, which holds addresses of others too, is the operator's.

    Args:
        client: fail2ban.
        sources: addresses for documentation.
    """

    def __init__(self, client: Fail2banClient, sources: Iterable[str]) -> None:
        self._client = client
        self.networks = [network_of(source) for source in sources]
        self._lifted: set[Network] = set()

    def held(self) -> list[JailEntry]:
        """Those of this moment.

        Raises:
            Fail2banError, PermissionDenied: fail2ban is not installed, or does not answer.
        """
        entries = bans_of(self._client, self.networks) if self.networks else ()
        return [entry for entry in entries if is_for_documentation(entry.address)]

    def by_row(self, rows: Sequence[Row]) -> Iterator[tuple[Row, JailEntry]]:
        """Each row whose source is banned, and its ban.

        Raises:
            Fail2banError, PermissionDenied: as `held`.
        """
        for entry in self.held():
            yield from ((row, entry) for row in rows if overlap(row.network, ip_network(entry.address)))

    def lift(self) -> list[JailEntry]:
        """Lift them; those that were lifted.

        Raises:
            Fail2banError, PermissionDenied: as `held`, or it refuses.
        """
        held = self.held()
        lift(self._client, held)
        self._lifted.update(ip_network(entry.address) for entry in held)
        return held

    def can_come(self) -> bool:
        """Whether a jail of ours runs, so that a line can still become a ban.

        Raises:
            Fail2banError, PermissionDenied: as `held`.
        """
        return any(map(is_ours, jail_names(self._client.ask)))

    def was_lifted(self, row: Row) -> bool:
        """Whether a ban of the source was lifted."""
        return any(overlap(row.network, network) for network in self._lifted)

    def lift_until(self, is_over: Callable[[], bool]) -> None:
        """Lift those too that come late: until it is over, and no ban is held.

        Raises:
            Fail2banError, PermissionDenied: as `lift`.
        """
        while self.lift() or not is_over():
            time.sleep(PAUSE_SECONDS)
