"""`fail2ban`: the filter and jails are installed, removed and tested."""

from pathlib import Path
from unittest.mock import Mock

import pytest

from tests.support.command import Command
from tests.support.needs import require_tool
from tests.support.programs import write_program


def test_the_filter_and_jails_are_installed_and_removed(command: Command, tmp_path: Path) -> None:
    (tmp_path / "etc/fail2ban").mkdir(parents=True)
    (tmp_path / "usr/sbin").mkdir(parents=True)
    (tmp_path / "usr/sbin/nft").touch()
    done = command("fail2ban", "install", "--root", tmp_path)
    assert done.code == 0
    assert "fail2ban install --reload" in done.out
    assert "the jails ban with nftables[type=allports]" in done.out
    placed = tmp_path / "etc/fail2ban/filter.d/portsentry-py.conf"
    assert placed.exists()
    placed.write_text("[mine]\n", encoding="utf-8")
    changed = command("fail2ban", "install", "--root", tmp_path)
    assert "kept" in changed.out
    assert "[mine]" in changed.out
    assert command("fail2ban", "uninstall", "--root", tmp_path).code == 0


def test_the_running_fail2ban_reads_the_jails_and_no_other_tree_has_one(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = command("fail2ban", "install", "--root", tmp_path, "--reload")
    assert (refused.code, "leave out --reload" in refused.err) == (64, True)
    install, read_jails = Mock(return_value=[]), Mock()
    monkeypatch.setattr("portsentry_py.cli.fail2ban.installer.install", install)
    monkeypatch.setattr("portsentry_py.cli.fail2ban.read_jails", read_jails)
    assert command("fail2ban", "install", "--reload", "--ban-action", "mine").code == 0
    install.assert_called_once_with(Path("/"), "mine")
    read_jails.assert_called_once_with()


def test_the_filter_is_tested_with_the_real_fail2ban(command: Command) -> None:
    require_tool("fail2ban-regex")
    done = command("fail2ban", "test")
    assert (done.code, done.err) == (0, "")
    assert "as it must be" in done.out


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ("Unable to contact server", "no ban was tried: fail2ban does not answer"),
        ("Permission denied to socket", "no ban was tried: fail2ban answers only root"),
        ("the jail 'portsentry' does not exist", "no ban was tried: fail2ban has no jail portsentry"),
        ("out of order", "fail2ban-client failed (out of order)"),
    ],
)
def test_a_test_ban_that_fails_is_69_and_one_that_cannot_be_tried_is_0(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, sentence: str
) -> None:
    write_program(tmp_path / "fail2ban-client", f'#!/bin/sh\necho "{answer}" >&2\nexit 255\n')
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("portsentry_py.cli.fail2ban.run_all_modes", list)
    done = command("fail2ban", "test")
    assert sentence in done.out + done.err
    assert done.code == (0 if sentence.startswith("no ban") else 69)
