"""Which sources asked this host in vain, and of which of them the others hear: pure, the caller brings the time.

In a forged flood, each source that no other host reported has the same chance. Those that had no room are counted.
"""

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from portsentry_py.events.model import ConnectionEvent, Event, EvidenceEvent, time_us
from portsentry_py.fleet.messages import MOST_CONTACTS, Contact, SeenMessage
from portsentry_py.fleet.reporter import Bucket
from portsentry_py.fleet.source_hash import hashed

HOUR_US = 3_600_000_000
_FRESH_US = 120_000_000
_MOST_SOURCES = 20_000
_VAIN = frozenset({"refused", "unanswered"})
# What one host reads of all others: 50 contacts in 25 messages a second at most.
_CONTACTS_PER_MINUTE, _MESSAGE_US = 3000, 40_000
_MOST_PER_MINUTE, _BURST_MINUTES = 60, 10
_LEAST_PAUSE_US = 5_000_000
_CHANCE = 1 << 30


def contact_of(event: Event, now_us: int) -> Contact | None:
    """The contact that a line of the log reports, or None: served ports, old lines, verdicts with a doubt."""
    if not isinstance(event, ConnectionEvent | EvidenceEvent) or event.direction != "inbound":
        return None
    is_in_vain = event.outcome in _VAIN if isinstance(event, ConnectionEvent) else event.verdict == "ban"
    if not is_in_vain or abs(now_us - time_us(event.timestamp)) > _FRESH_US:
        return None
    values = event.src_ip, event.dest_port, event.scan_type, event.source_verified
    try:
        return msgspec.convert(values, Contact)
    except msgspec.ValidationError:  # an IPv4-mapped address, or a word of a newer sensor
        return None


def contacts_per_minute(hosts: int) -> float:
    """The share of one host in what each host of a fleet of this size reads."""
    return min(_MOST_PER_MINUTE, _CONTACTS_PER_MINUTE / max(hosts, 1))


def contact_bucket(hosts: int, times: int = 1) -> Bucket:
    """The rate limit of the contacts of one host, or a multiple of it."""
    rate = times * contacts_per_minute(hosts)
    return Bucket(max(1, rate * _BURST_MINUTES), rate)


class Contacts:
    """The first contact of each source in an hour, until it is sent.

    Args:
        key: of the fleet, to hide the addresses; empty to publish them.
        draw: a random number below its argument.
    """

    def __init__(self, key: bytes, draw: Callable[[int], int]) -> None:
        self._key = key
        self._draw = draw
        self._hosts = 0
        self._bucket = contact_bucket(1)
        self._hour = 0
        self._known: dict[str, bool] = {}
        # Nobody can forge a proof: those who have one go first.
        self._proven: list[Contact] = []
        self._waiting: list[Contact] = []
        self._offered = 0
        self._left_out = 0
        self._issued_us = 0

    def take(self, contact: Contact, now_us: int) -> None:
        """Take a contact; the second of a source in an hour is no news, unless it has a proof."""
        # What is forgotten too soon is sent twice, and counted once.
        if now_us // HOUR_US != self._hour or len(self._known) >= _MOST_SOURCES:
            self._hour = now_us // HOUR_US
            self._known.clear()
        before = self._known.get(contact.source)
        if before is not None and before >= contact.verified:
            return
        self._known[contact.source] = contact.verified
        self._sample(contact)

    def _sample(self, contact: Contact) -> None:
        if contact.verified and len(self._proven) < MOST_CONTACTS:
            self._proven.append(contact)
            return
        self._offered += 1
        if len(self._waiting) < MOST_CONTACTS:
            self._waiting.append(contact)
            return
        self._left_out += 1
        place = self._draw(self._offered)
        if place < MOST_CONTACTS:
            self._waiting[place] = contact

    def batch(self, now_us: int, hosts: int, rank: Callable[[Contact], int | None]) -> SeenMessage | None:
        """The message that is due, or None.

        Args:
            now_us: the time of day, in microseconds since 1970.
            hosts: the size of the fleet: the larger it is, the fewer each host has to report.
            rank: how many other hosts reported the source, who goes first then; None if they are enough.
        """
        passed_us = now_us - self._issued_us
        if not (self._proven or self._waiting) or 0 <= passed_us < max(_LEAST_PAUSE_US, hosts * _MESSAGE_US):
            return None
        if hosts != self._hosts:
            self._hosts, self._bucket = hosts, contact_bucket(hosts)
        found = self._chosen(now_us, rank)
        if not found:
            return None
        left_out, self._left_out = self._left_out, 0
        self._issued_us = max(now_us, self._issued_us + 1)
        return SeenMessage(1, self._issued_us, left_out, tuple(map(self._hidden, found)))

    def _chosen(self, now_us: int, rank: Callable[[Contact], int | None]) -> list[Contact]:
        """Take those that have room: half are proofs and those that many others reported, and half are chance."""
        ranked = [
            ((one.verified, place, self._draw(_CHANCE)), one)
            for one in (*self._proven, *self._waiting)
            if (place := rank(one)) is not None
        ]
        ranked.sort(key=lambda pair: pair[0], reverse=True)
        count = 0
        while count < min(len(ranked), MOST_CONTACTS) and self._bucket.take(now_us):
            count += 1
        half = (count + 1) // 2
        ranked[half:] = sorted(ranked[half:], key=lambda pair: pair[0][2])
        rest = [one for _, one in ranked[count:]]
        self._proven = [one for one in rest if one.verified]
        self._waiting = [one for one in rest if not one.verified]
        self._offered = len(self._waiting)
        return [one for _, one in ranked[:count]]

    def _hidden(self, contact: Contact) -> Contact:
        return replace(contact, address=hashed(self._key, contact.source)) if self._key else contact
