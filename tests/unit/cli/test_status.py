"""`status`: what the log and fail2ban say."""

import json
from pathlib import Path

from tests.support.build import SCANNER
from tests.support.command import Command, fails


def test_status_shows_the_sources_of_the_log(command: Command, capture: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert command("replay", capture, "-o", log).code == 0
    shown = command("status", "--log", log, "--json", "--socket", tmp_path / "none")
    assert shown.code == 0, shown.err
    found = json.loads(shown.out)
    assert [source["src_ip"] for source in found["sources"]] == [SCANNER]
    assert found["log"]["lines_unreadable"] == 0
    assert SCANNER in command("status", "--log", log, "--socket", tmp_path / "none").out


def test_a_missing_log_is_65(command: Command, tmp_path: Path) -> None:
    fails(command("status", "--log", tmp_path / "none"), 65, str(tmp_path / "none"))
