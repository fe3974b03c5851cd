"""The drill with the real sensor, fail2ban and nftables: green where all is well, and each seeded fault is named.

Whatever happens to it, nothing is left: no rule, namespace, route, interface, filter or process.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from portsentry_py.host.interfaces import DRILL_LINK
from tests.integration.fixtures import StartSensor
from tests.support.fail2ban_server import NFTABLES, Fail2banServer
from tests.support.namespaces import IFACE, Host, Lab
from tests.support.patience import PATIENCE
from tests.support.peers import HTTP_PORT
from tests.support.processes import all_ended
from tests.support.sensor import RUN, Sensor
from tests.support.waiting import wait_for

pytestmark = pytest.mark.wire

_FORWARDED = 8080
_SOURCES = ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"]
# The drill sees the files of this test as those of the host.
_INSIDE = 'mount --bind "$1" /run; mount --bind "$2" /etc/fail2ban; shift 2; exec "$@"'
# The command with one technique, and with this many seconds for a line and for a ban.
_BRIEF = f"""\
{PATIENCE}
import sys
from portsentry_py.checks.drill import drill as engine
from portsentry_py.checks.drill.techniques import QUICK
from portsentry_py.cli import drill as cli
from portsentry_py.cli.main import main
engine._LINE_SECONDS, engine._BAN_SECONDS = float(sys.argv.pop(1)), float(sys.argv.pop(1))
cli.QUICK = QUICK[1:2]
main()
"""
# The whole command, which waits for all lines and bans on a busy machine too.
_PATIENT = f"""\
{PATIENCE}
from portsentry_py.checks.drill import drill as engine
from portsentry_py.cli.main import main
engine._LINE_SECONDS = engine._BAN_SECONDS = 60.0
main()
"""
# A sensor whose lines are of two hours ago, as on a host whose clock was put right after the start.
_LATE_SENSOR = """\
import sys
from portsentry_py.cli.main import main
from portsentry_py.core import event_builder
really = event_builder.utc
event_builder.utc = lambda moment: really(moment - 7_200_000_000)
main()
"""
# Writes about the same sources in words of its own, as portsentry 2.x does.
_OTHER_PROGRAM = (
    """tail -n 0 -F "$1" | sed -u 's/.*"src_ip":"\\([^"]*\\)".*/attackalert: scan from host \\1/' >>"$2\""""
)


class Drill:
    """The command on the target."""

    def __init__(self, lab: Lab, folder: Path, server: Fail2banServer) -> None:
        self.target, self.server = lab.target, server
        self.config = folder / "portsentry.yaml"
        self.run = folder / "run"
        self.run.mkdir()
        self.record = self.run / "portsentry-py.drill"
        self.strangers: list[psutil.Process] = []
        self._before = self._traces()

    def carry_out(
        self, *, config: Path | None = None, line_seconds: int = 60, ban_seconds: int = 60, prepare: str = ":"
    ) -> dict[str, Any]:
        """What the quick drill finds with one technique; afterwards nothing is left.

        Args:
            config: another configuration.
            line_seconds: how long it waits for a line.
            ban_seconds: how long it waits for a ban.
            prepare: a command that is run before, with the drill's mounts.
        """
        program = ("-c", _BRIEF, str(line_seconds), str(ban_seconds))
        done = self.target.run(*self.words("--quick", config=config, program=program, prepare=prepare), seconds=300)
        return self._found(done)

    def carry_out_in_full(self, *options: str) -> dict[str, Any]:
        """What every technique finds."""
        return self._found(self.target.run(*self.words(*options, program=("-c", _PATIENT)), seconds=300))

    def _found(self, done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
        assert done.stdout, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        assert found["exit_code"] == done.returncode
        self.nothing_is_left()
        # A ban that did not come can come later, when the operator has corrected the fault.
        assert self.record.exists() == any("ban" in row["faults"] for row in found["techniques"])
        return found

    def fault(self, **options: Any) -> str:
        """The hint of a drill that finds one fault."""
        found = self.carry_out(**options)
        assert found["exit_code"] == 2, found
        (hint,) = found["hints"]
        return str(hint)

    def words(
        self, *options: str, config: Path | None = None, program: tuple[str, ...] = RUN, prepare: str = ":"
    ) -> list[str | Path]:
        """The command line of the drill."""
        inside = f"{prepare}; {_INSIDE}"
        where: list[str | Path] = ["unshare", "--mount", "sh", "-euc", inside, "sh", self.run, self.server.config]
        files: list[str | Path] = ["-c", config or self.config, "--socket", self.server.socket]
        return [*where, sys.executable, *program, "drill", "--json", *files, *options]

    def start(self) -> subprocess.Popen[str]:
        """Begin a drill, and return when its wire is there."""
        process = self.target.start(*self.words("--quick"), stdout=subprocess.PIPE)
        wait_for(lambda: DRILL_LINK in self._traces()[0], "the wire of the drill")
        self.strangers += psutil.Process(process.pid).children(recursive=True)
        return process

    def results_of_check(self) -> str:
        """What `check` says of what was left."""
        script = "from portsentry_py.checks.check import Host, _drill; print(list(_drill(Host())))"
        where = ("unshare", "--mount", "sh", "-euc", _INSIDE, "sh", self.run, self.server.config)
        return self.target.run(*where, sys.executable, "-c", script).stdout

    def _traces(self) -> list[str]:
        """All that a drill could leave on the host."""
        listings = (("-o", "link"), ("-4", "route"), ("-6", "route"))
        return [self.target.run("ip", *words).stdout for words in listings]

    def no_wire_is_left(self) -> None:
        wait_for(lambda: self._traces() == self._before, "the wire to go", evidence=lambda: str(self._traces()))
        wait_for(lambda: all_ended(self.strangers), "the stranger to end")

    def nothing_is_left(self) -> None:
        self.no_wire_is_left()
        wait_for(lambda: self.server.blocked() == set(), "the rules to go", evidence=self.server.evidence)


@pytest.fixture
def drill(lab: Lab, tmp_path: Path, jail: Fail2banServer) -> Drill:
    return Drill(lab, tmp_path, jail)


@pytest.fixture
def sensor(start_sensor: StartSensor, jail: Fail2banServer) -> Sensor:
    return start_sensor(log=str(jail.log))


@pytest.mark.usefixtures("sensor")
def test_every_technique_is_seen_banned_blocked_and_let_in_again(drill: Drill) -> None:
    found = drill.carry_out_in_full()
    assert (found["exit_code"], found["hints"]) == (0, []), found
    tried = [row for row in found["techniques"] if not row["not_tried"]]
    assert len(tried) == 14
    wanted = ("line_seen", "type_right", "blocked_tcp", "blocked_udp", "unbanned", "let_back_in")
    for row in tried:
        assert [row[key] for key in wanted] == [True] * len(wanted), row
        assert (row["verdict"], row["jail"]) == ("ban", "portsentry")
    assert drill.server.errors() == []


def test_a_sensor_on_all_interfaces_sees_what_is_known_by_answers_too(
    drill: Drill, start_sensor: StartSensor, jail: Fail2banServer
) -> None:
    jail.client("stop", "portsentry")
    start_sensor(iface="any", log=str(jail.log))
    found = drill.carry_out_in_full("--unarmed")
    assert (found["exit_code"], found["hints"]) == (0, []), found
    assert {row["technique"] for row in found["techniques"] if row["line_seen"]} > {"maimon IPv4", "ack IPv6"}


@pytest.mark.usefixtures("sensor")
def test_what_is_wrong_with_the_jail_is_named(drill: Drill, jail: Fail2banServer, tmp_path: Path) -> None:
    jail.client("stop", "portsentry")
    assert "nobody is banned: fail2ban has no jail portsentry" in drill.fault(ban_seconds=5)
    jail.client("reload")
    wait_for(lambda: "File list" in jail.client("status", "portsentry"), "the jail")
    other = tmp_path / "other.log"
    other.touch()
    jail.client("set", "portsentry", "addlogpath", str(other))
    jail.client("set", "portsentry", "dellogpath", str(jail.log))
    assert f"nobody is banned: it reads {other}, and the log is {jail.log}" in drill.fault(ban_seconds=5)


@pytest.mark.usefixtures("sensor")
def test_a_ban_that_changes_nothing_is_named(drill: Drill, jail: Fail2banServer) -> None:
    for action, words in (
        ("firewallcmd-allports", "which needs firewall-cmd, and that is not installed"),
        ("dummy", "as banned, but the kernel has no rule about it: [portsentry] bans with dummy"),
    ):
        (jail.config / "jail.d/zz-test.local").write_text(f"[portsentry]\nbanaction = {action}\n")
        jail.client("reload", "--restart", "portsentry")
        assert words in drill.fault()
    for network in _SOURCES:
        jail.client("set", "portsentry", "addignoreip", network)
    assert "fail2ban's ignoreip has " in drill.fault(ban_seconds=5)


@contextmanager
def _forwarding(target: Host, server: Host) -> Iterator[None]:
    """A port of the target that leads to another host, as to a container."""
    target.set_kernel("echo 1 >/proc/sys/net/ipv4/ip_forward")
    server.serve("serve")
    done = target.run(
        *("sh", "-euc"),
        f"""
        nft add table ip published
        nft 'add chain ip published in {{ type nat hook prerouting priority dstnat; }}'
        nft 'add chain ip published out {{ type nat hook postrouting priority srcnat; }}'
        nft add rule ip published in tcp dport {_FORWARDED} dnat to {server.ipv4[0]}:{HTTP_PORT}
        nft add rule ip published out ip daddr {server.ipv4[0]} masquerade
        """,
    )
    assert done.returncode == 0, done.stderr
    yield


@pytest.mark.usefixtures("sensor")
def test_ports_of_containers_that_a_ban_does_not_cover_are_named(drill: Drill, lab: Lab, jail: Fail2banServer) -> None:
    with _forwarding(lab.target, lab.visitor):
        assert drill.carry_out()["hints"] == []
        hook = '[portsentry]\n_hook = chain_hook="input", chain_priority="-1"\n'
        (jail.config / "jail.d/zz-test.local").write_text(f"{NFTABLES}{hook}")
        jail.client("reload", "--restart", "portsentry")
        assert f"a banned source still reaches the forwarded ports {_FORWARDED} (containers)" in drill.fault()


def test_what_is_wrong_with_the_sensor_is_named(
    drill: Drill, sensor: Sensor, jail: Fail2banServer, tmp_path: Path
) -> None:
    sensor.configure({"log": str(jail.log), "ignore": _SOURCES})
    sensor.status_now()
    assert "`ignore` in the configuration has " in drill.fault()
    sensor.configure({"log": str(jail.log)})
    sensor.status_now()
    config, other = tmp_path / "other.yaml", tmp_path / "other.log"
    config.write_text(f"log: {other}\n")
    other.touch()
    writer = drill.target.start("sh", "-c", _OTHER_PROGRAM, "sh", jail.log, other)
    found = drill.carry_out(config=config, line_seconds=15)
    assert f"the sensor writes to {jail.log}, and the configuration says {other}" in found["hints"][0]
    assert f"another program writes about scans into {other}" in found["hints"][1]
    writer.kill()
    sensor.stop()
    assert "no sensor runs in this network" in drill.fault()


def test_a_sensor_that_watches_another_interface_is_named(
    drill: Drill, start_sensor: StartSensor, jail: Fail2banServer
) -> None:
    start_sensor(iface="lo", log=str(jail.log))
    assert f"the sensor watches lo, and strangers come in on {IFACE}" in drill.fault(line_seconds=5)


def test_lines_with_a_wrong_date_are_named(
    drill: Drill, start_sensor: StartSensor, jail: Fail2banServer, tmp_path: Path
) -> None:
    program = tmp_path / "portsentry_py/__main__.py"
    program.parent.mkdir()
    program.write_text(_LATE_SENSOR)
    start_sensor(log=str(jail.log), program=(str(program),))
    (hint,) = drill.carry_out()["hints"]
    assert "and fail2ban can take it for an old one; correct the clock" in hint


@pytest.mark.usefixtures("sensor")
def test_what_the_kernel_does_not_let_through_is_named(drill: Drill, lab: Lab) -> None:
    """A strict reverse path filter drops what comes in where no answer would go out."""
    hidden = 'mount --bind /dev/null "$(readlink -f "$(command -v tc)")"'
    fault = drill.fault(line_seconds=5, prepare=hidden)
    assert "this kernel cannot hand the drill's packets to the interface" in fault
    lab.target.set_kernel(f"echo 1 >/proc/sys/net/ipv4/conf/{IFACE}/rp_filter")
    found = drill.carry_out()
    assert found["exit_code"] == 1, found
    assert "not tried whether a ban blocks over IPv4" in found["hints"][0]
    assert found["techniques"][0]["jail"] == "portsentry"


def test_an_interrupted_drill_leaves_nothing(drill: Drill, sensor: Sensor, jail: Fail2banServer) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        process = drill.start()
        second = drill.target.run(*drill.words("--quick"))
        assert (second.returncode, second.stdout) == (69, "")
        assert "another drill runs on this host" in second.stderr
        process.send_signal(number)
        assert process.wait(60) == 130
        sensor.settle()
        drill.nothing_is_left()
        assert jail.banned() == set()
        assert not drill.record.exists()


def test_what_a_killed_drill_left_is_told_and_removed_by_the_next(
    drill: Drill, sensor: Sensor, jail: Fail2banServer
) -> None:
    process = drill.start()
    sensor.wait_for(jail.banned, "a ban")
    process.kill()
    process.wait(60)
    drill.no_wire_is_left()
    assert "portsentry-py drill --clean" in drill.results_of_check()
    assert drill.carry_out()["exit_code"] == 0
    assert jail.banned() == set()
    assert drill.results_of_check() == "[]\n"
