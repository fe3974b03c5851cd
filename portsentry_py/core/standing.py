"""How well this host knows an address: the sessions that it had, and on how many days.

A forged packet leaves nothing here: a session acknowledges what we sent. Standing ages, and what it excuses is
bounded (see `Policy`).
"""

from collections.abc import Iterable
from typing import NamedTuple

from portsentry_py.core.host_state import network_of
from portsentry_py.core.lru_table import LruTable
from portsentry_py.core.sighting import Kind, Sighting
from portsentry_py.core.source_record import SourceRecord, StackFingerprint, stack_of

_DAY_US = 86_400_000_000
_MEMORY_DAYS = 30
MAX_DAYS = 8
# Sessions on so many days make a regular visitor; so many within a day make a guest.
_REGULAR_DAYS = 2
GUEST_SESSIONS = 5
# Connections that are opened and closed unused count as one session in this time.
_HEALTH_CHECK_US = 60_000_000
_MAX_STACKS = 4
_MAX_NETWORKS = 16_384
_new = tuple.__new__  # of a named tuple, in one call
_SESSION = Kind.SESSION
# Neighbours of one IPv6 network that are told apart. A network whose owner uses more of them knows us as well.
_MAX_NEIGHBOURS = 4


class Acquaintance(NamedTuple):
    """What is known of one address.

    Attributes:
        address: the address.
        days: the latest days (since 1970) with a session, oldest first.
        sessions_us: when the latest sessions were, in microseconds since 1970, oldest first.
        stacks: the stack fingerprints of its sessions.
    """

    address: str
    days: tuple[int, ...] = ()
    sessions_us: tuple[int, ...] = ()
    stacks: tuple[StackFingerprint, ...] = ()

    def is_regular(self, now_us: int) -> bool:
        """Whether it had sessions on several days of the last month."""
        oldest = now_us // _DAY_US - _MEMORY_DAYS
        return sum(day >= oldest for day in self.days) >= _REGULAR_DAYS

    def is_guest(self, now_us: int) -> bool:
        """Whether it had several sessions within a day."""
        return sum(abs(now_us - time_us) <= _DAY_US for time_us in self.sessions_us) >= GUEST_SESSIONS


class StandingTable:
    """What is known of addresses, bounded; nobody can push an entry out without sessions of its own."""

    def __init__(self) -> None:
        self._networks: LruTable[str, dict[str, Acquaintance]] = LruTable(_MAX_NETWORKS)

    def update(self, sighting: Sighting, record: SourceRecord) -> None:
        """Take a sighting of a proof or a session, after its source's record has it."""
        if sighting.direction != "inbound":
            return
        address, now_us = sighting.packet.src, sighting.time_us
        if sighting.kind is _SESSION:
            is_session = not record.trap_touches
        elif record.unserved:
            return
        else:
            # A source that opens and closes connections, and probes nothing else, is a health check.
            known = self.of(address)
            is_session = known is None or abs(now_us - known.sessions_us[-1]) >= _HEALTH_CHECK_US
        if is_session:
            self.note_session(address, stack_of(sighting), now_us)

    def note_session(self, address: str, stack: StackFingerprint, now_us: int) -> None:
        """The address used a connection."""
        key, day = _key(address), now_us // _DAY_US
        members = self._networks.touch(key)
        known = members.pop(address, None) if members else None
        if known is None or members is None:
            self._put(key, _new(Acquaintance, (address, (day,), (now_us,), (stack,))), members)
            return
        _, days, times_us, stacks = known
        if day not in days:
            days = (*days, day)[-MAX_DAYS:]
        if stack not in stacks:
            stacks = (*stacks, stack)[-_MAX_STACKS:]
        members[address] = Acquaintance(address, days, (*times_us, now_us)[-GUEST_SESSIONS:], stacks)

    def of(self, address: str) -> Acquaintance | None:
        """What is known of the address."""
        return self._members(address).get(address)

    def neighbours(self, address: str) -> list[Acquaintance]:
        """What is known of other addresses of the same IPv6 /64: mostly one owner's, but not always."""
        if ":" not in address:
            return []
        return [known for other, known in self._members(address).items() if other != address]

    def entries(self) -> list[Acquaintance]:
        """All that is known, the least recently used network first."""
        return [known for _, members in self._networks.items() for known in members.values()]

    def restore(self, entries: Iterable[Acquaintance]) -> None:
        """Take the entries of an earlier run, as `entries` gives them."""
        for known in entries:
            key = _key(known.address)
            self._put(key, known, self._networks.touch(key))

    def _members(self, address: str) -> dict[str, Acquaintance]:
        return self._networks.peek(_key(address)) or {}

    def _put(self, key: str, known: Acquaintance, members: dict[str, Acquaintance] | None) -> None:
        """Add what is known of an address to its network, if that is here."""
        if members is None:
            self._networks.put(key, {known.address: known})
            return
        members.pop(known.address, None)
        if len(members) >= _MAX_NEIGHBOURS:
            del members[next(iter(members))]
        members[known.address] = known


def _key(address: str) -> str:
    return network_of(address) if ":" in address else address
