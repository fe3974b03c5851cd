"""The running service: it follows the log of this host, sends what it bans, and writes what others ban.

The sensor knows nothing of it. What fails here is reported, and tried again.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path

from portsentry_py.config.settings import OFF_WORD, Fleet
from portsentry_py.errors import PortsentryError
from portsentry_py.events.model import FleetEvent
from portsentry_py.fleet.broker import Session
from portsentry_py.fleet.change import Change
from portsentry_py.fleet.contacts import Contacts, contact_of
from portsentry_py.fleet.conversation import Conversation
from portsentry_py.fleet.credentials import Credentials
from portsentry_py.fleet.line import line
from portsentry_py.fleet.messages import BanMessage, encode
from portsentry_py.fleet.own_bans import OwnBans
from portsentry_py.fleet.protection import Protection
from portsentry_py.fleet.receiver import Kind, Receiver
from portsentry_py.fleet.roster import Roster
from portsentry_py.fleet.snapshot import snapshot, write
from portsentry_py.fleet.subjects import ban_subject, seen_subject, state_subject
from portsentry_py.fleet.troubles import Troubles
from portsentry_py.report.follow import LogFollower
from portsentry_py.report.log_reader import read_event

_POLL_SECONDS = 0.01
_TICK_SECONDS = 1.0
_PROTECTION_SECONDS = 10.0
_REPEAT_SECONDS = 0.3
# A list goes to every host even where nothing changed: at most so many lists of others come in a second.
_HEARTBEAT_SECONDS, _HEARTBEATS_PER_SECOND = 300, 1
_START_BYTES = 1 << 20
_SNAPSHOT_US = 5_000_000
_diagnostics = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Host:
    """What the agent needs of this host.

    Attributes:
        log: the log of the sensor.
        protection: reads whom this host never bans; it may take a while.
        write: takes a line for the log of the fleet.
        now_us: the time of day, in microseconds since 1970.
        lost: how many of these lines could not be written and are gone.
    """

    log: Path
    protection: Callable[[], Protection]
    write: Callable[[FleetEvent], None]
    now_us: Callable[[], int]
    lost: Callable[[], int] = int


class Agent:
    """One host of the fleet."""

    def __init__(self, settings: Fleet, credentials: Credentials, host: Host) -> None:
        self._settings = settings
        self._credentials = credentials
        self._host = host
        self._own = OwnBans(settings.ban_seconds)
        key = bytes.fromhex(credentials.source_key)
        self._contacts = Contacts(key if settings.hash_sources else b"", random.randrange)
        self.receiver = Receiver(settings, credentials.name, key)
        self._troubles = Troubles()
        self._conversation = Conversation(credentials, self._troubles, self)
        self._stated, self._next_list_us, self._written_us = b"", 0, 0
        self._stop, self._protected = asyncio.Event(), asyncio.Event()

    def stop(self) -> None:
        """End `run`."""
        self._stop.set()

    async def run(self) -> None:
        """Work until `stop`."""
        loops = (self._follow, self._repeat, self._tend, self._send_list, self._guard, self._converse)
        jobs = [asyncio.create_task(loop()) for loop in loops]
        stop = asyncio.create_task(self._stop.wait())
        done, _ = await asyncio.wait([*jobs, stop], return_when=asyncio.FIRST_COMPLETED)
        left = {*jobs, stop}
        while left:  # a cancellation can be lost in what ends at the same moment
            for job in left:
                job.cancel()
            _, left = await asyncio.wait(left, timeout=_TICK_SECONDS)
        for job in done - {stop}:
            job.result()  # raises what ended it

    async def _follow(self) -> None:
        """Send the bans of this host as they are written."""
        with ExitStack() as opened:
            follower: LogFollower | None = None
            while True:
                try:
                    follower = follower or opened.enter_context(closing(LogFollower(self._host.log, _START_BYTES)))
                    for text in follower.lines():
                        await self._take_own(text)
                    self._troubles.is_over("log")
                except PortsentryError as error:
                    self._troubles.report("log", str(error))
                    await asyncio.sleep(_TICK_SECONDS)
                await asyncio.sleep(_POLL_SECONDS)

    async def _take_own(self, text: bytes) -> None:
        with suppress(ValueError, RecursionError):
            event, now_us = read_event(text), self._host.now_us()
            contact = contact_of(event, now_us)
            if contact is not None and self.receiver.counts(contact):
                self._contacts.take(contact, now_us)
                self._write(self.receiver.take_own(contact, now_us))
            message = self._own.take(event, now_us)
            if message is not None:
                await self._publish([message])

    async def _repeat(self) -> None:
        """Send the latest bans again: a connection on their way may have been breaking."""
        while True:
            await self._conversation.wait(_REPEAT_SECONDS)
            if self._conversation.session is not None:
                await self._publish(self._own.repeated(self._host.now_us()))

    async def _publish(self, messages: Iterable[BanMessage]) -> None:
        for message in messages:
            if self._conversation.session is not None:
                await self._conversation.session.publish(ban_subject(self._credentials.name), encode(message))

    async def _tend(self) -> None:
        """End what is over, and report what was refused."""
        while True:
            now_us = self._host.now_us()
            self._write(self.receiver.tick(now_us))
            for sentence in self.receiver.refusals.sentences():
                _diagnostics.warning("%s", sentence)
            if self._host.lost():
                self._troubles.report(
                    "lost", "lines of the fleet were lost, because its log could not be written; make room."
                )
            await self._send_contacts(now_us)
            if now_us - self._written_us >= _SNAPSHOT_US:
                self._written_us = now_us
                await self._save(now_us)
            await asyncio.sleep(_TICK_SECONDS)

    async def _send_contacts(self, now_us: int) -> None:
        if self._conversation.session is not None:
            batch = self._contacts.batch(now_us, len(self.receiver.roster.hosts), self.receiver.rank)
            if batch is not None:
                await self._conversation.session.publish(seen_subject(self._credentials.name), encode(batch))

    async def _save(self, now_us: int) -> None:
        """Write the file for those who look."""
        found = snapshot(self.receiver, self._credentials.name, self._conversation.server, self._settings.mode, now_us)
        try:
            if self._settings.state != OFF_WORD:
                await asyncio.to_thread(write, Path(self._settings.state), found)
            if self._settings.textfile != OFF_WORD:
                from portsentry_py.fleet.metrics import write_textfile  # noqa: PLC0415 - an extra

                await asyncio.to_thread(write_textfile, Path(self._settings.textfile), found)
            self._troubles.is_over("snapshot")
        except PortsentryError as error:
            self._troubles.report("snapshot", str(error))

    async def _send_list(self) -> None:
        """Send the list of this host when it changed, at most once a second, and now and then as a sign of life."""
        while True:
            current = self._conversation.session
            if current is not None and (self._own.has_changed or self._host.now_us() >= self._next_list_us):
                await self._state(current)
            await self._conversation.wait(_TICK_SECONDS)

    async def _state(self, current: Session) -> None:
        now_us = self._host.now_us()
        self._next_list_us = now_us + self._heartbeat_us()
        payload = encode(self._own.state(now_us))
        failure = await current.keep(state_subject(self._credentials.name), payload)
        if not failure:
            self._stated = payload
            self._troubles.is_over("state")
            return
        self._own.has_changed = True
        if not current.closed.is_set():
            self._troubles.report(
                "state", f"the broker did not keep the bans of this host ({failure}); it is tried again."
            )

    def _heartbeat_us(self) -> int:
        """A while that differs, so that hosts which connected together do not send together forever."""
        longest = max(_HEARTBEAT_SECONDS, len(self.receiver.roster.hosts) / _HEARTBEATS_PER_SECOND)
        return int(longest * (0.5 + random.random() / 2) * 1_000_000)  # noqa: S311 - no secret

    async def _guard(self) -> None:
        while True:
            is_read = await self._protect()
            await asyncio.sleep(_PROTECTION_SECONDS if is_read else _TICK_SECONDS)

    async def _protect(self) -> bool:
        try:
            protection = await asyncio.to_thread(self._host.protection)
        except (OSError, PortsentryError) as error:
            self._troubles.report(
                "protection", f"cannot read whom this host never bans ({error}); the last list holds."
            )
            return False
        self._troubles.is_over("protection")
        self._protected.set()
        self._own.drop(protection)
        self._write(self.receiver.set_protection(protection, self._host.now_us()))
        return True

    async def _converse(self) -> None:
        await self._protected.wait()  # nothing is believed before
        await self._conversation.run()

    @property
    def roster(self) -> Roster:
        """See `Inbox`."""
        return self.receiver.roster

    def take(self, kind: Kind, name: str, payload: bytes, *, replay: bool = False) -> None:
        """See `Inbox`."""
        self._write(self.receiver.take(kind, name, payload, self._host.now_us(), replay=replay))

    def take_own_list(self, payload: bytes) -> None:
        """See `Inbox`."""
        self._own.has_changed |= payload != self._stated

    def take_roster(self, roster: Roster) -> None:
        """See `Inbox`."""
        self._write(self.receiver.set_roster(roster, self._host.now_us()))

    def _write(self, changes: list[Change]) -> None:
        for change in changes:
            self._host.write(line(change, self._settings.mode, self._host.now_us()))
