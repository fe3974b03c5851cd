"""Nothing but text reaches the terminal, whatever files, settings and arguments are called."""

from pathlib import Path

import pytest
import yaml

from portsentry_py.report.log_reader import read_tail
from tests.lab.fuzz.oracle import check_text
from tests.lab.fuzz.trial import CONTROLS
from tests.support.build import SCANNER, refused, syn, write_pcap
from tests.support.command import Command, Done
from tests.support.needs import require_tool

HIDDEN = [text for text in CONTROLS if "\0" not in text] + ["\udcff", "\n\x1b]0;owned\x07\nok"]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capfd)


def refused_in_a_sentence(done: Done) -> None:
    check_text(done.out)
    check_text(done.err)
    assert done.code not in {0, 1}
    assert done.err.count("\n") == 1, done.err


@pytest.mark.parametrize("name", HIDDEN, ids=ascii)
def test_what_is_not_there_is_told_in_text(command: Command, tmp_path: Path, name: str) -> None:
    require_tool("tshark")
    path = tmp_path / f"x{name}"
    for arguments in (
        ("replay", path),
        ("status", "--log", path),
        ("run", "-c", path),
        ("status", "-c", path),
        ("replay", "--home", f"192.0.2.1{name}", path),
        ("replay", "-o", path / "lines", path),
        ("fail2ban", "install", "--root", path),
        (f"replay{name}",),
        ("status", f"--{name}"),
    ):
        refused_in_a_sentence(command(*arguments))


@pytest.mark.parametrize("name", HIDDEN, ids=ascii)
def test_a_file_that_is_no_capture_is_told_in_text(command: Command, tmp_path: Path, name: str) -> None:
    require_tool("tshark")
    whole = write_pcap(tmp_path / "x.pcap", refused(syn(SCANNER, *range(20, 40)))).read_bytes()
    damaged, other = tmp_path / f"damaged{name}", tmp_path / f"other{name}"
    damaged.write_bytes(whole[:-7])
    other.write_bytes(b"\x1b[31m\x9b2J" * 9)
    done = command("replay", damaged)
    check_text(done.out)
    check_text(done.err)
    assert done.code == 0
    assert "damaged" in done.err
    refused_in_a_sentence(command("replay", other))


@pytest.mark.parametrize("name", [text for text in HIDDEN if "\udcff" not in text], ids=ascii)
def test_settings_are_shown_as_text(command: Command, tmp_path: Path, name: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        yaml.safe_dump({"interfaces": [f"eth{name}"], "log": f"{tmp_path}/none{name}/x.log"}), encoding="utf-8"
    )
    for arguments in (("check", "-c", path), ("status", "-c", path)):
        done = command(*arguments)
        check_text(done.out)
        check_text(done.err)
        assert done.code


@pytest.mark.parametrize("name", HIDDEN, ids=ascii)
def test_a_log_of_any_name_is_shown_as_text(command: Command, tmp_path: Path, name: str) -> None:
    path = tmp_path / f"x{name}.log"
    path.write_bytes(b"\x1b[31m\x9b\xe2\x80\xae\n" * 9)
    assert read_tail(path).lines_read == 9
    for arguments in (("status", "--log", path), ("status", "--json", "--log", path)):
        done = command(*arguments)
        check_text(done.out)
        check_text(done.err)
        assert done.code in {0, 69}, "by the sensors that run beside this test"


@pytest.mark.parametrize("address", ["2001:db8:a:b::9", "2001:db8:100::9", "2001:db8::ab:0:1"])
def test_an_address_is_shown_as_it_is(command: Command, tmp_path: Path, address: str) -> None:
    """`:a:`, `:100:` and `:ab:` are emoji elsewhere."""
    require_tool("tshark")
    done = command("replay", write_pcap(tmp_path / "x.pcap", refused(syn(address, *range(20, 40)))))
    assert f" {address} " in done.err
    done = command("status", "--log", tmp_path / f"x{address}")
    assert f"x{address}:" in done.err
