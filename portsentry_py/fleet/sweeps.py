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
# What is only watched costs a line: of scanners of the whole internet a large fleet meets many.
_WATCHED_TIMES = 10
# Half of a quota is for sources that met this many times `sweep_hosts`: a wide sweep comes through where the noise of
# the internet uses up the other half.
_WIDE_TIMES = 4


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
        self._wide = _WIDE_TIMES * settings.sweep_hosts
        self.table = ContactTable(self._wide)
        self._bans = {True: True, False: settings.sweep_unverified == "ban"}
        self._times = {proven: 1 if bans else _WATCHED_TIMES for proven, bans in self._bans.items()}
        self._quotas = {proven: quota_bucket(settings, times) for proven, times in self._times.items()}
        self.active: dict[str, Change] = {}
        """By source, until the ban is over; what is only watched has a line again after `max_ban_seconds`."""

    def add(self, witness: Witness, contact: Contact, now_us: int, *, trusts: bool) -> Change | None:
        """Add what a host reports; what becomes a line, if anything."""
        seen = self.table.add(self._id(contact), witness, contact, now_us, proven=trusts and contact.verified)
        is_enough = seen.proven or seen.networks >= self._settings.min_reporters
        # Of a hash, only a host that meets the source itself learns who it is.
        if len(seen.witnesses) < self._settings.sweep_hosts or not is_enough or seen.contact.is_hash:
            return None
        return self._judge(seen, now_us)

    def rank(self, contact: Contact, host: str) -> int | None:
        """How many hosts besides this one reported the source in this hour; None if they are enough.

        One that the quota mutes needs more of them.
        """
        seen = self.table.of_this_hour(self._id(contact))
        if seen is None:
            return 0
        others = sum(name != host for name, _ in seen.witnesses)
        if others < self._settings.sweep_hosts:
            return others
        if contact.verified > seen.proven or seen.networks < self._settings.min_reporters:
            return others
        is_found = seen.contact.is_hash or seen.contact.source in self.active
        return None if is_found or others >= self._wide else others

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
        contact, bans = seen.contact, self._bans[seen.proven]
        longest = self._settings.max_ban_seconds
        until_us = now_us + (min(self._settings.ban_seconds, longest) if bans else longest) * _SECOND_US
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
        self.active[ban.source] = Change(True, ban, hosts, until_us, contact.port, not bans)
        return self.active[ban.source]

    def _spent(self, seen: Seen, now_us: int) -> Refusal | None:
        """The quota that has no room: those with a proof and those without have one each."""
        quota, most = self._quotas[seen.proven], self._settings.max_active * self._times[seen.proven]
        is_wide = seen.proven or len(seen.witnesses) >= self._wide
        if not is_wide and quota.at(now_us) <= quota.most / 2:
            return "quota_new"
        active = sum(change.ban.verified == seen.proven for change in self.active.values())
        if active >= (most if is_wide else most / 2):
            return "quota_active"
        return None if quota.take(now_us) else "quota_new"
