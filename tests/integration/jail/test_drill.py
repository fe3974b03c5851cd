"""The drill with the real sensor, fail2ban and nftables: green where all is well, and each seeded fault is named.

Whatever happens to it, nothing is left: no rule, namespace, route, interface, filter or process.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from portsentry_py.host.interfaces import DRILL_LINK
from tests.integration.fixtures import StartSensor
from tests.support.fail2ban_server import Fail2banServer
from tests.support.namespaces import Lab
from tests.support.sensor import Sensor
from tests.support.waiting import wait_for

pytestmark = pytest.mark.wire

# The drill sees the files of this test as those of the host.
_INSIDE = 'mount --bind "$1" /run; mount --bind "$2" /etc/fail2ban; shift 2; exec "$@"'


class Drill:
    """The command on the target, with a sensor and fail2ban."""

    def __init__(self, lab: Lab, folder: Path, sensor: Sensor, server: Fail2banServer) -> None:
        self.lab, self.sensor, self.server = lab, sensor, server
        self.run = folder / "run"
        self.run.mkdir()
        self.before = self._traces()

    def words(self, *command: str | Path) -> list[str | Path]:
        """A command of ours where it sees these files."""
        where = ("unshare", "--mount", "sh", "-euc", _INSIDE, "sh", self.run, self.server.config)
        return [*where, sys.executable, "-m", "portsentry_py", *command]

    def carry_out(self, *options: str, config: Path | None = None) -> tuple[int, dict[str, Any]]:
        """The exit code and what it says; afterwards nothing is left."""
        done = self.lab.target.run(*self._command(*options, config=config), seconds=300)
        assert "Traceback" not in done.stderr, done.stderr
        assert done.stdout, done.stderr
        self.nothing_is_left()
        found: dict[str, Any] = json.loads(done.stdout)
        assert found["exit_code"] == done.returncode
        return done.returncode, found

    def _command(self, *options: str, config: Path | None = None) -> list[str | Path]:
        where = ("-c", config or self.sensor.config, "--socket", self.server.socket)
        return self.words("drill", "--json", *where, *options)

    def start(self, *options: str) -> subprocess.Popen[str]:
        """Begin a drill, and return when its wire is there."""
        process = self.lab.target.start(*self._command(*options), stdout=subprocess.PIPE)
        wait_for(lambda: DRILL_LINK in self._links(), "the wire of the drill")
        return process

    def _links(self) -> str:
        return self.lab.target.run("ip", "-o", "link").stdout

    def _traces(self) -> tuple[str, str, str, str, set[int]]:
        """All that a drill could leave on the host; the rules without the empty tables of fail2ban."""
        listed = [
            self.lab.target.run(*words).stdout
            for words in (("ip", "-o", "link"), ("ip", "-4", "route"), ("ip", "-6", "route"), ("tc", "filter", "show"))
        ]
        return (listed[0], listed[1], listed[2], listed[3], self.lab.target.pids())

    def nothing_is_left(self) -> None:
        *network, pids = self._traces()
        assert network == list(self.before[:-1])
        assert not [psutil.Process(pid).cmdline() for pid in pids if "stranger" in " ".join(_words(pid))]
        assert self.server.blocked() == set()
        assert not (self.run / "portsentry-py.drill").exists()


def _words(pid: int) -> list[str]:
    try:
        return psutil.Process(pid).cmdline()
    except psutil.NoSuchProcess:
        return []


def hints(found: dict[str, Any]) -> str:
    return "\n".join(found["hints"])


@pytest.fixture
def drill(lab: Lab, tmp_path: Path, start_sensor: StartSensor, jail: Fail2banServer) -> Drill:
    """A host where all is well."""
    return Drill(lab, tmp_path, start_sensor(log=str(jail.log)), jail)


def test_every_technique_is_seen_banned_blocked_and_let_in_again(drill: Drill) -> None:
    code, found = drill.carry_out()
    assert (code, found["hints"]) == (0, []), found
    tried = [row for row in found["techniques"] if not row["not_tried"]]
    assert len(tried) == 14
    wanted = ("line_seen", "type_right", "blocked_tcp", "blocked_udp", "unbanned", "let_back_in")
    for row in tried:
        assert [row[key] for key in wanted] == [True] * len(wanted), row
        assert (row["verdict"], row["jail"]) == ("ban", "portsentry")
    # What a check sends is no evidence about its sources: nobody else was banned meanwhile.
    assert drill.server.errors() == []
