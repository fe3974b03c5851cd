"""`check`: each finding is printed, and the worst one is the exit code."""

import os
from pathlib import Path

import pytest

from portsentry_py.checks.result import Level, Result
from portsentry_py.cli import check as module
from tests.support.command import Command


def test_the_worst_finding_is_the_exit_code(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = command("check")
    assert done.code == 2
    assert "ok      configuration: no file, the defaults" in done.out
    assert "broken  tshark: " in done.out


@pytest.mark.parametrize(("level", "code"), [("ok", 0), ("warning", 1), ("broken", 2)])
def test_each_level_has_its_exit_code(
    command: Command, monkeypatch: pytest.MonkeyPatch, level: Level, code: int
) -> None:
    found = [Result("log", "fine"), Result("jail", "a sentence", level), Result("tshark", "fine")]
    monkeypatch.setattr(module, "check_all", lambda *_args, **_words: iter(found))
    done = command("check")
    assert done.code == code
    assert f"{level:<7} jail: a sentence" in done.out.splitlines()


def test_before_a_reload_only_the_configuration_is_read(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    config = tmp_path / "portsentry.yaml"
    config.write_text("ignore: [0.0.0.0/0]\n")
    assert command("check", "--config-only", "-c", config).code == 0, "a reload does not stop at a warning"
    config.write_text("ignore: nobody\n")
    done = command("check", "--config-only", "-c", config)
    assert done.code == 2
    assert "broken  configuration: " in done.out
    assert "'nobody' is not an IP address or network" in done.out


def test_a_configuration_that_is_a_pipe_does_not_hang(command: Command, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    done = command("check", "-c", tmp_path / "pipe")
    assert done.code == 2
    assert "it is a FIFO" in done.out


def test_a_network_that_holds_everybody_is_a_warning(command: Command, tmp_path: Path) -> None:
    config = tmp_path / "portsentry.yaml"
    config.write_text("home: [0.0.0.0/0]\n")
    assert "warning configuration: home: 0.0.0.0/0 holds a great part" in command("check", "-c", config).out
