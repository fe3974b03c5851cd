"""Real brokers, each with a folder of its own, made from what `fleet init-operator` wrote."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.support.waiting import wait_for


class Broker:
    """One nats-server.

    Args:
        folder: gets its files; its name is that of the broker.
        made: the folder `broker` of the operator.
        address: its own one, of which the configuration has only the port.
        program: the nats-server.
        inside: words before the command, which may lead into a network namespace.
    """

    def __init__(self, folder: Path, made: Path, address: str, program: Path, inside: Sequence[str] = ()) -> None:
        self.folder, self.address = folder, address
        self._made = made
        folder.mkdir(parents=True)
        text = (made / "nats.conf").read_text()
        listen = next(line for line in text.splitlines() if line.startswith("listen:"))
        self.port = int(listen.rpartition(":")[2].strip('"'))
        self._text = text.replace(str(made), str(folder)).replace("0.0.0.0", address)
        self._command = (*inside, str(program), "-c", str(folder / "nats.conf"))
        self._starts = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, with the accounts as they are and with what it has stored."""
        for file in self._made.iterdir():
            if file.is_file():
                shutil.copy(file, self.folder)
        (self.folder / "nats.conf").write_text(self._text)
        self._starts += 1
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env={**os.environ, "BROKER": self.folder.name}
            )
        wait_for(self.listens, f"the broker {self.folder.name}", evidence=self.log)

    def listens(self) -> bool:
        """Whether a client could connect, by its log: it may be in another namespace."""
        return self.runs() and self.log().count("Server is ready") >= self._starts

    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def reload(self) -> None:
        """Let it read the accounts again, as the operator has them now."""
        assert self._process is not None
        shutil.copy(self._made / "accounts.conf", self.folder)
        before = self.log().count("Reloaded server configuration")
        self._process.send_signal(signal.SIGHUP)
        wait_for(lambda: self.log().count("Reloaded server configuration") > before, "the reload", evidence=self.log)

    def kill(self) -> None:
        """End it at once, as a machine that loses its power; its port is free afterwards."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def free_port() -> int:
    with socket.socket() as anything:
        anything.bind(("127.0.0.1", 0))
        return int(anything.getsockname()[1])
