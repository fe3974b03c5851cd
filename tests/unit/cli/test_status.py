"""`status`: what the log and fail2ban say."""

import json
import time
from pathlib import Path

import pytest

from portsentry_py.cli import status as module
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.events.model import SensorState
from portsentry_py.sensor.status_reporter import status_event
from tests.support.build import SCANNER, US, log_lines, strict
from tests.support.command import Command, fails


def test_status_shows_the_sources_of_the_log(command: Command, capture: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert command("replay", capture, "-o", log).code == 0
    shown = command("status", "--log", log, "--json", "--socket", tmp_path / "none")
    assert shown.code == 69, "the replay has ended, so no sensor writes this log"
    found = json.loads(shown.out)
    assert [source["src_ip"] for source in found["sources"]] == [SCANNER]
    assert found["log"]["lines_unreadable"] == 0
    assert SCANNER in command("status", "--log", log, "--socket", tmp_path / "none").out


def test_a_missing_log_is_65(command: Command, tmp_path: Path) -> None:
    fails(command("status", "--log", tmp_path / "none"), 65, str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("state", "others", "code"), [("running", [], 0), ("stopped", [11], 69), (None, [], 69), (None, [11], 0)]
)
def test_a_dead_sensor_is_69(
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    state: SensorState | None,
    others: list[int],
    code: int,
) -> None:
    """A log that does not say is judged by the processes."""
    monkeypatch.setattr(module, "running_sensors", lambda: others)
    monkeypatch.setattr(module, "start_command", lambda: "systemctl start portsentry-py")
    log = tmp_path / "log"
    now_us = time.time_ns() // 1000
    events = [status_event(Pipeline(strict(), US), now_us, state, "none")] if state else []
    log.write_bytes(b"".join(log_lines(events)))
    done = command("status", "--log", log, "--socket", tmp_path / "none")
    assert done.code == code
    quiet = command("status", "--quiet", "--log", log, "--socket", tmp_path / "none")
    assert (quiet.code, quiet.out, quiet.err) == (code, "", "")
    assert ("start it with `systemctl start portsentry-py`" in " ".join(done.out.split())) is (state == "stopped")
