"""`tail`: the log in readable lines, plain where standard output is no terminal."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.build import SCANNER, SCANNER6, log_lines, refused, strict, syn, watch
from tests.support.command import Command, fails
from tests.support.running import ran
from tests.support.terminal import terminal
from tests.support.waiting import wait_for

HOSTILE = b'\x1b]0;owned\x07{"timestamp":"\xe2\x80\xae\n'


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "portsentry.log"
    lines = log_lines(watch(strict(), refused(syn(SCANNER, 20, 21, 22, 23)), refused(syn(SCANNER6, 20, 21, 22, 24))))
    path.write_bytes(b"".join([*lines, HOSTILE]))
    return path


def test_the_last_lines_are_readable_and_safe(command: Command, log: Path) -> None:
    done = command("tail", "--log", log, "--once", "--utc", "--lines", 4)
    assert done.code == 0, done.err
    shown = done.out.splitlines()
    assert len(shown) == 4
    assert all(line.isprintable() for line in shown)
    assert any(line.startswith("2023-11-14T22:13:20Z ban ") and SCANNER6 in line for line in shown)
    assert shown[-1].startswith("? ?]0;owned?")


def test_local_time_has_no_zone(command: Command, log: Path) -> None:
    assert "Z " not in command("tail", "--log", log, "--once").out


@pytest.mark.parametrize(("variables", "colored"), [("", True), ("NO_COLOR=1", False)])
def test_a_terminal_gets_colours_unless_it_wants_none(log: Path, variables: str, *, colored: bool) -> None:
    words = ("env", "-u", "NO_COLOR", *variables.split(), sys.executable, "-m", "portsentry_py")
    with terminal() as (leader, follower):
        done = ran(*words, "tail", "--log", log, "--once", "--verdict", "ban", stdout=follower)
        assert done.returncode == 0, done.stderr
        shown = os.read(leader, 1 << 16).decode()
    assert SCANNER in shown
    assert ("\x1b[31m" in shown) is colored


def test_json_passes_the_lines_of_the_sensor_through(command: Command, log: Path) -> None:
    done = command("tail", "--log", log, "--once", "--json", "--lines", 1000)
    assert done.out.encode() + HOSTILE == log.read_bytes()


def test_filters_leave_lines_out(command: Command, log: Path) -> None:
    words = (
        "--once",
        "--json",
        "--net",
        "203.0.113.0/24 192.0.2.0/24",
        "--event-type",
        "scan",
        "--technique",
        "port_scan",
    )
    found = [json.loads(line) for line in command("tail", "--log", log, *words).out.splitlines()]
    assert {line["src_ip"] for line in found} == {SCANNER}
    assert command("tail", "--log", log, "--once", "--known", "any").out == ""


def test_a_wrong_word_or_network_is_64(command: Command, log: Path) -> None:
    fails(command("tail", "--log", log, "--verdict", "block"), 64, "block")
    fails(command("tail", "--log", log, "--net", "198.51.100.1/24"), 64, "--net", "198.51.100.1/24")


def test_a_missing_log_is_65(command: Command, tmp_path: Path) -> None:
    fails(command("tail", "--log", tmp_path / "none"), 65, str(tmp_path / "none"))
    fails(command("tail", "--log", "-"), 65, "--log")


def test_new_lines_follow_over_a_rotation_until_ctrl_c(log: Path, tmp_path: Path) -> None:
    lines = log.read_bytes().splitlines(keepends=True)[:-1]
    out = tmp_path / "out"

    def shown_after(line: bytes) -> int:
        with log.open("ab") as added:
            added.write(line)
        return out.stat().st_size

    with out.open("wb") as file:
        words = ("-m", "portsentry_py", "tail", "--log", log, "--json", "--lines", "0", "--verdict", "none")
        child = subprocess.Popen([sys.executable, *map(str, words)], stdout=file, stderr=subprocess.PIPE)
    try:
        for nth in (1, 2):  # the first lines may be written before it has opened the log, and be of the past
            wait_for(lambda: shown_after(lines[0]), "a line")
            log.rename(log.with_name(f"portsentry.log.{nth}"))
            log.touch()
            out.write_bytes(b"")
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=60)
    finally:
        child.kill()
        child.wait()
    assert (child.returncode, said) == (0, b"")


def test_a_reader_that_leaves_is_no_failure(log: Path) -> None:
    shell = f"{sys.executable} -m portsentry_py tail --once --lines 1000 --log {log} | head -c 1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {shell}"], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
