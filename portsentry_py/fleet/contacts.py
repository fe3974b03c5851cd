"""Which sources asked this host in vain, and of which of them the others hear: pure, the caller brings the time.

A forged flood is sampled: each source has the same chance, and those that had no room are counted.
"""

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from portsentry_py.events.model import ConnectionEvent, Event, EvidenceEvent
from portsentry_py.fleet.messages import MOST_CONTACTS, Contact, SeenMessage
from portsentry_py.fleet.own_bans import time_us
from portsentry_py.fleet.reporter import Bucket
from portsentry_py.fleet.source_hash import hashed

HOUR_US = 3_600_000_000
_FRESH_US = 120_000_000
_MOST_SOURCES = 20_000
_VAIN = frozenset({"refused", "unanswered"})
# What one host reads of all others: a hundred contacts, and fifty messages, a second at most.
_CONTACTS_PER_MINUTE, _MESSAGE_US = 6000, 20_000
_MOST_PER_MINUTE, _BURST_MINUTES = 60, 10
_LEAST_PAUSE_US = 5_000_000


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


def contacts_per_minute(hosts: int) -> int:
    """The share of one host in what each host of a fleet of this size reads."""
    return max(1, min(_MOST_PER_MINUTE, _CONTACTS_PER_MINUTE // max(hosts, 1)))


def contact_bucket(hosts: int, times: int = 1) -> Bucket:
    """The rate limit of the contacts of one host, or a multiple of it."""
    rate = times * contacts_per_minute(hosts)
    return Bucket(rate * _BURST_MINUTES, rate)


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

    def batch(self, now_us: int, hosts: int, is_known: Callable[[Contact], bool]) -> SeenMessage | None:
        """The message that is due, or None.

        Args:
            now_us: the time of day, in microseconds since 1970.
            hosts: the size of the fleet: the larger it is, the fewer each host has to report.
            is_known: whether enough hosts reported the source in this hour.
        """
        passed_us = now_us - self._issued_us
        if not (self._proven or self._waiting) or 0 <= passed_us < max(_LEAST_PAUSE_US, hosts * _MESSAGE_US):
            return None
        if hosts != self._hosts:
            self._hosts, self._bucket = hosts, contact_bucket(hosts)
        found: list[Contact] = []
        while (self._proven or self._waiting) and len(found) < MOST_CONTACTS:
            waiting = self._proven or self._waiting
            place = self._draw(len(waiting))
            if not is_known(waiting[place]):
                if not self._bucket.take(now_us):
                    break
                found.append(self._hidden(waiting[place]))
            waiting[place] = waiting[-1]
            waiting.pop()
        self._offered = len(self._waiting)
        if not found:
            return None
        left_out, self._left_out = self._left_out, 0
        self._issued_us = max(now_us, self._issued_us + 1)
        return SeenMessage(1, self._issued_us, left_out, tuple(found))

    def _hidden(self, contact: Contact) -> Contact:
        return replace(contact, address=hashed(self._key, contact.source)) if self._key else contact
