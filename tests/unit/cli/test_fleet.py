"""`fleet`: the operator makes a fleet, and no secret is printed."""

from pathlib import Path

import pytest

from portsentry_py.fleet import credentials
from tests.support.command import Command, fails


@pytest.fixture
def folder(command: Command, tmp_path: Path) -> Path:
    done = command("fleet", "init-operator", tmp_path / "fleet", "--broker", "127.0.0.1")
    assert done.code == 0, done.err
    assert "tls://127.0.0.1:4222" in done.out
    return tmp_path / "fleet"


def test_a_host_is_added_and_removed_and_no_secret_is_printed(command: Command, folder: Path) -> None:
    added = command("fleet", "add-host", folder, "web1", "--address", "192.0.2.1")
    assert added.code == 0, added.err
    path = folder / "hosts/web1.json"
    assert str(path) in added.out.replace("\n", "")
    assert credentials.read(path).seed not in added.out + added.err
    assert command("fleet", "allow", folder, "9.9.9.0/24").code == 0
    removed = command("fleet", "remove-host", folder, "web1")
    assert (removed.code, path.exists()) == (0, False)


def test_a_wrong_option_is_one_sentence(command: Command, folder: Path, tmp_path: Path) -> None:
    for words, code, text in (
        (("add-host", folder, "x.y", "--address", "192.0.2.1"), 64, "no name of a host"),
        (("add-host", folder, "web1", "--address", "192.0.2.0/24"), 64, "a network"),
        (("remove-host", folder, "web1"), 64, "no host of this fleet"),
        (("allow", folder, "everybody"), 64, "ADDRESS"),
        (("add-host", tmp_path, "web1", "--address", "192.0.2.1"), 78, "init-operator"),
        (("init-operator", tmp_path / "b", "--broker", "192.0.2.1", "--no-tls"), 78, "everybody on the way"),
    ):
        fails(command("fleet", *words), code, text)
