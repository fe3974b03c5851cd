"""The command in this process: its exit code and what it prints."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from portsentry_py.cli.main import main
from portsentry_py.config import loader


class Done:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def records(self) -> list[dict[str, object]]:
        """The lines on standard output."""
        return [json.loads(line) for line in self.out.splitlines()]


class Command:
    """Runs the command in this process, without a configuration or variables of this machine."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capfd = capfd
        monkeypatch.setattr(loader, "DEFAULT_PATH", Path("/nonexistent/portsentry.yaml"))
        for name in [name for name in os.environ if name.startswith("PORTSENTRY_")]:
            monkeypatch.delenv(name)

    def __call__(self, *arguments: object) -> Done:
        self._monkeypatch.setattr(sys, "argv", ["portsentry-py", *map(str, arguments)])
        self._capfd.readouterr()
        code: object = 0
        try:
            main()
        except SystemExit as error:
            code = error.code
        assert isinstance(code, int)
        printed = self._capfd.readouterr()
        return Done(code, printed.out, printed.err)


def fails(done: Done, code: int, *words: str) -> None:
    """Fail unless it printed one sentence with these words on standard error, and nothing else."""
    assert done.code == code, done.err
    assert done.out == ""
    (sentence,) = done.err.splitlines()
    assert "Traceback" not in sentence
    for word in words:
        assert word in sentence


def commands_of(group: click.Group, *before: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command and group of commands, by the words that call it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        one = group.get_command(context, name)
        assert one is not None
        if isinstance(one, click.Group):
            yield from commands_of(one, *before, name)
        yield (*before, name), one
