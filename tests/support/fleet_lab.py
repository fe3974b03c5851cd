"""A real broker on loopback, and hosts that run `fleet run` with the lines of their own logs."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from portsentry_py.events.model import utc
from tests.support.log_lines import line
from tests.support.waiting import wait_for

COMMAND = (sys.executable, "-m", "portsentry_py", "fleet")
BROKER = Path(sys.executable).with_name("nats-server")
# Public addresses: hosts of other networks, as the others see them.
ADDRESSES = ("45.33.1.1", "45.33.2.2", "45.33.3.3")


def now_us() -> int:
    return int(datetime.now(timezone.utc).timestamp() * 1_000_000)


def free_port() -> int:
    with socket.socket() as anything:
        anything.bind(("127.0.0.1", 0))
        return int(anything.getsockname()[1])


def fleet(*words: object) -> str:
    """Run a command of the operator's, which has to succeed."""
    done = subprocess.run([*COMMAND, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class FleetLab:
    """An operator's folder and the broker of a fleet.

    Args:
        folder: gets all files.
        program: the nats-server.
        names: the hosts.
    """

    def __init__(self, folder: Path, names: Iterable[str], program: Path = BROKER) -> None:
        self.folder = folder
        self.operator = folder / "operator"
        self.program = program
        self.port = free_port()
        self._broker: subprocess.Popen[bytes] | None = None
        self.hosts: dict[str, FleetHost] = {}
        fleet("init-operator", self.operator, "--broker", f"127.0.0.1:{self.port}")
        for name, address in zip(names, ADDRESSES, strict=False):
            fleet("add-host", self.operator, name, "--address", address)

    def start_broker(self) -> None:
        config = self.operator / "broker/nats.conf"
        with (self.folder / "broker.log").open("ab") as log:
            self._broker = subprocess.Popen([self.program, "-c", config], stdout=log, stderr=log)
        wait_for(self._listens, "the broker", evidence=self.broker_log)

    def _listens(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def broker_log(self) -> str:
        return (self.folder / "broker.log").read_text(errors="replace")[-3000:]

    def reload_broker(self) -> None:
        assert self._broker is not None
        before = self.broker_log().count("Reloaded server configuration")
        self._broker.send_signal(signal.SIGHUP)
        wait_for(lambda: self.broker_log().count("Reloaded server configuration") > before, "the reload")

    def kill_broker(self) -> None:
        assert self._broker is not None
        self._broker.kill()
        self._broker.wait()

    def allow(self, network: str) -> None:
        fleet("allow", self.operator, network)

    def publish(self) -> None:
        fleet("publish", self.operator)

    def host(
        self,
        name: str,
        *,
        ignore: Iterable[str] = (),
        home: Iterable[str] = (),
        allowed: Iterable[str] = (),
        **settings: Any,
    ) -> "FleetHost":
        """Start a host; `allowed` is its allowlist, and the settings are those of the fleet."""
        whole = {"ignore": list(ignore), "home": list(home), "fleet": settings}
        self.hosts[name] = FleetHost(self, name, whole, "".join(f"{one}\n" for one in allowed))
        return self.hosts[name]

    def close(self) -> None:
        for host in self.hosts.values():
            host.stop()
        if self._broker is not None:
            self._broker.kill()
            self._broker.wait()


class FleetHost:
    """One host: the log that its sensor writes, and its `fleet run`."""

    def __init__(self, lab: FleetLab, name: str, settings: dict[str, Any], allowlist: str) -> None:
        self.folder = lab.folder / name
        self.folder.mkdir(exist_ok=True)
        self.name = name
        self.credentials = lab.operator / "hosts" / f"{name}.json"
        self.own_log, self.fleet_log = self.folder / "portsentry.log", self.folder / "fleet.log"
        self.own_log.touch()
        section = {
            "credentials": str(self.credentials),
            "log": str(self.fleet_log),
            "state": str(self.folder / "state.json"),
            "mode": "ban",
            **settings["fleet"],
        }
        (self.folder / "allowlist").write_text(allowlist)
        files = {"log": str(self.own_log), "allowlist": str(self.folder / "allowlist")}
        (self.folder / "config.yaml").write_text(json.dumps({**settings, **files, "fleet": section}))
        self.start()

    def start(self) -> None:
        words = [*COMMAND, "run", "-c", str(self.folder / "config.yaml")]
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

    def runs(self) -> bool:
        return self._process.poll() is None

    def said(self) -> str:
        """What it wrote to stderr."""
        return (self.folder / "run.err").read_text(errors="replace")

    def scan(self, address: str, *, verified: bool = True, **keys: object) -> None:
        """The sensor of this host writes a ban."""
        text = line(src_ip=address, source_verified=verified, timestamp=utc(now_us()), **keys) + b"\n"
        descriptor = os.open(self.own_log, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(descriptor, text)
        finally:
            os.close(descriptor)

    def lines(self, **keys: object) -> list[dict[str, Any]]:
        """The lines of the fleet's log with these values."""
        text = self.fleet_log.read_text() if self.fleet_log.exists() else ""
        found = [json.loads(one) for one in text.splitlines()]
        return [one for one in found if all(one.get(key) == value for key, value in keys.items())]

    def wait_for_line(self, **keys: object) -> dict[str, Any]:
        return wait_for(lambda: self.lines(**keys), f"{keys} at {self.name}", evidence=self.said)[0]
