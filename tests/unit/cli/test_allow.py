"""`allow`, `deny` and `list`: one address, one network, what is wrong with them, and what stands on the list."""

import time
from pathlib import Path

import pytest

from portsentry_py.cli import allow as module
from portsentry_py.errors import PortsentryError
from portsentry_py.fail2ban.client import NotAnswering, NotInstalled
from portsentry_py.fail2ban.unban import JailEntry, Unbanned
from tests.support.build import FRIEND, SCANNER
from tests.support.command import Command, fails


@pytest.fixture(autouse=True)
def bans(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Unbanned((JailEntry("portsentry", SCANNER),), (JailEntry("recidive", SCANNER),))
    monkeypatch.setattr(module, "unban", lambda _client, _network: held)
    monkeypatch.setattr(module, "_SETTLE_SECONDS", 0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "allowlist"


def test_whom_is_allowed_is_listed_and_unbanned(command: Command, file: Path) -> None:
    done = command("allow", SCANNER, "--for", "2d", "--reason", "the office", "--allowlist", file)
    assert (done.code, done.err) == (0, "")
    assert f"unbanned {SCANNER} in portsentry" in done.out
    assert f"note: recidive bans {SCANNER} too; run: fail2ban-client set recidive unbanip {SCANNER}" in done.out
    (line,) = [line for line in command("list", "--allowlist", file).out.splitlines() if SCANNER in line]
    assert "the office" in line
    assert "no end" not in line


def test_a_line_that_fail2ban_reads_late_bans_nobody_again(
    command: Command, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source can have several lines that ban; fail2ban may be behind."""
    bans = [Unbanned((JailEntry(jail, SCANNER),), ()) for jail in ("portsentry", "portsentry", "portsentry-trap")]
    clock = iter(range(9))
    monkeypatch.setattr(module, "_SETTLE_SECONDS", 3)
    monkeypatch.setattr(module, "unban", lambda _client, _network: bans.pop(0))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    shown = command("allow", SCANNER, "--allowlist", file).out.splitlines()
    assert shown[1:] == [f"unbanned {SCANNER} in portsentry", f"unbanned {SCANNER} in portsentry-trap"]
    assert not bans


def test_who_is_denied_is_on_the_list_no_longer(command: Command, file: Path) -> None:
    command("allow", SCANNER, "--allowlist", file)
    assert "on the allowlist no longer" in command("deny", SCANNER, "--allowlist", file).out
    assert SCANNER not in command("list", "--allowlist", file).out
    fails(command("deny", SCANNER, "--allowlist", file), 64, "has no entry of its own", "portsentry-py list")


def test_an_address_of_an_allowed_network_names_the_network(command: Command, file: Path) -> None:
    command("allow", "203.0.113.0/24", "--allowlist", file)
    fails(command("deny", SCANNER, "--allowlist", file), 64, "deny one of these: 203.0.113.0/24")


def test_the_ignore_list_of_the_configuration_is_named(command: Command, file: Path, tmp_path: Path) -> None:
    config = tmp_path / "portsentry.yaml"
    config.write_text(f"ignore: [{SCANNER}]\nallowlist: {file}\n")
    command("allow", SCANNER, "-c", config)
    assert f"ignore in the configuration still holds {SCANNER}/32" in command("deny", SCANNER, "-c", config).out
    assert "ignore in the configuration" in command("list", "-c", config).out


def test_a_mapped_address_is_its_ipv4_address(command: Command, file: Path) -> None:
    command("allow", f"::ffff:{FRIEND}", "--allowlist", file)
    assert f"\n{FRIEND}\n" in file.read_text()


def test_a_network_that_holds_everybody_gets_a_word(command: Command, file: Path) -> None:
    assert "a great part of all addresses" in command("allow", "0.0.0.0/0", "--allowlist", file).out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["allow", "somebody"], ["'somebody' is not an IP address or network"]),
        (["allow", "192.0.2.1/24"], ["write 192.0.2.0/24"]),
        (["allow", SCANNER, "--for", "a while"], ["a while is no duration", "such as 1d"]),
        (["allow", SCANNER, "--for", "0d"], ["0d is no duration"]),
        (["deny", "somebody"], ["'somebody' is not an IP address or network"]),
    ],
)
def test_a_wrong_word_is_64(command: Command, file: Path, arguments: list[str], words: list[str]) -> None:
    fails(command(*arguments, "--allowlist", file), 64, *words)
    assert not file.exists()


def test_without_an_allowlist_nobody_can_be_allowed(command: Command, tmp_path: Path) -> None:
    config = tmp_path / "portsentry.yaml"
    config.write_text("allowlist: off\n")
    fails(command("allow", SCANNER, "-c", config), 64, "allowlist is off in the configuration")


@pytest.mark.parametrize(("error", "code"), [(NotInstalled(), 0), (NotAnswering("it is down."), 69)])
def test_the_entry_is_written_whatever_fail2ban_says(
    command: Command, file: Path, monkeypatch: pytest.MonkeyPatch, error: PortsentryError, code: int
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(module, "unban", refuse)
    done = command("allow", SCANNER, "--allowlist", file)
    assert done.code == code
    assert SCANNER in file.read_text()
    assert str(error) in done.out + done.err
