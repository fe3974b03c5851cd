"""The running service: it follows the log of this host, speaks with the broker and writes what others ban.

The sensor knows nothing of it. What fails here is reported, and tried again.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from portsentry_py.config.settings import OFF_WORD, Fleet
from portsentry_py.errors import FleetError, PortsentryError
from portsentry_py.events.model import FleetEvent
from portsentry_py.fleet.broker import Session, session
from portsentry_py.fleet.change import Change
from portsentry_py.fleet.contacts import Contacts, contact_of
from portsentry_py.fleet.credentials import Credentials
from portsentry_py.fleet.line import line
from portsentry_py.fleet.messages import BanMessage, encode
from portsentry_py.fleet.operator_folder import read_signed
from portsentry_py.fleet.own_bans import OwnBans
from portsentry_py.fleet.protection import Protection
from portsentry_py.fleet.receiver import Receiver
from portsentry_py.fleet.snapshot import snapshot, write
from portsentry_py.fleet.subjects import ROSTER, ban_subject, host_of, seen_subject, state_subject
from portsentry_py.fleet.versions import weakness
from portsentry_py.report.follow import LogFollower
from portsentry_py.report.log_reader import read_event

_POLL_SECONDS = 0.01
_TICK_SECONDS = 1.0
_PROTECTION_SECONDS = 10.0
_REPEAT_SECONDS = 0.3
# A list goes to every host even where nothing changed: at most so many lists of others come in a second.
_HEARTBEAT_SECONDS, _HEARTBEATS_PER_SECOND = 300, 1
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
_REPAIR_SECONDS = 10.0
_START_BYTES = 1 << 20
_MOST_ASKED = 64
_MOST_CAUSES = 8
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
        self._session: Session | None = None
        self._connected = asyncio.Event()
        self._stated, self._next_list_us, self._written_us = b"", 0, 0
        self._broker = ""
        self._ended: dict[str, float] = {}
        self._unread: set[str] = set()
        self._has_unread = asyncio.Event()
        self._repair: asyncio.TimerHandle | None = None
        self._reported: dict[str, set[str]] = {}
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
                    self._is_well("log")
                except PortsentryError as error:
                    self._report("log", str(error))
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
            await self._sleep_or_connect(_REPEAT_SECONDS)
            if self._session is not None:
                await self._publish(self._own.repeated(self._host.now_us()))

    async def _publish(self, messages: Iterable[BanMessage]) -> None:
        for message in messages:
            if self._session is not None:
                await self._session.publish(ban_subject(self._credentials.name), encode(message))

    async def _sleep_or_connect(self, seconds: float) -> None:
        """Sleep, and wake up early when a connection is made."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._connected.wait(), seconds)

    async def _tend(self) -> None:
        """End what is over, and report what was refused."""
        while True:
            now_us = self._host.now_us()
            self._write(self.receiver.tick(now_us))
            for sentence in self.receiver.refusals.sentences():
                _diagnostics.warning("%s", sentence)
            if self._host.lost():
                self._report("lost", "lines of the fleet were lost, because its log could not be written; make room.")
            await self._send_contacts(now_us)
            if now_us - self._written_us >= _SNAPSHOT_US:
                self._written_us = now_us
                await self._save(now_us)
            await asyncio.sleep(_TICK_SECONDS)

    async def _send_contacts(self, now_us: int) -> None:
        if self._session is not None:
            batch = self._contacts.batch(now_us, len(self.receiver.roster.hosts), self.receiver.rank)
            if batch is not None:
                await self._session.publish(seen_subject(self._credentials.name), encode(batch))

    async def _save(self, now_us: int) -> None:
        """Write the file for those who look."""
        found = snapshot(self.receiver, self._credentials.name, self._broker, self._settings.mode, now_us)
        try:
            if self._settings.state != OFF_WORD:
                await asyncio.to_thread(write, Path(self._settings.state), found)
            if self._settings.textfile != OFF_WORD:
                from portsentry_py.fleet.metrics import write_textfile  # noqa: PLC0415 - an extra

                await asyncio.to_thread(write_textfile, Path(self._settings.textfile), found)
            self._is_well("snapshot")
        except PortsentryError as error:
            self._report("snapshot", str(error))

    async def _send_list(self) -> None:
        """Send the list of this host when it changed, at most once a second, and now and then as a sign of life."""
        while True:
            if self._session is not None and (self._own.has_changed or self._host.now_us() >= self._next_list_us):
                await self._state(self._session)
            await self._sleep_or_connect(_TICK_SECONDS)

    async def _state(self, current: Session) -> None:
        now_us = self._host.now_us()
        self._next_list_us = now_us + self._heartbeat_us()
        payload = encode(self._own.state(now_us))
        failure = await current.keep(state_subject(self._credentials.name), payload)
        if not failure:
            self._stated = payload
            self._is_well("state")
            return
        self._own.has_changed = True
        if not current.closed.is_set():
            self._report("state", f"the broker did not keep the bans of this host ({failure}); it is tried again.")

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
            self._report("protection", f"cannot read whom this host never bans ({error}); the last list holds.")
            return False
        self._is_well("protection")
        self._protected.set()
        self._own.drop(protection)
        self._write(self.receiver.set_protection(protection, self._host.now_us()))
        return True

    async def _converse(self) -> None:
        """Keep a connection to one of the brokers."""
        await self._protected.wait()  # nothing is believed before
        pause = _FIRST_PAUSE
        while True:
            # The broker that failed last is tried last.
            for server in sorted(self._credentials.servers, key=lambda one: (self._ended.get(one, 0), random.random())):  # noqa: S311 - no secret
                if await self._try(server):
                    pause = _FIRST_PAUSE
            await asyncio.sleep(pause * (0.5 + random.random() / 2))  # noqa: S311 - no secret
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _try(self, server: str) -> bool:
        """Serve one broker until the end of the connection; False if there was none."""
        try:
            async with session(self._credentials, server, self._fault) as current:
                self._is_well("broker")
                self._broker = server
                await self._serve(current)
        except FleetError as error:
            self._report("broker", str(error))
            return False
        finally:
            self._session, self._broker = None, ""
            self._ended[server] = asyncio.get_running_loop().time()
        self._report("broker", f"{server}: the connection to the broker has ended; it is tried again.")
        return True

    async def _serve(self, current: Session) -> None:
        weak = weakness(current.version)
        if weak:
            self._report("version", weak)
        await current.listen(self._take)
        self._session = current
        self._connected.set()
        self._connected = asyncio.Event()
        catch_up = asyncio.create_task(self._catch_up(current))
        closed = asyncio.create_task(current.closed.wait())
        try:
            await asyncio.wait((closed, catch_up), return_when=asyncio.FIRST_COMPLETED)
        finally:
            closed.cancel()
            catch_up.cancel()
        await asyncio.gather(catch_up, closed, return_exceptions=True)
        if not catch_up.cancelled():
            catch_up.result()  # raises what ended it

    async def _catch_up(self, current: Session) -> None:
        """Take what the broker kept: the roster, and the list of each host in it. Ask again for what has no answer."""
        self._ask_again()
        pause = _FIRST_PAUSE
        while True:
            self._has_unread.clear()
            if await self._read_kept(current):
                await self._has_unread.wait()
                pause = _FIRST_PAUSE
            else:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _ask_again(self) -> None:
        self._repair = None
        self._unread = {ROSTER, *map(state_subject, self.receiver.roster.hosts)}
        self._has_unread.set()

    async def _read_kept(self, current: Session) -> bool:
        """Ask for all that was not read yet; False if something had no answer."""
        while self._unread:
            some = [ROSTER] if ROSTER in self._unread else [*islice(self._unread, _MOST_ASKED)]
            found = await asyncio.gather(*map(current.kept, some))
            for subject, payload in zip(some, found, strict=True):
                if payload is not None:
                    self._unread.discard(subject)
                    self._take_kept(subject, payload)
            if not self.receiver.roster.hosts:
                self._report("roster", "the broker has no roster; run `fleet publish` on the operator's machine.")
            if None in found:
                return False
        return True

    def _take_kept(self, subject: str, payload: bytes) -> None:
        """Take what the broker kept of a subject; nothing if it is empty."""
        name = host_of(subject)[1]
        if name == self._credentials.name:
            self._own.has_changed |= payload != self._stated
        elif name and payload:
            now_us = self._host.now_us()
            self._write(self.receiver.take("state", name, payload, now_us, replay=True))
        elif payload:
            self._take(subject, payload)

    def _take(self, subject: str, payload: bytes) -> None:
        """Take a message: the broker enforced that the host in the subject sent it."""
        kind, name = host_of(subject)
        now_us = self._host.now_us()
        if kind == "ban":
            self._write(self.receiver.take("ban", name, payload, now_us))
        elif kind == "state":
            self._write(self.receiver.take("state", name, payload, now_us))
        elif kind == "seen":
            self._write(self.receiver.take("seen", name, payload, now_us))
        elif subject == ROSTER:
            self._take_roster(payload, now_us)

    def _take_roster(self, payload: bytes, now_us: int) -> None:
        try:
            roster = read_signed(payload, self._credentials.operator)
        except ValueError as error:
            self._report("roster", f"a roster was refused ({error}); the last one holds.")
            return
        if roster.issued_us > self.receiver.roster.issued_us:
            self._is_well("roster")
            self._unread.update(map(state_subject, roster.hosts.keys() - self.receiver.roster.hosts.keys()))
            self._has_unread.set()
            self._write(self.receiver.set_roster(roster, now_us))

    def _write(self, changes: list[Change]) -> None:
        for change in changes:
            self._host.write(line(change, self._settings.mode, self._host.now_us()))

    def _fault(self, text: str) -> None:
        """What the library complains of while a connection is there: refused rights, messages that were dropped."""
        if self._session is not None:
            self._report("fault", f"the broker complains ({text}); look at its log.")
            if "slow consumer" in text and self._repair is None:
                self._repair = asyncio.get_running_loop().call_later(_REPAIR_SECONDS, self._ask_again)

    def _report(self, what: str, sentence: str) -> None:
        """Report each cause of a trouble once, until it is over."""
        causes = self._reported.setdefault(what, set())
        if sentence not in causes and len(causes) < _MOST_CAUSES:
            causes.add(sentence)
            _diagnostics.warning("%s", sentence)

    def _is_well(self, what: str) -> None:
        if self._reported.pop(what, None):
            _diagnostics.warning("%s: all is well again.", what)
