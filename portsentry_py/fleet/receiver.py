"""What this host believes of what others ban: pure, the caller brings the time."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from portsentry_py.config.settings import Fleet
from portsentry_py.events.model import Reason
from portsentry_py.fleet.change import Change
from portsentry_py.fleet.contact_table import Witness
from portsentry_py.fleet.contacts import contact_bucket
from portsentry_py.fleet.messages import Ban, BanMessage, Contact, SeenMessage, StateMessage, is_public, read
from portsentry_py.fleet.protection import Protection
from portsentry_py.fleet.refusals import UNKNOWN, Refusal, Refusals
from portsentry_py.fleet.reporter import Report, Reporter, new_reporter
from portsentry_py.fleet.roster import Roster
from portsentry_py.fleet.sweeps import Sweeps

TOLERANCE_US = 120_000_000
_MOST_SOURCES = 100_000
_SECOND_US = 1_000_000

Kind = Literal["ban", "state", "seen"]


@dataclass(slots=True)
class Accepted:
    """A source that is banned here; `written_us` is the time of its latest line."""

    change: Change
    written_us: int


class Receiver:
    """Judges what other hosts report.

    Args:
        settings: the section `fleet`.
        name: this host, whose own messages come back.
        key: of the fleet, for hashes of sources; empty if there is none.
    """

    def __init__(self, settings: Fleet, name: str, key: bytes = b"") -> None:
        self._settings = settings
        self._name = name
        self._trusted = frozenset(settings.trusted)
        self._protection = Protection()
        self._fleet_protection = Protection()
        self.roster = Roster()
        self.reporters: dict[str, Reporter] = {}
        self.refusals = Refusals()
        self.accepted: dict[str, Accepted] = {}
        self._hosts: dict[str, set[str]] = {}
        self._witnesses: dict[str, Witness] = {}
        self.sweeps = Sweeps(settings, key, self._why_not, self.refusals)

    def set_roster(self, roster: Roster, now_us: int) -> list[Change]:
        """Take a roster that the operator signed; what hosts reported that are gone goes with them."""
        self.roster = roster
        never = [*roster.allow, *roster.hosts.values()]
        self._fleet_protection = Protection((network, "ignore_list") for network in never)
        gone = self.reporters.keys() - roster.hosts.keys()
        for name in gone:
            for source in self.reporters.pop(name).reports:
                self._forget(name, source)
        for reporter in self.reporters.values():
            reporter.contacts = None
        self._witnesses = {name: (name, str(roster.network_of(name))) for name in roster.hosts}
        return [*self.recheck(now_us), *self.sweeps.recheck(gone)]

    def set_protection(self, protection: Protection, now_us: int) -> list[Change]:
        """Take whom this host never bans, as it is now."""
        self._protection = protection
        return [*self.recheck(now_us), *self.sweeps.recheck(set())]

    def take(self, kind: Kind, name: str, payload: bytes, now_us: int, *, replay: bool = False) -> list[Change]:
        """Take a message; hostile ones are counted.

        Args:
            kind: `ban` for a live message, `state` for the list of a host, `seen` for its contacts.
            name: the host, as the broker enforced it in the subject.
            payload: the message.
            now_us: the time of day, in microseconds since 1970.
            replay: the broker kept the message while this host was away.
        """
        if name == self._name:
            return []
        if name not in self.roster.hosts:
            self.refusals.add(UNKNOWN, "unknown_host", now_us)
            return []
        reporter = self.reporters.setdefault(name, new_reporter(self._settings))
        if not reporter.messages.take(now_us):
            self.refusals.add(name, "flood", now_us)
            return []
        try:
            if kind == "ban":
                return self._take_ban(name, reporter, payload, now_us)
            if kind == "seen":
                return self._take_seen(name, reporter, payload, now_us)
            return self._take_state(name, reporter, payload, now_us, replay=replay)
        except ValueError as error:
            self.refusals.add(name, "too_large" if str(error) == "too_large" else "malformed", now_us)
            return []

    def tick(self, now_us: int) -> list[Change]:
        """End what is over, and say again what goes on: the jail of this host has forgotten it by now."""
        for name, reporter in self.reporters.items():
            for source in [source for source, report in reporter.reports.items() if report.until_us <= now_us]:
                del reporter.reports[source]
                self._forget(name, source)
        self.sweeps.tick(now_us)
        return self._judge_all([*self.accepted], now_us)

    def counts(self, contact: Contact) -> bool:
        """Whether a contact of this host itself is counted, and published: not of a source that nobody may ban."""
        return self._settings.sweep_hosts > 0 and self._why_not(contact) is None

    def take_own(self, contact: Contact, now_us: int) -> list[Change]:
        """Take a contact of this host itself."""
        return self._count(self._name, contact, now_us)

    def rank(self, contact: Contact) -> int | None:
        """How many other hosts reported a source that this host met; None if they learn nothing by one more."""
        return self.sweeps.rank(contact, self._name)

    def recheck(self, now_us: int) -> list[Change]:
        """Judge everything again."""
        return self._judge_all({*self._hosts, *self.accepted}, now_us)

    def _take_ban(self, name: str, reporter: Reporter, payload: bytes, now_us: int) -> list[Change]:
        message = read(BanMessage, payload)
        if not self._is_timely(name, reporter, message.issued_us, now_us):
            return []
        if message.issued_us <= max(reporter.ban_us, reporter.state_us):
            self.refusals.add(name, "replayed", now_us, message.ban.source)
            return []
        if message.issued_us < now_us - TOLERANCE_US:
            self.refusals.add(name, "old", now_us, message.ban.source)
            return []
        reporter.ban_us = message.issued_us
        self._note(name, reporter, message.ban, message.issued_us, now_us, replay=False)
        return self._judge_all([message.ban.source], now_us)

    def _take_state(self, name: str, reporter: Reporter, payload: bytes, now_us: int, *, replay: bool) -> list[Change]:
        message = read(StateMessage, payload)
        if not self._is_timely(name, reporter, message.issued_us, now_us, is_live=not replay):
            return []
        if message.issued_us <= reporter.state_us:
            if not replay:  # what the broker kept may well be what was heard before
                self.refusals.add(name, "replayed", now_us)
            return []
        reporter.state_us = message.issued_us
        listed = {ban.source: ban for ban in message.bans}
        gone = [
            source
            for source, report in reporter.reports.items()
            if source not in listed and report.issued_us <= message.issued_us
        ]
        for source in gone:
            del reporter.reports[source]
            self._forget(name, source)
        for ban in listed.values():
            self._note(name, reporter, ban, message.issued_us, now_us, replay=replay)
        return self._judge_all([*gone, *listed], now_us)

    def _take_seen(self, name: str, reporter: Reporter, payload: bytes, now_us: int) -> list[Change]:
        if not self._settings.sweep_hosts:
            return []
        message = read(SeenMessage, payload)
        if not self._is_timely(name, reporter, message.issued_us, now_us):
            return []
        if message.issued_us <= reporter.seen_us:
            self.refusals.add(name, "replayed", now_us)
            return []
        if message.issued_us < now_us - TOLERANCE_US:
            self.refusals.add(name, "old", now_us)
            return []
        reporter.seen_us = message.issued_us
        reporter.left_out += message.left_out
        # Twice what it sends: a clock that was set, or a roster that came late, mutes nobody.
        reporter.contacts = reporter.contacts or contact_bucket(len(self.roster.hosts), times=2)
        changes = []
        for contact in message.contacts:
            if not reporter.contacts.take(now_us):
                self.refusals.add(name, "contacts", now_us)
                break
            changes += self._count(name, contact, now_us)
        return changes

    def _count(self, name: str, contact: Contact, now_us: int) -> list[Change]:
        witness = self._witnesses.get(name)
        change = witness and self.sweeps.add(witness, contact, now_us, trusts=name == self._name or self.trusts(name))
        return [change] if change else []

    def _is_timely(self, name: str, reporter: Reporter, issued_us: int, now_us: int, *, is_live: bool = True) -> bool:
        if is_live:
            reporter.hear(issued_us, now_us)
        if issued_us > now_us + TOLERANCE_US:
            self.refusals.add(name, "future", now_us)
            return False
        return True

    def _note(self, name: str, reporter: Reporter, ban: Ban, issued_us: int, now_us: int, *, replay: bool) -> None:
        """Remember a report, unless something forbids it."""
        source, most_us = ban.source, issued_us + self._settings.max_ban_seconds * _SECOND_US
        until_us = min(ban.until_us, most_us)
        why = self._why_not(ban)
        if why is not None:
            self.refusals.add(name, why, now_us, source)
        elif until_us <= now_us:
            self.refusals.add(name, "expired", now_us, source)
        elif not reporter.admits(source, now_us, replay=replay):
            is_full = len(reporter.reports) >= reporter.most
            self.refusals.add(name, "quota_active" if is_full else "quota_new", now_us, source)
        elif source not in self._hosts and len(self._hosts) >= _MOST_SOURCES:
            self.refusals.add(name, "full", now_us, source)
        else:
            if ban.until_us > most_us:
                self.refusals.add(name, "capped", now_us, source)
            reporter.reports[source] = Report(ban, issued_us, until_us)
            self._hosts.setdefault(source, set()).add(name)

    def _why_not(self, found: Ban | Contact) -> Reason | Refusal | None:
        """Why a source must not be banned here, the same for every host that asks for it."""
        why = self._protection.reason(found.source)
        if why is not None:
            return why
        if self._fleet_protection.reason(found.source) is not None:
            return "fleet_allowlist"
        return None if is_public(found.address, self._settings.site) else "not_public"

    def _forget(self, name: str, source: str) -> None:
        hosts = self._hosts.get(source)
        if hosts is not None:
            hosts.discard(name)
            if not hosts:
                del self._hosts[source]

    def _judge_all(self, sources: Iterable[str], now_us: int) -> list[Change]:
        return [change for source in sources if (change := self._judge(source, now_us)) is not None]

    def _judge(self, source: str, now_us: int) -> Change | None:
        """What changes for a source, if anything."""
        found, before = self._verdict(source, now_us), self.accepted.get(source)
        if found is None:
            if before is None:
                return None
            del self.accepted[source]
            change = before.change
            is_early = change.until_us > now_us
            return Change(False, change.ban, change.hosts, change.until_us) if is_early else None
        if before is not None and now_us - before.written_us < self._settings.ban_seconds * _SECOND_US:
            before.change = found
            return None
        self.accepted[source] = Accepted(found, now_us)
        return found

    def _verdict(self, source: str, now_us: int) -> Change | None:
        """The ban of a source that enough hosts ask for."""
        if self._protection.reason(source) is not None or self._fleet_protection.reason(source) is not None:
            return None
        reports = {
            name: report for name, report in self._reports(source) if report.until_us > now_us
        }  # by host, the longest first
        proofs = [report for name, report in reports.items() if report.ban.verified and self.trusts(name)]
        if proofs:
            return Change(True, proofs[0].ban, tuple(sorted(reports)), proofs[0].until_us)
        networks: dict[object, Report] = {}
        for name, report in reports.items():
            networks.setdefault(self.roster.network_of(name), report)
        if len(networks) < self._settings.min_reporters:
            return None
        weakest = [*networks.values()][self._settings.min_reporters - 1]
        return Change(True, next(iter(reports.values())).ban, tuple(sorted(reports)), weakest.until_us)

    def _reports(self, source: str) -> Iterator[tuple[str, Report]]:
        found = [(name, self.reporters[name].reports[source]) for name in self._hosts.get(source, ())]
        yield from sorted(found, key=lambda pair: (-pair[1].until_us, pair[0]))

    def reports(self, source: str) -> Mapping[str, Report]:
        """Who reports a source."""
        return dict(self._reports(source))

    def sources(self) -> list[str]:
        """Every source that a host reports."""
        return list(self._hosts)

    def trusts(self, name: str) -> bool:
        """Whether verified evidence of a host is enough alone."""
        return not self._trusted or name in self._trusted
