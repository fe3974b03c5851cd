"""The bans of the drill's sources: which there are, and how they go."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from ipaddress import ip_network

from portsentry_py.checks.drill.addresses import is_for_documentation, network_of
from portsentry_py.checks.drill.row import Row
from portsentry_py.config.allowlist import overlap
from portsentry_py.config.settings import Network
from portsentry_py.fail2ban.client import Fail2banClient
from portsentry_py.fail2ban.jails import is_ours, jail_names
from portsentry_py.fail2ban.unban import JailEntry, bans_of, lift

PAUSE_SECONDS = 0.2
CARRIED_OUT_SECONDS = 3.0


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

    def lift(self, entries: Collection[JailEntry] | None = None) -> None:
        """Lift these, or those of this moment.

        Raises:
            Fail2banError, PermissionDenied: as `held`, or it refuses.
        """
        entries = self.held() if entries is None else entries
        lift(self._client, entries)
        self._lifted.update(ip_network(entry.address) for entry in entries)

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

        fail2ban lists a ban before it has carried it out; one that is lifted meanwhile leaves its rule in the kernel.

        Raises:
            Fail2banError, PermissionDenied: as `lift`.
        """
        since: dict[JailEntry, float] = {}
        while True:
            ends, held, now = is_over(), self.held(), time.monotonic()
            if ends and not held:
                return
            since = {entry: since.get(entry, now) for entry in held}
            self.lift([entry for entry, seen in since.items() if now - seen >= CARRIED_OUT_SECONDS])
            time.sleep(PAUSE_SECONDS)
