"""The running sensor follows the allowlist: changes at once, ends on time, and no step back at a mistake."""

import os
from ipaddress import ip_network
from pathlib import Path

import pytest

from portsentry_py.config.allowlist import Entry, add, remove
from portsentry_py.errors import ConfigError
from portsentry_py.sensor.allowlist import Allowlist
from tests.support.build import FRIEND, SCANNER, micros


class Now:
    """A time of day that the test sets."""

    us = micros(0)

    def __call__(self) -> int:
        return self.us


def test_without_a_file_nobody_is_allowed(tmp_path: Path) -> None:
    assert Allowlist("off", Now()).networks() == ()
    assert Allowlist(str(tmp_path / "none"), Now()).networks() == ()


def test_a_change_of_the_file_counts_at_once(tmp_path: Path) -> None:
    now, path = Now(), tmp_path / "allowlist"
    allowed = Allowlist(str(path), now)
    for address in (SCANNER, FRIEND):
        add(path, Entry(ip_network(address)), now())
    assert allowed.networks() == (ip_network(SCANNER), ip_network(FRIEND))
    remove(path, ip_network(SCANNER), now())
    assert allowed.networks() == (ip_network(FRIEND),)
    path.unlink()
    assert allowed.networks() == ()


def test_an_entry_ends_by_itself(tmp_path: Path) -> None:
    now, path = Now(), tmp_path / "allowlist"
    add(path, Entry(ip_network(SCANNER), now.us + 2_000_000), now())
    allowed = Allowlist(str(path), now)
    assert allowed.networks()
    now.us += 2_000_000
    assert allowed.networks() == ()


def test_a_broken_file_keeps_the_old_list_and_says_so_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    now, path = Now(), tmp_path / "allowlist"
    add(path, Entry(ip_network(SCANNER)), now())
    allowed = Allowlist(str(path), now)
    path.write_text("nonsense\n")
    assert allowed.networks() == allowed.networks() == (ip_network(SCANNER),)
    assert caplog.text.count("the old allowlist stays in force") == 1
    path.write_text("")
    assert allowed.networks() == ()


def test_a_file_that_becomes_readable_is_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "allowlist"
    allowed = Allowlist(str(path), Now())
    path.write_text(SCANNER)
    path.chmod(0o666)
    assert allowed.networks() == ()
    assert "others may write it" in caplog.text
    path.chmod(0o644)
    assert allowed.networks() == (ip_network(SCANNER),)


def test_a_fifo_in_its_place_holds_nothing_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "allowlist", 0o600)
    with pytest.raises(ConfigError, match="it is a FIFO"):
        Allowlist(str(tmp_path / "allowlist"), Now())
