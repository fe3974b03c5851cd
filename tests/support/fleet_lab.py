"""A real broker on loopback, and hosts that run `fleet run` with the lines of their own logs."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from portsentry_py.events.model import utc
from tests.support.fleet_brokers import Broker, free_port
from tests.support.log_lines import line
from tests.support.waiting import wait_for

COMMAND = (sys.executable, "-m", "portsentry_py", "fleet")
# Runs the command with a clock that is so many seconds ahead.
_WRONG_CLOCK = """
import sys, time
ahead, real = int(sys.argv.pop(1)) * 1_000_000_000, time.time_ns
time.time_ns = lambda: real() + ahead
from portsentry_py.cli.main import main
main()
"""
BROKER = Path(sys.executable).with_name("nats-server")
# Public addresses: hosts of other networks, as the others see them.
ADDRESSES = tuple(f"45.33.{number}.{number}" for number in range(1, 11))


def now_us() -> int:
    return int(datetime.now(timezone.utc).timestamp() * 1_000_000)


def attempt(inside: Sequence[str], *words: object) -> str:
    """Run a command of the operator's; what it said if it failed."""
    done = subprocess.run([*inside, *COMMAND, *map(str, words)], capture_output=True, text=True, check=False)
    return done.stderr if done.returncode else ""


def own_loopback(number: int) -> str:
    """An address of this process on loopback: test runs beside each other never meet."""
    pid = os.getpid()
    return f"127.{1 + pid // 250 % 250}.{1 + pid % 250}.{number}"


def fleet(*words: object) -> str:
    """Run a command of the operator's, which has to succeed."""
    done = subprocess.run([*COMMAND, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class FleetLab:
    """An operator's folder and the brokers of a fleet.

    Args:
        folder: gets all files.
        names: the hosts.
        program: the nats-server.
        brokers: how many; several are a cluster.
        addresses: theirs, where they are not on loopback.
        inside: words before each command, which may lead into the network of the brokers.
        plain: without TLS.
    """

    def __init__(
        self,
        folder: Path,
        names: Iterable[str],
        program: Path = BROKER,
        *,
        brokers: int = 1,
        addresses: Sequence[str] = (),
        inside: Sequence[str] = (),
        plain: bool = False,
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.operator = folder / "operator"
        self.program = program
        self.inside = inside
        self.hosts: dict[str, FleetHost] = {}
        addresses = addresses or [own_loopback(number) for number in range(1, brokers + 1)]
        port = free_port()
        words = [word for one in addresses for word in ("--broker", f"{one}:{port}")]
        fleet("init-operator", self.operator, *words, *(("--no-tls",) if plain else ()))
        for name, address in zip(names, ADDRESSES, strict=False):
            fleet("add-host", self.operator, name, "--address", address)
        self.brokers = [
            Broker(folder / f"b{number}", self.operator / "broker", address, program, inside)
            for number, address in enumerate(addresses, 1)
        ]

    def start_broker(self) -> None:
        for broker in self.brokers:
            broker.start()

    def reload_broker(self) -> None:
        for broker in self.brokers:
            broker.reload()

    def kill_broker(self) -> None:
        for broker in self.brokers:
            broker.kill()

    def allow(self, network: str) -> None:
        fleet("allow", self.operator, network)

    def publish(self) -> None:
        """Publish the roster; brokers that have just started must elect a leader first."""
        words = ("publish", self.operator, "--replicas", len(self.brokers))
        wait_for(lambda: not attempt(self.inside, *words), "the stream", evidence=lambda: attempt(self.inside, *words))

    def host(
        self,
        name: str,
        *,
        ignore: Iterable[str] = (),
        home: Iterable[str] = (),
        allowed: Iterable[str] = (),
        inside: Sequence[str] = (),
        clock_seconds: int = 0,
        **settings: Any,
    ) -> "FleetHost":
        """Start a host.

        Args:
            name: its name.
            ignore: the setting.
            home: the same.
            allowed: its allowlist.
            inside: words before the command, which may lead into its network.
            clock_seconds: how far its clock is ahead.
            settings: those of the section `fleet`.
        """
        whole = {"ignore": list(ignore), "home": list(home), "fleet": settings}
        self.hosts[name] = FleetHost(
            self, name, whole, Run("".join(f"{one}\n" for one in allowed), inside, clock_seconds)
        )
        return self.hosts[name]

    def close(self) -> None:
        """End everything, even where one host does not end."""
        with ExitStack() as left:
            left.callback(self.kill_broker)
            for host in self.hosts.values():
                left.callback(host.stop)


@dataclass(frozen=True, slots=True)
class Run:
    """How a host runs: the content of its allowlist, words before its command, and how far its clock is ahead."""

    allowlist: str
    inside: Sequence[str]
    clock_seconds: int


class FleetHost:
    """One host: the log that its sensor writes, and its `fleet run`, which may be in a network of its own."""

    def __init__(self, lab: FleetLab, name: str, settings: dict[str, Any], run: Run) -> None:
        self.folder = lab.folder / name
        self.folder.mkdir(exist_ok=True)
        self.name = name
        self.credentials = lab.operator / "hosts" / f"{name}.json"
        self.own_log = self.folder / "portsentry.log"
        self.fleet_log = Path(settings["fleet"].get("log", self.folder / "fleet.log"))
        self.own_log.touch()
        self._run = run
        section = {
            "credentials": str(self.credentials),
            "log": str(self.fleet_log),
            "state": str(self.folder / "state.json"),
            "mode": "ban",
            **settings["fleet"],
        }
        (self.folder / "allowlist").write_text(run.allowlist)
        files = {"log": str(self.own_log), "allowlist": str(self.folder / "allowlist")}
        (self.folder / "config.yaml").write_text(json.dumps({**settings, **files, "fleet": section}))
        self.start()

    def start(self) -> None:
        program = (sys.executable, "-c", _WRONG_CLOCK, str(self._run.clock_seconds), "fleet")
        command = program if self._run.clock_seconds else COMMAND
        words = [*self._run.inside, *command, "run", "-c", str(self.folder / "config.yaml")]
        environment = {name: text for name, text in os.environ.items() if not name.startswith("PORTSENTRY_")}
        with (self.folder / "run.err").open("ab") as errors:
            self._process = subprocess.Popen(words, stderr=errors, env=environment)

    def stop(self) -> int:
        """End it; its exit code."""
        self._process.terminate()
        try:
            return self._process.wait(30)
        finally:
            self._process.kill()
            self._process.wait()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()

    def runs(self) -> bool:
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process.pid

    def said(self) -> str:
        """What it wrote to stderr."""
        return (self.folder / "run.err").read_text(errors="replace")

    def scan(self, address: str, *, verified: bool = True, **keys: object) -> None:
        """The sensor of this host writes a ban."""
        moment = utc(now_us() + self._run.clock_seconds * 1_000_000)
        text = line(src_ip=address, source_verified=verified, timestamp=moment, **keys) + b"\n"
        descriptor = os.open(self.own_log, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(descriptor, text)
        finally:
            os.close(descriptor)

    def lines(self, **keys: object) -> list[dict[str, Any]]:
        """The whole lines of the fleet's log with these values."""
        text = self.fleet_log.read_text() if self.fleet_log.exists() else ""
        found = [json.loads(one) for one in text.split("\n")[:-1]]
        return [one for one in found if all(one.get(key) == value for key, value in keys.items())]

    def wait_for_line(self, **keys: object) -> dict[str, Any]:
        return wait_for(lambda: self.lines(**keys), f"{keys} at {self.name}", evidence=self.said)[0]
