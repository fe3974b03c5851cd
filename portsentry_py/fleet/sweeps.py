"""Who looks around in the whole fleet: a source that asks many hosts in vain, each of them for little."""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from portsentry_py.config.settings import Fleet
from portsentry_py.events.model import Reason
from portsentry_py.fleet.change import Change
from portsentry_py.fleet.contact_table import ContactTable, Seen, Witness
from portsentry_py.fleet.messages import Ban, Contact
from portsentry_py.fleet.refusals import FLEET, Refusal, Refusals
from portsentry_py.fleet.reporter import quota_bucket
from portsentry_py.fleet.source_hash import hashed

_SECOND_US = 1_000_000


class Sweeps:
    """Counts the hosts that a source asked in vain, and says when they are enough.

    A source without a proof can be forged, at the cost of one packet for each host. So it is only watched, unless
    the settings say otherwise, and it never uses the quota of those that have a proof.

    Args:
        settings: the section `fleet`.
        key: of the fleet, by which hashes become comparable with addresses; empty if there is none.
        why_not: why a ban must not be, or None.
        refusals: where a ban that must not be is counted.
    """

    def __init__(
        self, settings: Fleet, key: bytes, why_not: Callable[[Ban], Reason | Refusal | None], refusals: Refusals
    ) -> None:
        self._settings = settings
        self._key = key
        self._why_not = why_not
        self._refusals = refusals
        self.table = ContactTable(settings.sweep_hosts)
        self._quotas = {proven: quota_bucket(settings) for proven in (False, True)}
        self.active: dict[str, Change] = {}
        """By source, until the ban is over."""

    def add(self, witness: Witness, contact: Contact, now_us: int, *, trusts: bool) -> Change | None:
        """Add what a host reports; what becomes a line, if anything."""
        seen = self.table.add(self._id(contact), witness, contact, now_us, proven=trusts and contact.verified)
        is_enough = seen.proven or seen.networks >= self._settings.min_reporters
        # Of a hash, only a host that meets the source itself learns who it is.
        if len(seen.witnesses) < self._settings.sweep_hosts or not is_enough or seen.contact.is_hash:
            return None
        return self._judge(seen, now_us)

    def has_enough(self, contact: Contact, host: str) -> bool:
        """Whether enough hosts besides this one reported the source in this hour."""
        seen = self.table.of_this_hour(self._id(contact))
        if seen is None or contact.verified > seen.proven or seen.networks < self._settings.min_reporters:
            return False
        return sum(name != host for name, _ in seen.witnesses) >= self._settings.sweep_hosts

    def tick(self, now_us: int) -> None:
        """Forget what is over."""
        self.active = {source: change for source, change in self.active.items() if change.until_us > now_us}

    def recheck(self, gone: set[str]) -> list[Change]:
        """Judge again, without the hosts that are in the fleet no longer; the bans that end."""
        self.table.forget(gone)
        ended = [
            source
            for source, change in self.active.items()
            if self._why_not(change.ban) is not None or not gone.isdisjoint(change.hosts)
        ]
        changes = [self.active.pop(source) for source in ended]
        return [replace(change, bans=False) for change in changes if not change.is_doubtful]

    def _id(self, contact: Contact) -> str:
        return hashed(self._key, contact.source) if self._key and not contact.is_hash else contact.source

    def _judge(self, seen: Seen, now_us: int) -> Change | None:
        contact = seen.contact
        until_us = now_us + min(self._settings.ban_seconds, self._settings.max_ban_seconds) * _SECOND_US
        prefix: Literal[32, 64] = 64 if ":" in contact.address else 32
        ban = Ban(contact.address, prefix, seen.proven, "sweep", contact.scan_type, until_us)
        before = self.active.get(ban.source)
        if before is not None and before.until_us > now_us and before.ban.verified >= seen.proven:
            return None
        why = self._why_not(ban) or self._spent(seen, now_us)
        if why is not None:
            self._refusals.add(FLEET, why, now_us, ban.source)
            return None
        hosts = tuple(sorted(host for host, _ in seen.witnesses))
        is_doubtful = not seen.proven and self._settings.sweep_unverified == "watch"
        self.active[ban.source] = Change(True, ban, hosts, until_us, contact.port, is_doubtful)
        return self.active[ban.source]

    def _spent(self, seen: Seen, now_us: int) -> Refusal | None:
        """The quota that has no room: those with a proof and those without have one each."""
        if not self._quotas[seen.proven].take(now_us):
            return "quota_new"
        active = sum(change.ban.verified == seen.proven for change in self.active.values())
        return "quota_active" if active >= self._settings.max_active else None
