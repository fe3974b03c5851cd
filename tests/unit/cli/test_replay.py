"""`replay`: event lines alone in its output, which only a replay that has read all its input replaces."""

import os
import stat
import sys
from pathlib import Path

import pytest

from portsentry_py.capture.toolchain import find_tools
from portsentry_py.cli import replay as cli_replay
from tests.support.build import SCANNER, Sent, syn, write_pcap, write_pcapng
from tests.support.command import Command, fails
from tests.support.disk import fill, small_disk
from tests.support.needs import require_root, require_tool
from tests.support.other_users import unprivileged
from tests.support.running import ran


def test_standard_output_gets_event_lines_alone(command: Command, capture: Path) -> None:
    done = command("replay", capture, "--home", "192.0.2.0/24")
    assert done.code == 0
    assert done.records[-1]["event_type"] == "status"
    assert any(record["verdict"] == "ban" for record in done.records)
    assert SCANNER in done.err, "the summary is for people"


def test_each_replay_gives_the_same_bytes(command: Command, capture: Path) -> None:
    assert command("replay", capture).out == command("replay", capture).out


def test_a_replay_replaces_the_file_of_an_earlier_one(command: Command, capture: Path, tmp_path: Path) -> None:
    printed = command("replay", capture).out
    lines = tmp_path / "lines"
    for _ in range(2):
        done = command("replay", capture, "-o", lines)
        assert (done.code, done.out) == (0, "")
        assert lines.read_text(encoding="ascii") == printed
    assert sorted(tmp_path.iterdir()) == sorted([capture, lines])
    assert stat.S_IMODE(lines.stat().st_mode) == 0o640


def test_append_adds_to_the_file(command: Command, capture: Path, tmp_path: Path) -> None:
    printed = command("replay", capture).out
    for _ in range(2):
        assert command("replay", capture, "--append", "-o", tmp_path / "lines").code == 0
    assert (tmp_path / "lines").read_text(encoding="ascii") == 2 * printed


def test_a_replay_that_fails_leaves_the_earlier_file(command: Command, capture: Path, tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    lines.write_text("earlier\n")
    lines.chmod(0o640)
    fails(command("replay", capture, tmp_path / "none.pcap", "-o", lines), 65, "none.pcap")
    assert lines.read_text() == "earlier\n"
    assert sorted(tmp_path.iterdir()) == sorted([capture, lines])


def test_the_mode_and_owner_of_a_replaced_file_stay(command: Command, capture: Path, tmp_path: Path) -> None:
    require_root()
    lines = tmp_path / "lines"
    lines.touch()
    os.chown(lines, 0, 4)
    lines.chmod(0o604)
    assert command("replay", capture, "-o", lines).code == 0
    status = lines.stat()
    assert (status.st_gid, stat.S_IMODE(status.st_mode)) == (4, 0o604)
    assert status.st_size


@pytest.mark.parametrize("more", [[], ["--append"]])
def test_a_capture_is_not_replaced_by_its_lines(command: Command, capture: Path, more: list[str]) -> None:
    before = capture.read_bytes()
    fails(command("replay", capture, "-o", capture, *more), 64, "--output", "name another file")
    assert capture.read_bytes() == before


def test_the_home_decides_who_scans(command: Command, capture: Path) -> None:
    for home in ("192.0.2.10", "10.0.0.0/8 192.0.2.0/24", "10.0.0.0/8,192.0.2.10"):
        assert any(record["event_type"] == "scan" for record in command("replay", capture, "--home", home).records)
    elsewhere = command("replay", capture, "--home", "10.0.0.0/8")
    assert [record["event_type"] for record in elsewhere.records] == ["status"]


@pytest.mark.parametrize("home", ["nonsense", "192.0.2.1/24", "192.0.2.0/33", "300.1.1.1"])
def test_a_wrong_home_is_64(command: Command, capture: Path, home: str) -> None:
    fails(command("replay", capture, "--home", home), 64, "--home", home)


def test_a_missing_capture_is_65(command: Command, tmp_path: Path) -> None:
    require_tool("tshark")
    fails(command("replay", tmp_path / "none.pcap"), 65, "none.pcap", "No such file")


@pytest.mark.parametrize(("content", "word"), [(b"", "empty"), (b"just text\n" * 99, "pcap")])
def test_a_file_that_is_no_capture_is_65(command: Command, tmp_path: Path, content: bytes, word: str) -> None:
    require_tool("tshark")
    (tmp_path / "x.pcap").write_bytes(content)
    fails(command("replay", tmp_path / "x.pcap"), 65, "x.pcap", word)


def test_a_damaged_capture_is_read_up_to_the_damage(command: Command, capture: Path) -> None:
    capture.write_bytes(capture.read_bytes()[:-5])
    done = command("replay", capture)
    assert done.code == 0
    assert [record["state"] for record in done.records if record["event_type"] == "status"] == ["damaged", "stopped"]
    assert any(record["verdict"] == "ban" for record in done.records)
    assert "what came before the damage was read" in done.err


def test_markup_in_a_file_name_is_shown_as_it_is(command: Command, tmp_path: Path) -> None:
    require_tool("tshark")
    fails(command("replay", tmp_path / "[bold]x[/bold].pcap"), 65, "[bold]x[/bold].pcap")


def test_an_output_without_a_directory_is_73(command: Command, capture: Path, tmp_path: Path) -> None:
    fails(command("replay", capture, "-o", tmp_path / "none" / "log"), 73, "none/log", "create the directory")


@pytest.mark.parametrize("more", [[], ["--append"]])
def test_a_full_disk_is_73(command: Command, capture: Path, tmp_path: Path, more: list[str]) -> None:
    with small_disk(tmp_path) as disk:
        log = disk / "log"
        log.touch(0o640)
        filler = fill(disk)
        fails(command("replay", capture, "-o", log, *more), 73, "disk/log", "No space left", "make room")
        assert log.read_bytes() == b""
        assert {path.name for path in disk.iterdir()} - {"lost+found"} == {"log", filler.name}


def test_a_full_standard_output_is_73(capture: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = ran(sys.executable, "-m", "portsentry_py", "replay", capture, stdout=full.fileno())
    assert done.returncode == 73
    assert "standard output" in done.stderr
    assert "No space left on device); make room" in done.stderr


def test_an_output_without_permission_is_77(
    command: Command, capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    log.touch(0o400)
    found = find_tools()
    monkeypatch.setattr(cli_replay, "find_tools", lambda: found)  # that user may be unable to run our Python
    assert command("replay", capture).code == 0  # everything that it imports late is imported now
    with unprivileged():
        done = command("replay", capture, "-o", log)
    fails(done, 77, str(log), "run as root")


def test_a_reader_that_leaves_is_no_error(capture: Path) -> None:
    big = write_pcap(capture.parent / "big.pcap", [probe for last in range(250) for probe in scan(last)])
    settings = [f"--unset={name}" for name in os.environ if name.startswith("PORTSENTRY_")]
    script = f"{sys.executable} -m portsentry_py replay '{big}' | head -n 1"
    done = ran("env", *settings, "bash", "-o", "pipefail", "-c", script)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1


def scan(last: int) -> list[Sent]:
    return syn(f"203.0.113.{last}", *range(100, 110), at=last)


def test_an_interface_of_any_name_can_be_replayed(command: Command, tmp_path: Path) -> None:
    require_tool("tshark")
    path = write_pcapng(tmp_path / "x.pcapng", "wlän0", syn(SCANNER, *range(20, 40)))
    done = command("replay", path)
    assert done.code == 0
    assert done.out.isascii()


def test_a_profile_can_be_named(command: Command, capture: Path) -> None:
    reasons = {record.get("reason") for record in command("replay", capture, "--profile", "scanlogd").records}
    assert "points" in reasons
    fails(command("replay", capture, "--profile", "nobody"), 64, "--profile")


def test_would_ban_shows_the_rules_instead_of_lines(command: Command, capture: Path) -> None:
    done = command("replay", capture, "--would-ban", "--home", "192.0.2.0/24")
    assert done.code == 0
    assert "snort-high" in done.out
    assert f" {SCANNER} " in done.out
    fails(command("replay", capture, "--would-ban", "-o", "x"), 64, "--would-ban")
