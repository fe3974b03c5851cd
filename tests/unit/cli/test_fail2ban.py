"""`fail2ban`: the filter and jails are installed, removed and tested."""

from __future__ import annotations

from pathlib import Path

from tests.support.command import Command
from tests.support.needs import require_tool


def test_the_filter_and_jails_are_installed_and_removed(command: Command, tmp_path: Path) -> None:
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


def test_the_filter_is_tested_with_the_real_fail2ban(command: Command) -> None:
    require_tool("fail2ban-regex")
    done = command("fail2ban", "test")
    assert (done.code, done.err) == (0, "")
    assert "as it must be" in done.out
