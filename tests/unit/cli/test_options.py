"""One rule for all options: with a value it is an environment variable as well, as a flag it is none."""

import json
import re
from pathlib import Path

import click
import pytest

from portsentry_py.cli.main import cli
from tests.support.command import Command, commands_of, fails
from tests.support.paths import ROOT

COMMANDS = dict(commands_of(cli))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_explains_each_option_and_names_its_variable(command: Command, words: tuple[str, ...]) -> None:
    done = command(*words, "--help")
    text = " ".join(done.out.split())
    assert done.code == 0
    for option in COMMANDS[words].params:
        if isinstance(option, click.Option):
            name = option.opts[-1]
            assert name in text
            assert option.help
            assert (f"PORTSENTRY_{name[2:].upper().replace('-', '_')};" in text) is not option.is_flag


def test_the_variables_are_read(
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


def test_a_variable_with_the_name_of_a_flag_is_not_read(
    command: Command, capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container's image may well set PORTSENTRY_VERSION."""
    for flag in ("VERSION", "APPEND"):
        monkeypatch.setenv(f"PORTSENTRY_{flag}", "1")
    (tmp_path / "lines").write_text("before\n")
    (tmp_path / "lines").chmod(0o640)
    assert command("replay", capture, "-o", tmp_path / "lines").code == 0
    assert "before" not in (tmp_path / "lines").read_text()


def test_the_variables_that_quickstart_passes_on_exist() -> None:
    passed_on = set(re.findall(r"PORTSENTRY_\w+", (ROOT / "quickstart").read_text(encoding="utf-8")))
    names = {option.opts[-1][2:] for one in COMMANDS.values() for option in one.params}
    assert passed_on
    assert passed_on <= {f"PORTSENTRY_{name.upper()}" for name in names}
