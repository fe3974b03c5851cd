"""The command: exit codes, one sentence for each error, and nothing on standard output but what was asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import click
import pytest

from portsentry_py import __version__
from portsentry_py.capture import toolchain
from portsentry_py.capture.supervisor import CaptureSupervisor
from portsentry_py.capture.toolchain import Tools
from portsentry_py.cli import main as cli
from portsentry_py.config import loader as config
from portsentry_py.config.settings import Settings
from portsentry_py.output.sink import Dispatcher
from portsentry_py.sensor.systemd import SystemdNotifier
from tests.support.build import SCANNER, Sent, refused, syn, visit, write_pcap, write_pcapng
from tests.support.disk import fill, small_disk
from tests.support.needs import require_root, require_tool
from tests.support.other_users import unprivileged
from tests.support.programs import fake_capture_tools

NOBODY = 65_534


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration and no environment of the machine's own."""
    monkeypatch.setattr(config, "DEFAULT_PATH", Path("/nonexistent/portsentry.yaml"))
    for name in [name for name in os.environ if name.startswith("PORTSENTRY_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """A capture with a scan in it."""
    require_tool("tshark")
    return write_pcap(tmp_path / "x.pcap", refused(syn(SCANNER, *range(20, 40))), visit("198.51.100.7", 80))


class Done:
    """What became of a command."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def records(self) -> list[dict[str, object]]:
        """The lines on standard output."""
        return [json.loads(line) for line in self.out.splitlines()]


class Command:
    """Runs the command in this process; an exception that is no exit would fail the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capfd = capfd

    def __call__(self, *arguments: object) -> Done:
        """The exit code and what was printed."""
        self._monkeypatch.setattr(sys, "argv", ["portsentry-py", *map(str, arguments)])
        self._capfd.readouterr()
        code: object = 0
        try:
            cli.main()
        except SystemExit as error:
            code = error.code
        assert isinstance(code, int)
        printed = self._capfd.readouterr()
        return Done(code, printed.out, printed.err)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """The command, in this process."""
    return Command(monkeypatch, capfd)


def fails(done: Done, code: int, *words: str) -> None:
    """It says one sentence on standard error, and nothing else."""
    assert done.code == code, done.err
    assert done.out == ""
    (sentence,) = done.err.splitlines()
    assert "Traceback" not in sentence
    for word in words:
        assert word in sentence


def test_a_replay_prints_event_lines_alone(command: Command, capture: Path) -> None:
    done = command("replay", capture, "--home", "192.0.2.0/24")
    assert done.code == 0
    assert done.records[-1]["event_type"] == "status"
    assert any(record["verdict"] == "ban" for record in done.records)
    assert SCANNER in done.err, "the summary is for people"


def test_a_replay_gives_the_same_bytes_each_time(command: Command, capture: Path) -> None:
    assert command("replay", capture).out == command("replay", capture).out


def test_a_replay_can_be_written_to_a_file(command: Command, capture: Path, tmp_path: Path) -> None:
    printed = command("replay", capture).out
    done = command("replay", capture, "-o", tmp_path / "lines")
    assert (done.code, done.out) == (0, "")
    assert (tmp_path / "lines").read_text(encoding="ascii") == printed


def test_the_home_decides_who_scans(command: Command, capture: Path) -> None:
    for home in ("192.0.2.10", "10.0.0.0/8 192.0.2.0/24", "10.0.0.0/8,192.0.2.10"):
        assert any(
            record["event_type"] == "scan" for record in command("replay", capture, "--home", home).records
        )
    elsewhere = command("replay", capture, "--home", "10.0.0.0/8")
    assert [record["event_type"] for record in elsewhere.records] == ["status"]


def test_every_option_is_an_environment_variable(
    command: Command, capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tmp_path / "given.yaml"
    given.write_text("connections: 'off'\nignore: 203.0.113.0/24\n", encoding="utf-8")
    monkeypatch.setenv("PORTSENTRY_CONFIG", str(given))
    monkeypatch.setenv("PORTSENTRY_HOME", "192.0.2.0/24 2001:db8::/32")
    monkeypatch.setenv("PORTSENTRY_OUTPUT", str(tmp_path / "lines"))
    assert command("replay", capture).code == 0
    records = [json.loads(line) for line in (tmp_path / "lines").read_text(encoding="ascii").splitlines()]
    assert {record["event_type"] for record in records} == {"scan", "status"}
    assert {record["verdict"] for record in records} == {"ignore", "none"}
    monkeypatch.setenv("PORTSENTRY_ROOT", str(tmp_path / "no-system"))
    fails(command("fail2ban", "install"), 69, "no-system")


def commands(group: click.Group, *before: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, one in group.commands.items():
        if isinstance(one, click.Group):
            yield from commands(one, *before, name)
        yield (*before, name), one


@pytest.mark.parametrize(
    ("words", "one"),
    list(commands(cli.cli)),
    ids=lambda given: " ".join(given) if isinstance(given, tuple) else "",
)
def test_help_names_the_variable_of_each_option(
    command: Command, words: tuple[str, ...], one: click.Command
) -> None:
    done = command(*words, "--help")
    text = " ".join(done.out.split())
    assert done.code == 0
    for option in one.params:
        if isinstance(option, click.Option):
            assert option.opts[-1] in text
            assert isinstance(option.envvar, str), f"{option.opts} has no environment variable"
            assert option.envvar in text
            assert option.help


def test_the_help_names_the_exit_codes_and_commands(command: Command) -> None:
    text = command("-h").out
    for word in ("64", "65", "69", "73", "77", "78", "run", "replay", "check", "fail2ban", "schema"):
        assert word in text


def test_the_version_is_told(command: Command) -> None:
    assert __version__ in command("--version").out


def test_the_schema_is_printed(command: Command) -> None:
    file = resources.files("portsentry_py.events") / "event.schema.json"
    assert command("schema").out == file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["frobnicate"], "frobnicate"),
        (["--frobnicate"], "--frobnicate"),
        (["run", "--frobnicate"], "--frobnicate"),
        (["replay"], "CAPTURES"),
        (["replay", "x.pcap", "-o"], "-o"),
        (["schema", "extra"], "extra"),
        (["fail2ban", "frobnicate"], "frobnicate"),
    ],
)
def test_a_wrong_command_line_is_64(command: Command, arguments: list[str], word: str) -> None:
    fails(command(*arguments), 64, word, "--help")


@pytest.mark.parametrize("home", ["nonsense", "192.0.2.1/24", "192.0.2.0/33", "300.1.1.1"])
def test_a_wrong_home_is_64(command: Command, capture: Path, home: str) -> None:
    fails(command("replay", capture, "--home", home), 64, "--home", home)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ignore: [", ["broken YAML"]),
        ("ignored: []", ["ignored", "did you mean ignore?"]),
        ("traps: {tcp: ['20-10']}", ["traps.tcp", "upside down"]),
        ("ignore: [192.0.2.999]", ["ignore", "192.0.2.999"]),
        ("lines: {repeat_seconds: 1}", ["lines.repeat_seconds", "10"]),
    ],
)
@pytest.mark.parametrize("name", ["run", "replay", "check"])
def test_a_wrong_configuration_is_78(
    command: Command, capture: Path, name: str, text: str, words: list[str]
) -> None:
    given = capture.with_name("given.yaml")
    given.write_text(text, encoding="utf-8")
    arguments = [name, *([capture] if name == "replay" else []), "-c", given]
    fails(command(*arguments), 78, f"{given}:1: ", *words)


def test_a_missing_configuration_is_78(command: Command, tmp_path: Path) -> None:
    fails(command("check", "-c", tmp_path / "none.yaml"), 78, "none.yaml", "-c")


def test_a_missing_capture_is_65(command: Command, tmp_path: Path) -> None:
    require_tool("tshark")
    fails(command("replay", tmp_path / "none.pcap"), 65, "none.pcap", "No such file")


@pytest.mark.parametrize(("content", "word"), [(b"", "empty"), (b"just text\n" * 99, "pcap")])
def test_what_is_no_capture_is_65(command: Command, tmp_path: Path, content: bytes, word: str) -> None:
    require_tool("tshark")
    (tmp_path / "x.pcap").write_bytes(content)
    fails(command("replay", tmp_path / "x.pcap"), 65, "x.pcap", word)


def test_a_capture_that_breaks_off_is_fine_and_told(command: Command, capture: Path) -> None:
    capture.write_bytes(capture.read_bytes()[:-5])
    done = command("replay", capture)
    assert done.code == 0
    assert [record["state"] for record in done.records if record["event_type"] == "status"] == [
        "damaged",
        "stopped",
    ]
    assert any(record["verdict"] == "ban" for record in done.records)
    assert "what came before the damage was read" in done.err


def test_markup_in_a_file_name_is_shown_as_it_is(command: Command, tmp_path: Path) -> None:
    require_tool("tshark")
    fails(command("replay", tmp_path / "[bold]x[/bold].pcap"), 65, "[bold]x[/bold].pcap")


def test_a_log_without_a_directory_is_73(command: Command, capture: Path, tmp_path: Path) -> None:
    fails(command("replay", capture, "-o", tmp_path / "none" / "log"), 73, "none/log", "create the directory")


def test_a_live_log_without_a_directory_is_73(command: Command, tmp_path: Path) -> None:
    require_tool("tshark")
    fails(command("run", "-i", "lo", "--log", tmp_path / "none" / "log"), 73, "none/log")


def test_a_full_disk_is_73(command: Command, capture: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path) as disk:
        fill(disk)
        fails(command("replay", capture, "-o", disk / "log"), 73, "disk/log", "No space left", "make room")
        assert (disk / "log").read_bytes() == b""


def test_a_full_standard_output_is_73(capture: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "portsentry_py", "replay", capture],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert done.returncode == 73
    assert "standard output" in done.stderr
    assert "No space left on device); make room" in done.stderr


@pytest.mark.parametrize("arguments", [["run", "-i", "lo", "--log"], ["replay", "x.pcap", "-o"]])
def test_a_log_that_leads_elsewhere_is_73(command: Command, tmp_path: Path, arguments: list[str]) -> None:
    require_tool("tshark")
    (tmp_path / "log").symlink_to(tmp_path / "victim")
    fails(command(*arguments, tmp_path / "log"), 73, str(tmp_path / "log"), "it is a symbolic link")
    assert not (tmp_path / "victim").exists()


def test_a_log_that_may_not_be_written_is_77(
    command: Command, capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    log.touch(0o400)
    found = toolchain._discover()
    monkeypatch.setattr(toolchain, "_discover", lambda: found)  # that user may be unable to run our Python
    assert command("replay", capture).code == 0  # everything that it imports late is imported now
    with unprivileged():
        done = command("replay", capture, "-o", log)
    fails(done, 77, str(log), "run as root")


def test_a_configuration_that_may_not_be_read_is_77(command: Command, tmp_path: Path) -> None:
    given = tmp_path / "given.yaml"
    given.touch(0o000)
    with unprivileged():
        done = command("check", "-c", given)
    fails(done, 77, str(given), "run as root")


def test_an_unknown_interface_is_69(command: Command, tmp_path: Path) -> None:
    require_root()
    require_tool("tshark")
    done = command("run", "-i", "no_such_if0", "--log", tmp_path / "log")
    fails(done, 69, "no_such_if0", "tshark -D")


@pytest.mark.parametrize("name", ["run", "replay"])
def test_a_missing_tshark_is_69(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    fails(command(name, *(["x.pcap"] if name == "replay" else [])), 69, "install it with")


@pytest.mark.parametrize("name", ["run", "replay"])
def test_a_tshark_that_is_too_old_is_69(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    fake_capture_tools(tmp_path, "echo 'TShark (Wireshark) 2.6.20'")
    monkeypatch.setenv("PATH", str(tmp_path))
    fails(command(name, *(["x.pcap"] if name == "replay" else [])), 69, "2.6.20 is too old", "3.6.0")


class Sensor:
    """Stands for the running sensor: says that it runs, reads its configuration again, and ends."""

    made: list[Sensor]

    def __init__(
        self,
        settings: Settings,
        _captures: CaptureSupervisor,
        outputs: Dispatcher,
        *,
        manager: SystemdNotifier,
        announce: Callable[[list[str]], None],
        reload: Callable[[], Settings],
    ) -> None:
        assert manager
        self.settings = settings
        self.outputs = outputs
        self.announce = announce
        self.reload = reload
        self.made.append(self)

    def run(self) -> None:
        """Run for no time at all."""
        self.announce(list(self.settings.interfaces))


@pytest.fixture
def sensor(monkeypatch: pytest.MonkeyPatch) -> type[Sensor]:
    """The sensor that `run` starts is a stand-in."""
    monkeypatch.setattr(Sensor, "made", [], raising=False)
    monkeypatch.setattr(cli, "Daemon", Sensor)
    monkeypatch.setattr(cli, "find_tools", lambda: Tools("tshark", "/bin/true", "4.0.17"))
    return Sensor


def test_run_watches_what_it_is_told_and_says_so(
    command: Command, tmp_path: Path, sensor: type[Sensor]
) -> None:
    given, log = tmp_path / "given.yaml", tmp_path / "log"
    given.write_text(f"interfaces: [eth5]\nlog: {tmp_path / 'other'}\nconnections: all\n", encoding="utf-8")
    done = command("run", "-c", given, "-i", "eth0", "-i", "eth1", "--log", log)
    assert (done.code, done.out) == (0, "")
    assert f"watches eth0, eth1 with tshark 4.0.17; log: {log}" in done.err
    (one,) = sensor.made
    assert (one.settings.interfaces, one.settings.log) == (("eth0", "eth1"), str(log))
    assert one.reload() == one.settings, "options outlive a reload"
    assert log.exists()
    assert not (tmp_path / "other").exists()


def test_run_takes_the_configuration_where_no_option_is_given(
    command: Command, tmp_path: Path, sensor: type[Sensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tmp_path / "given.yaml"
    given.write_text("interfaces: [eth5]\nlog: '-'\n", encoding="utf-8")
    assert "log: standard output" in command("run", "-c", given).err
    assert list(sensor.made[-1].settings.interfaces) == ["eth5"]
    monkeypatch.setenv("PORTSENTRY_CONFIG", str(given))
    monkeypatch.setenv("PORTSENTRY_IFACE", "eth6 eth7")
    monkeypatch.setenv("PORTSENTRY_LOG", str(tmp_path / "log"))
    assert command("run").code == 0
    assert list(sensor.made[-1].settings.interfaces) == ["eth6", "eth7"]
    assert (tmp_path / "log").exists()


def test_the_jail_pack_is_installed_and_removed(command: Command, tmp_path: Path) -> None:
    (tmp_path / "etc/fail2ban").mkdir(parents=True)
    done = command("fail2ban", "install", "--root", tmp_path)
    assert done.code == 0
    assert "fail2ban-client reload" in done.out
    placed = tmp_path / "etc/fail2ban/filter.d/portsentry-py.conf"
    assert placed.exists()
    placed.write_text("[mine]\n", encoding="utf-8")
    changed = command("fail2ban", "install", "--root", tmp_path)
    assert "kept" in changed.out
    assert "[mine]" in changed.out
    assert command("fail2ban", "uninstall", "--root", tmp_path).code == 0


def test_the_filter_is_proved_with_the_real_fail2ban(command: Command) -> None:
    require_tool("fail2ban-regex")
    done = command("fail2ban", "test")
    assert (done.code, done.err) == (0, "")
    assert "as it must be" in done.out


def test_check_tells_what_is_wrong_and_exits_with_it(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = command("check")
    assert done.code == 69
    assert "ok    configuration" in done.out
    assert "wrong tshark" in done.out


def test_a_reader_that_leaves_is_no_error(capture: Path) -> None:
    big = write_pcap(capture.parent / "big.pcap", [probe for last in range(250) for probe in scan(last)])
    script = f"{sys.executable} -m portsentry_py replay '{big}' | head -n 1"
    environment = {name: text for name, text in os.environ.items() if not name.startswith("PORTSENTRY_")}
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", script],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1


def scan(last: int) -> list[Sent]:
    return syn(f"203.0.113.{last}", *range(100, 110), at=last)


def test_the_module_runs_as_the_command_does() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "portsentry_py", "--version"], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert __version__ in done.stdout


def test_an_interrupt_is_one_word(command: Command, capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "find_tools", interrupt)
    done = command("replay", capture)
    assert (done.code, done.out, done.err.strip()) == (130, "", "interrupted.")


def test_an_interface_of_any_name_can_be_replayed(command: Command, tmp_path: Path) -> None:
    require_tool("tshark")
    path = write_pcapng(tmp_path / "x.pcapng", "wlän0", syn(SCANNER, *range(20, 40)))
    done = command("replay", path)
    assert done.code == 0
    assert done.out.isascii()


def test_status_shows_what_the_log_says(command: Command, capture: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert command("replay", capture, "-o", log).code == 0

    shown = command("status", "--log", log, "--json", "--socket", tmp_path / "none")

    assert shown.code == 0, shown.err
    found = json.loads(shown.out)
    assert [source["src_ip"] for source in found["sources"]] == [SCANNER]
    assert found["log"]["lines_unreadable"] == 0


def test_status_without_a_log_is_65(command: Command, tmp_path: Path) -> None:
    fails(command("status", "--log", tmp_path / "none"), 65, str(tmp_path / "none"))
