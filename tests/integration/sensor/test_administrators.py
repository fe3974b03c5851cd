"""Who is logged in over a real sshd cannot be banned; who is merely connected to it can."""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.fixtures import StartSensor
from tests.support.namespaces import Host, Lab
from tests.support.needs import require_tool
from tests.support.scanning import forge
from tests.support.sensor import scan_verdicts
from tests.support.waiting import wait_for

pytestmark = pytest.mark.wire

PORT = 2222
_CONNECT = (
    "import socket, sys; one = socket.create_connection((sys.argv[1], int(sys.argv[2])), 20); "
    "print(one.recv(100), flush=True); one.settimeout(None); one.recv(10_000); one.recv(1)"
)


class Server:
    """A real sshd on a host, and a key that opens it for everybody."""

    def __init__(self, host: Host, folder: Path) -> None:
        self._host, self._folder = host, folder
        self._log = folder / "log"
        self._log.touch()
        for name in ("host", "key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        options = {
            "Port": PORT,
            "HostKey": folder / "host",
            "AuthorizedKeysFile": folder / "key.pub",
            "StrictModes": "no",
            "UsePAM": "no",
            "PidFile": "none",
            "LogLevel": "VERBOSE",
        }
        config = folder / "config"
        config.write_text("".join(f"{key} {value}\n" for key, value in options.items()))
        # It needs a folder in /run; each test has a /run of its own.
        script = 'mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd && exec "$@"'
        words = ("unshare", "--mount", "sh", "-c", script, "sh", require_tool("sshd"))
        host.start(*words, "-D", "-f", config, "-E", self._log)
        self._wait_for("Server listening")

    def _wait_for(self, text: str) -> None:
        wait_for(lambda: re.search(text, self._log.read_text()), text, evidence=self._log.read_text)

    def login(self, client: Host, user: str) -> None:
        """Log in, and stay."""
        options = ("BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null")
        words = ("-F", "none", "-i", str(self._folder / "key"), "-p", str(PORT), *(f"-o{one}" for one in options))
        target = f"{user}@{self._host.ipv4[0]}"
        does = (target, "sleep", "1000") if user == "root" else ("-N", target)
        client.start("ssh", *words, *does)
        self._wait_for("Starting session" if user == "root" else "User child is on pid")

    def connect(self, client: Host) -> None:
        """Connect, and neither log in nor leave."""
        process = client.start(sys.executable, "-c", _CONNECT, self._host.ipv4[0], str(PORT), stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert "SSH-2.0" in process.stdout.readline()


@pytest.fixture
def server(lab: Lab) -> Iterator[Server]:
    """An sshd whose files every user can read."""
    for name in ("ssh", "sshd", "ssh-keygen"):
        require_tool(name)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Server(lab.target, Path(folder))


@pytest.mark.parametrize("user", ["root", "nobody"])
def test_who_is_logged_in_over_ssh_cannot_be_banned_by_a_forger(
    lab: Lab, server: Server, start_sensor: StartSensor, user: str
) -> None:
    friend = lab.visitor.ipv4[0]
    server.login(lab.visitor, user)
    sensor = start_sensor()

    forge(lab, friend)

    sensor.wait_for_line("the forged scan", src_ip=friend, event_type="scan")
    assert scan_verdicts(sensor, friend) == {("ignore", "ssh_session")}


def test_who_is_connected_to_sshd_and_not_logged_in_is_banned(
    lab: Lab, server: Server, start_sensor: StartSensor
) -> None:
    stranger = lab.visitor.ipv4[0]
    server.connect(lab.visitor)
    sensor = start_sensor()

    forge(lab, stranger)

    sensor.wait_for_line("the scan", src_ip=stranger, event_type="scan", verdict="ban")


def test_a_program_of_a_user_that_calls_itself_sshd_protects_nobody(lab: Lab, start_sensor: StartSensor) -> None:
    """It listens on a port of its own, and lets a visitor in."""
    script = (
        "import ctypes, os, socket; os.setuid(65534); ctypes.CDLL(None).prctl(15, b'sshd', 0, 0, 0)\n"
        f"server = socket.create_server(('', {PORT})); print('ready', flush=True); one, _ = server.accept()\n"
        "one.send(b'SSH-2.0-x'); one.recv(1)"
    )
    service = lab.target.start(sys.executable, "-c", script, stdout=subprocess.PIPE)
    assert service.stdout is not None
    assert service.stdout.readline() == "ready\n"
    client = lab.visitor.start(sys.executable, "-c", _CONNECT, lab.target.ipv4[0], str(PORT), stdout=subprocess.PIPE)
    assert client.stdout is not None
    assert "SSH-2.0" in client.stdout.readline()
    sensor = start_sensor()

    forge(lab, lab.visitor.ipv4[0])

    sensor.wait_for_line("the forged scan", src_ip=lab.visitor.ipv4[0], event_type="scan")
    assert ("ignore", "ssh_session") not in scan_verdicts(sensor, lab.visitor.ipv4[0])
