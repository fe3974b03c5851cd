"""The connection to one of the brokers: messages as they come, and what the broker kept of those before."""

import asyncio
import random
from contextlib import suppress
from itertools import islice
from typing import Protocol

from portsentry_py.errors import FleetError
from portsentry_py.fleet.broker import Session, session
from portsentry_py.fleet.credentials import Credentials
from portsentry_py.fleet.operator_folder import read_signed
from portsentry_py.fleet.receiver import Kind
from portsentry_py.fleet.roster import Roster
from portsentry_py.fleet.subjects import ROSTER, host_of, state_subject
from portsentry_py.fleet.troubles import Troubles
from portsentry_py.fleet.versions import weakness

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
_REPAIR_SECONDS = 10.0
_MOST_ASKED = 64


class Inbox(Protocol):
    """Who takes what comes."""

    @property
    def roster(self) -> Roster:
        """The latest one that it took."""
        ...

    def take(self, kind: Kind, name: str, payload: bytes, *, replay: bool = False) -> None:
        """Take a message of a host; `replay` is a list that the broker kept."""
        ...

    def take_own_list(self, payload: bytes) -> None:
        """Take the list of this host, as the broker kept it."""
        ...

    def take_roster(self, roster: Roster) -> None:
        """Take a newer roster, which the operator signed."""
        ...


class Conversation:
    """What is said with the brokers, one after the other.

    Attributes:
        session: the connection; None while there is none.
        server: the broker of the connection; empty while there is none.
    """

    def __init__(self, credentials: Credentials, troubles: Troubles, inbox: Inbox) -> None:
        self._credentials = credentials
        self._troubles = troubles
        self._inbox = inbox
        self.session: Session | None = None
        self.server = ""
        self._connected = asyncio.Event()
        self._ended: dict[str, float] = {}
        self._unread: set[str] = set()
        self._has_unread = asyncio.Event()
        self._repair: asyncio.TimerHandle | None = None

    async def wait(self, seconds: float) -> None:
        """Sleep, and wake up early when a connection is made."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._connected.wait(), seconds)

    async def run(self) -> None:
        """Keep a connection to one of the brokers.

        Raises:
            LibraryMissing: of NATS.
        """
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
                self._troubles.is_over("broker")
                self.server = server
                await self._serve(current)
        except FleetError as error:
            self._troubles.report("broker", str(error))
            return False
        finally:
            self.session, self.server = None, ""
            self._ended[server] = asyncio.get_running_loop().time()
        self._troubles.report("broker", f"{server}: the connection to the broker has ended; it is tried again.")
        return True

    async def _serve(self, current: Session) -> None:
        weak = weakness(current.version)
        if weak:
            self._troubles.report("version", weak)
        await current.listen(self._take)
        self.session = current
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
        self._unread = {ROSTER, *map(state_subject, self._inbox.roster.hosts)}
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
            if not self._inbox.roster.hosts:
                self._troubles.report(
                    "roster", "the broker has no roster; run `fleet publish` on the operator's machine."
                )
            if None in found:
                return False
        return True

    def _take_kept(self, subject: str, payload: bytes) -> None:
        """Take what the broker kept of a subject; nothing if it is empty."""
        name = host_of(subject)[1]
        if name == self._credentials.name:
            self._inbox.take_own_list(payload)
        elif name and payload:
            self._inbox.take("state", name, payload, replay=True)
        elif payload:
            self._take(subject, payload)

    def _take(self, subject: str, payload: bytes) -> None:
        """Take a message: the broker enforced that the host in the subject sent it."""
        kind, name = host_of(subject)
        if kind == "ban":
            self._inbox.take("ban", name, payload)
        elif kind == "state":
            self._inbox.take("state", name, payload)
        elif kind == "seen":
            self._inbox.take("seen", name, payload)
        elif subject == ROSTER:
            self._take_roster(payload)

    def _take_roster(self, payload: bytes) -> None:
        try:
            roster = read_signed(payload, self._credentials.operator)
        except ValueError as error:
            self._troubles.report("roster", f"a roster was refused ({error}); the last one holds.")
            return
        if roster.issued_us > self._inbox.roster.issued_us:
            self._troubles.is_over("roster")
            self._unread.update(map(state_subject, roster.hosts.keys() - self._inbox.roster.hosts.keys()))
            self._has_unread.set()
            self._inbox.take_roster(roster)

    def _fault(self, text: str) -> None:
        """What the library complains of while a connection is there: refused rights, messages that were dropped."""
        if self.session is not None:
            self._troubles.report("fault", f"the broker complains ({text}); look at its log.")
            if "slow consumer" in text and self._repair is None:
                self._repair = asyncio.get_running_loop().call_later(_REPAIR_SECONDS, self._ask_again)
