"""How many hosts each source asked in vain: this hour and the one before, bounded in sources and in hosts."""

from dataclasses import dataclass

from portsentry_py.fleet.contacts import HOUR_US
from portsentry_py.fleet.messages import Contact

_MOST_SOURCES = 65_536

Witness = tuple[str, str]
"""A host, and its network. All entries share the one object of a host."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What hosts reported of a source.

    Attributes:
        contact: the latest of them that has the address, if one has it.
        proven: the source proved its address to a trusted host.
        witnesses: different hosts, at most as many as it takes.
    """

    contact: Contact
    proven: bool = False
    witnesses: tuple[Witness, ...] = ()

    @property
    def networks(self) -> int:
        """The different networks of the hosts."""
        return len({network for _, network in self.witnesses})


class _Hour:
    """The sources of one hour; the first of those that one host alone reported goes when there are too many."""

    def __init__(self) -> None:
        self.once: dict[str, Seen] = {}
        self.often: dict[str, Seen] = {}

    def get(self, source: str) -> Seen | None:
        return self.often.get(source) or self.once.get(source)

    def put(self, source: str, seen: Seen) -> None:
        if len(seen.witnesses) > 1 or seen.proven:
            self.once.pop(source, None)
            self.often[source] = seen
        else:
            self.once[source] = seen

    def shrink(self) -> None:
        least = self.once or self.often
        del least[next(iter(least))]

    def __len__(self) -> int:
        return len(self.once) + len(self.often)


class ContactTable:
    """The sources of two hours.

    Args:
        enough: hosts that are kept of a source.
        most: sources that are kept of an hour.
    """

    def __init__(self, enough: int, most: int = _MOST_SOURCES) -> None:
        self._enough = enough
        self._most = most
        self._hour = 0
        self._now, self._before = _Hour(), _Hour()
        self.evicted = 0

    def add(self, source: str, witness: Witness, contact: Contact, now_us: int, *, proven: bool) -> Seen:
        """Add a contact; what is known of the source now, in both hours together."""
        self._turn(now_us // HOUR_US)
        found = self._joined(self._now.get(source) or Seen(contact), Seen(contact, proven, (witness,)))
        self._now.put(source, found)
        if len(self._now) > self._most:
            self._now.shrink()
            self.evicted += 1
        before = self._before.get(source)
        return self._joined(before, found) if before else found

    def of_this_hour(self, source: str) -> Seen | None:
        """What hosts reported of a source in this hour alone."""
        return self._now.get(source)

    def forget(self, hosts: set[str]) -> None:
        """Forget what hosts reported that are in the fleet no longer."""
        for hour in (self._now, self._before):
            for sources in (hour.once, hour.often):
                for source, seen in [*sources.items()]:
                    left = tuple(one for one in seen.witnesses if one[0] not in hosts)
                    if len(left) < len(seen.witnesses):
                        del sources[source]
                        if left:
                            hour.put(source, Seen(seen.contact, False, left))

    def _turn(self, hour: int) -> None:
        if hour > self._hour:
            self._before = self._now if hour == self._hour + 1 else _Hour()
            self._now, self._hour = _Hour(), hour

    def _joined(self, one: Seen, other: Seen) -> Seen:
        witnesses = one.witnesses
        for witness in other.witnesses:
            witnesses = self._with(witnesses, witness)
        named = one.contact if other.contact.is_hash else other.contact
        return Seen(named, one.proven or other.proven, witnesses)

    def _with(self, witnesses: tuple[Witness, ...], witness: Witness) -> tuple[Witness, ...]:
        if witness in witnesses:
            return witnesses
        if len(witnesses) < self._enough:
            return (*witnesses, witness)
        networks = [network for _, network in witnesses]
        if witness[1] in networks:
            return witnesses
        # Another network is worth more than another host of the same one.
        for place, network in enumerate(networks):
            if networks.count(network) > 1:
                return (*witnesses[:place], *witnesses[place + 1 :], witness)
        return witnesses

    def __len__(self) -> int:
        return len(self._now) + len(self._before)
