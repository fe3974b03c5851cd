"""`report`: logs in; tables or JSON out."""

import gzip
import json
from pathlib import Path

import pytest
from rich.status import Status

from tests.support.command import Command, fails
from tests.support.log_lines import line, scenario_log, write


def test_a_log_of_a_replay_is_summarized(command: Command, capture: Path, tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    assert command("replay", capture, "-o", log).code == 0
    found = json.loads(command("report", log, "--json").out)
    assert (found["totals"]["scans"], found["totals"]["sources_banned"], found["reading"]["unreadable"]) == (1, 1, 0)
    assert "by technique: 1" in command("report", log).out


def test_the_log_of_the_configuration_comes_with_its_rotated_ones(command: Command, tmp_path: Path) -> None:
    write(tmp_path / "p.log", line())
    write(tmp_path / "p.log.1", line(event_id="b"))
    (tmp_path / "p.log.2.gz").write_bytes(gzip.compress(line(event_id="c") + b"\n"))
    config = tmp_path / "c.yaml"
    config.write_text(f"log: {tmp_path}/p.log\n")
    found = json.loads(command("report", "-c", config, "--json").out)
    assert (len(found["reading"]["files"]), found["totals"]["scans"]) == (3, 3)


def test_standard_output_is_no_log_to_read(command: Command, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text('log: "-"\n')
    fails(command("report", "-c", config), 64, "standard output", "name the files")


def test_a_period_limits_what_is_counted(command: Command, tmp_path: Path) -> None:
    log = write(tmp_path / "a.log", line(), line(timestamp="2026-11-21T08:00:00.000000Z", event_id="b"))
    for words in (["--since", "2026-11-21"], ["--until", "2026-11-21"]):
        assert json.loads(command("report", log, "--json", *words).out)["totals"]["scans"] == 1
    assert json.loads(command("report", log, "--json", "--since", "2099-01-01").out)["totals"]["lines"] == 0
    fails(command("report", log, "--since", "soon"), 64, "--since", "soon")


def test_would_ban_marks_the_allowlist_of_the_configuration(command: Command, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("ignore: [203.0.113.9]\n")
    log = write(tmp_path / "a.log", line())
    rules = json.loads(command("report", log, "-c", config, "--would-ban", "--json").out)["would_ban"]["rules"]
    assert {rule["name"]: rule["innocents"] for rule in rules}["normal"] == 1
    (row,) = (row for row in command("report", log, "-c", config, "--would-ban").out.splitlines() if " yes " in row)
    assert " 203.0.113.9 " in row


def test_a_missing_log_is_65(command: Command, tmp_path: Path) -> None:
    fails(command("report", tmp_path / "none"), 65, str(tmp_path / "none"))


def test_a_terminal_sees_how_far_the_reading_is(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    monkeypatch.setattr(Status, "update", lambda _, text: shown.append(str(text)))
    logs = [scenario_log(tmp_path / name) for name in ("a.log", "b.log")]
    assert command("report", *logs).code == 0
    assert shown[0] == "a.log, file 1 of 2: 0 %"
    assert "b.log, file 2 of 2: 0 %" in shown


def test_a_page_replaces_the_tables(command: Command, tmp_path: Path) -> None:
    html = tmp_path / "page.html"
    log = write(tmp_path / "a.log", line())
    done = command("report", log, "--html", html)
    assert (done.code, done.out, done.err) == (0, "", f"page: {html}\n")
    assert html.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert json.loads(command("report", log, "--html", html, "--json").out)["totals"]["scans"] == 1
    fails(command("report", log, "--html", tmp_path / "none" / "page.html"), 73, "none/page.html")


def test_no_cell_of_a_wide_table_is_cut(command: Command, tmp_path: Path) -> None:
    address = "2001:db8:1111:2222:3333:4444:5555:6666"
    log = write(tmp_path / "a.log", line(src_ip=address, src_net="2001:db8:1111:2222::/64"))
    shown = command("report", log, "--would-ban").out
    assert f" {address} " in shown
    assert "…" not in shown


def test_a_wrong_database_of_fail2ban_is_65(command: Command, tmp_path: Path) -> None:
    log = write(tmp_path / "a.log", line())
    fails(command("report", log, "--fail2ban-db", log), 65, "fail2ban's database")
