"""lnav reads real lines with the format that is shipped for it."""

import json
import os
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

from portsentry_py.events.model import EVENT_CLASSES
from tests.scenarios.families import SCENARIOS
from tests.support.needs import require_tool
from tests.support.paths import ROOT

FORMAT = ROOT / "config/lnav/portsentry.json"
LINES = [line for one in SCENARIOS.values() for line in one.expected()]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "portsentry.log"
    path.write_bytes(b"".join(LINES))
    return path


def lnav(home: Path, *words: object) -> str:
    """What lnav prints, with a configuration of its own."""
    done = subprocess.run(
        [require_tool("lnav"), *map(str, words)],
        env={**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_format_has_every_key_of_the_line() -> None:
    keys = {item.name for kind in EVENT_CLASSES for item in fields(kind)} | {"event_type"}
    assert {"timestamp", *json.loads(FORMAT.read_text("utf-8"))["portsentry_log"]["value"]} == keys


def test_sql_counts_what_is_in_the_log(tmp_path: Path, log: Path) -> None:
    said = lnav(tmp_path, "-i", FORMAT) + lnav(tmp_path, "-W", "-C")
    assert "error" not in said
    assert "warning" not in said
    query = "SELECT verdict, log_level, count(*) AS lines, sum(ports) AS ports FROM portsentry_log GROUP BY verdict"
    rows = json.loads(lnav(tmp_path, "-n", "-c", f";{query}", "-c", ":write-json-to -", log))
    records = [json.loads(line) for line in LINES]
    levels = {"ban": "error", "watch": "warning", "ignore": "info", "none": "debug"}
    for row in rows:
        ours = [record for record in records if record["verdict"] == row["verdict"]]
        ports = [record["ports"] for record in ours if "ports" in record]
        assert (row["log_level"], row["lines"]) == (levels[row["verdict"]], len(ours))
        assert (row["ports"] or 0) == sum(ports)
    assert sum(row["lines"] for row in rows) == len(records)


def test_a_line_shows_who_what_and_why(tmp_path: Path, log: Path) -> None:
    lnav(tmp_path, "-i", FORMAT)
    shown = lnav(tmp_path, "-n", log).splitlines()
    assert len(shown) == len(LINES)
    assert any(" ban " in line and " port_scan " in line and "ports_in_window" in line for line in shown)
