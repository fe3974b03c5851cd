"""A broker in this process, and hosts whose agents speak with it: a fleet without a network."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from portsentry_py.config.settings import Fleet
from portsentry_py.errors import FleetError
from portsentry_py.events.model import FleetEvent, utc
from portsentry_py.fleet import credentials, operator_folder
from portsentry_py.fleet.agent import Agent
from portsentry_py.fleet.agent import Host as Inputs
from portsentry_py.fleet.broker import OnFault, OnMessage
from portsentry_py.fleet.protection import Protection
from portsentry_py.fleet.subjects import KEPT, ROSTER
from tests.support.fleet_lab import now_us
from tests.support.log_lines import line
from tests.support.waiting import wait_for

NAMES = ("web1", "web2", "web3")


class FakeSession:
    """One connection; what it is asked for has the shape of `broker.Session`."""

    def __init__(self, broker: "FakeBroker", on_fault: OnFault) -> None:
        self._broker = broker
        self.version = broker.version
        self.closed = asyncio.Event()
        self.on_fault = on_fault
        self.on_message: OnMessage | None = None

    async def publish(self, subject: str, payload: bytes) -> None:
        self._broker.deliver(subject, payload)

    async def keep(self, subject: str, payload: bytes) -> str:
        if self._broker.refuses:
            return "no room"
        self._broker.deliver(subject, payload)
        return ""

    async def kept(self, subject: str) -> bytes | None:
        return self._broker.kept.get(subject, b"")

    async def listen(self, on_message: OnMessage) -> None:
        self.on_message = on_message


class FakeBroker:
    """Passes on what hosts send, and keeps the latest message of each subject that a stream keeps.

    Attributes:
        is_down: nobody can connect.
        refuses: it keeps nothing.
        sent: all messages, in order.
    """

    def __init__(self, folder: Path) -> None:
        self.operator = folder / "operator"
        self.version = "2.12.9"
        self.is_down = self.refuses = False
        self.kept: dict[str, bytes] = {}
        self.sent: list[tuple[str, bytes]] = []
        self.sessions: list[FakeSession] = []
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        operator_folder.create(self.operator, ["127.0.0.1"], None, tls=False, plain_text=False)
        for number, name in enumerate(NAMES, 1):
            operator_folder.add_host(self.operator, name, f"45.33.{number}.1")

    @asynccontextmanager
    async def session(self, _: object, server: str, on_fault: OnFault) -> AsyncIterator[FakeSession]:
        if self.is_down:
            raise FleetError(f"{server}: no connection to the broker (down); it is tried again.")
        one = FakeSession(self, on_fault)
        self.sessions.append(one)
        try:
            yield one
        finally:
            self.sessions.remove(one)

    def deliver(self, subject: str, payload: bytes) -> None:
        self.sent.append((subject, payload))
        if subject == ROSTER or subject.startswith(KEPT[0].rstrip("*")):
            self.kept[subject] = payload
        for one in self.sessions:
            if one.on_message is not None:
                one.on_message(subject, payload)

    def call(self, function: Callable[[], object]) -> None:
        """Let something happen where the hosts live."""

        async def run() -> None:
            function()

        asyncio.run_coroutine_threadsafe(run(), self.loop).result(60)

    def publish_roster(self) -> None:
        payload = operator_folder.signed_roster(self.operator, now_us())
        self.call(lambda: self.deliver(ROSTER, payload))

    def break_off(self) -> None:
        """End every connection."""
        for one in tuple(self.sessions):  # each leaves the list when it has ended
            self.call(one.closed.set)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(60)
        self.loop.close()


class AgentHost:
    """A host with an agent: its own log, and the lines for the log of the fleet."""

    def __init__(self, broker: FakeBroker, folder: Path, name: str, **settings: Any) -> None:
        self._broker = broker
        self.name = name
        self.log, self.state = folder / f"{name}.log", folder / f"{name}.json"
        self.lines: list[FleetEvent] = []
        self.protection = Protection()
        self.reads_protection = True
        self._secret = credentials.read(broker.operator / "hosts" / f"{name}.json")
        self._settings = Fleet(**{"mode": "ban", "state": str(self.state), **settings})
        self.agent: Agent | None = None
        self._run: Future[None] | None = None

    def start(self) -> "AgentHost":
        self.log.touch()
        self.begin()
        return self

    def begin(self) -> None:
        """Run the agent with the files that there are."""
        inputs = Inputs(self.log, self._protection, self.lines.append, now_us)

        async def run() -> None:
            self.agent = Agent(self._settings, self._secret, inputs)
            await self.agent.run()

        self._run = asyncio.run_coroutine_threadsafe(run(), self._broker.loop)
        wait_for(lambda: self.agent is not None, "the agent")

    def _protection(self) -> Protection:
        if not self.reads_protection:
            raise OSError("no route table")
        return self.protection

    def result(self) -> None:
        """Wait until it has ended; raises what ended it."""
        assert self._run is not None
        self._run.result(60)

    def stop(self) -> None:
        assert self.agent is not None
        self._broker.loop.call_soon_threadsafe(self.agent.stop)
        self.result()

    def scan(self, address: str, *, verified: bool = True, **keys: object) -> None:
        """The sensor of this host writes a ban."""
        with self.log.open("ab", buffering=0) as log:
            log.write(line(src_ip=address, source_verified=verified, timestamp=utc(now_us()), **keys) + b"\n")

    def told(self, address: str, state: str = "reported") -> FleetEvent:
        """The line about a source, when it is there."""
        return wait_for(
            lambda: next((one for one in self.lines if (one.src_ip, one.state) == (address, state)), None),
            f"{address} {state} at {self.name}",
        )
