"""`check`: each problem is printed, and the first one is the exit code."""

from pathlib import Path

import pytest

from tests.support.command import Command


def test_the_first_problem_is_the_exit_code(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = command("check")
    assert done.code == 69
    assert "ok    configuration" in done.out
    assert "wrong tshark" in done.out
