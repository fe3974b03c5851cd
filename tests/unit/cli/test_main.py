"""Each error is one sentence and its own exit code, and `--help` explains both."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from portsentry_py import __version__, errors
from portsentry_py.cli import main as cli
from tests.support.command import Command, fails
from tests.support.needs import require_tool
from tests.support.other_users import unprivileged
from tests.support.programs import fake_capture_tools
from tests.support.running import ran, run_python


def exit_codes(error: type[errors.PortsentryError] = errors.PortsentryError) -> Iterator[int]:
    yield error.exit_code
    for kind in error.__subclasses__():
        yield from exit_codes(kind)


def test_help_names_every_exit_code_and_command(command: Command) -> None:
    done = command("-h")
    assert (done.code, done.err) == (0, "")
    lines = {line.split()[0] for line in done.out.splitlines() if line.startswith("  ")}
    assert {*map(str, exit_codes()), "1", "2", "130"} <= lines
    assert {"run", "replay", "check", "status", "fail2ban", "schema"} <= lines
    assert not any(line.endswith("...") for line in done.out.splitlines()[1:]), "a summary is cut off"


def test_the_version_is_printed(command: Command) -> None:
    assert __version__ in command("--version").out


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
@pytest.mark.parametrize("name", ["run", "replay", "status"])
def test_a_wrong_configuration_is_78(command: Command, capture: Path, name: str, text: str, words: list[str]) -> None:
    given = capture.with_name("given.yaml")
    given.write_text(text, encoding="utf-8")
    arguments = [name, *([capture] if name == "replay" else []), "-c", given]
    fails(command(*arguments), 78, f"{given}:1: ", *words)


def test_a_missing_configuration_is_78(command: Command, tmp_path: Path) -> None:
    fails(command("status", "-c", tmp_path / "none.yaml"), 78, "none.yaml", "-c")


def test_an_unreadable_configuration_is_77(command: Command, tmp_path: Path) -> None:
    given = tmp_path / "given.yaml"
    given.touch(0o000)
    with unprivileged():
        done = command("status", "-c", given)
    fails(done, 77, str(given), "run as root")


@pytest.mark.parametrize("arguments", [["run", "-i", "lo", "--log"], ["replay", "x.pcap", "-o"]])
def test_a_symbolic_link_as_output_is_73(command: Command, tmp_path: Path, arguments: list[str]) -> None:
    require_tool("tshark")
    (tmp_path / "log").symlink_to(tmp_path / "victim")
    fails(command(*arguments, tmp_path / "log"), 73, str(tmp_path / "log"), "it is a symbolic link")
    assert not (tmp_path / "victim").exists()


@pytest.mark.parametrize("name", ["run", "replay"])
def test_a_missing_tshark_is_69(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    fails(command(name, *(["x.pcap"] if name == "replay" else [])), 69, "install it with")


@pytest.mark.parametrize("name", ["run", "replay"])
def test_an_old_tshark_is_69(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    fake_capture_tools(tmp_path, "echo 'TShark (Wireshark) 2.6.20'")
    monkeypatch.setenv("PATH", str(tmp_path))
    fails(command(name, *(["x.pcap"] if name == "replay" else [])), 69, "2.6.20 is too old", "3.6.0")


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (KeyboardInterrupt(), 130, ["interrupted."]),
        (OSError(28, "No space left on device"), 73, ["No space left on device", "make room"]),
        (errors.ReaderGone("nobody reads"), 0, []),
        (ZeroDivisionError("\x1b[2Ja bug"), 70, ["Traceback", "?[2Ja bug", "please report it."]),
    ],
)
def test_what_a_command_raises_becomes_its_exit_code(
    command: Command, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, words: list[str]
) -> None:
    def fail(**_options: object) -> None:
        raise error

    monkeypatch.setattr(cli.cli, "main", fail)
    done = command("check")
    assert (done.code, done.out, bool(done.err)) == (code, "", bool(words))
    assert all(word in done.err for word in words)


@pytest.mark.parametrize(
    ("arguments", "also_unused"),
    [
        (["--help"], {"json", "logging", "msgspec", "orjson", "psutil", "subprocess", "traceback", "yaml"}),
        (["run", "--help"], {"msgspec", "orjson", "yaml"}),
        (["schema"], {"logging", "msgspec", "orjson", "psutil", "subprocess", "yaml"}),
        (["run"], set()),
    ],
)
def test_a_command_imports_no_library_that_it_does_not_use(arguments: list[str], also_unused: set[str]) -> None:
    """Each import delays the start; here `run` ends because there is no tshark."""
    script = """
        import os, pathlib, sys
        from portsentry_py.cli.main import main
        os.environ["PATH"] = ""
        try:
            main()
        except SystemExit:
            pass
        print(*{name.partition(".")[0] for name in sys.modules})
    """
    unused = {"asyncio", "duckdb", "email", "http", "lxml", "multiprocessing", "prometheus_client"}
    unused |= {"pydantic", "pyshark", "rich", "scapy"} | also_unused
    assert unused & set(run_python(script, *arguments).stdout.splitlines()[-1].split()) == set()


def test_a_replay_imports_nothing_of_other_commands(capture: Path, tmp_path: Path) -> None:
    script = """
        import sys
        from portsentry_py.cli.main import main
        main()
        print(*sys.modules)
    """
    imported = run_python(script, "replay", capture, "-o", tmp_path / "lines").stdout.split()
    assert "portsentry_py.core.pipeline" in imported
    others = ("portsentry_py.report", "portsentry_py.fail2ban", "portsentry_py.fleet", "portsentry_py.checks")
    assert [name for name in imported if name.startswith(others)] == []


def test_the_help_shows_the_summary_of_each_command() -> None:
    context = click.Context(cli.cli)
    for name, (_, summary) in cli.COMMANDS.items():
        found = cli.cli.get_command(context, name)
        assert found is not None
        assert found.get_short_help_str(len(summary)) == summary


def test_the_module_runs_as_the_command_does() -> None:
    done = ran(sys.executable, "-m", "portsentry_py", "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert __version__ in done.stdout
