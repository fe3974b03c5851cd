"""The unit of the sensor, its user, and acting as that user."""

import os
import pwd
from pathlib import Path

import pytest

from portsentry_py.host.service import acting_as, service_user, start_command
from tests.support.needs import require_root
from tests.support.other_users import NOBODY, shared_folder
from tests.support.paths import ROOT

UNIT = "etc/systemd/system/portsentry-py.service"


def written(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_without_a_unit_the_command_starts_the_sensor(tmp_path: Path) -> None:
    assert service_user(tmp_path) is None
    assert start_command(tmp_path) == "portsentry-py run"


def test_the_shipped_unit_has_its_own_user(tmp_path: Path) -> None:
    written(
        tmp_path / "usr/lib/systemd/system/portsentry-py.service", (ROOT / "config/portsentry-py.service").read_text()
    )
    assert service_user(tmp_path) == "portsentry"
    assert start_command(tmp_path) == "systemctl start portsentry-py"


def test_the_last_drop_in_says_who_runs_it(tmp_path: Path) -> None:
    written(tmp_path / UNIT, "[Service]\nUser=portsentry\n")
    written(tmp_path / f"{UNIT}.d/a.conf", "[Service]\nUser=alice\n")
    written(tmp_path / f"{UNIT}.d/b.conf", "[Service]\nUser=bob\n")
    assert service_user(tmp_path) == "bob"


def test_a_unit_without_a_user_runs_as_root(tmp_path: Path) -> None:
    written(tmp_path / UNIT, "[Service]\n")
    assert service_user(tmp_path) == "root"


def test_a_unit_that_cannot_be_read_counts_as_one(tmp_path: Path) -> None:
    written(tmp_path / UNIT, "")
    written(tmp_path / f"{UNIT}.d/a.conf/not a file", "")
    assert service_user(tmp_path) == "root"


def test_root_meets_the_limits_of_the_other_user() -> None:
    require_root()
    before = (os.geteuid(), os.getegid(), os.getgroups())
    with shared_folder() as folder:
        secret = folder / "secret"
        secret.touch(0o600)
        with acting_as(pwd.getpwuid(NOBODY).pw_name) as is_other:
            assert is_other
            with pytest.raises(PermissionError):
                secret.read_text()
        assert not secret.read_text()
    assert (os.geteuid(), os.getegid(), os.getgroups()) == before


@pytest.mark.parametrize("user", [None, "root", "no-such-user"])
def test_nobody_else_is_acted_as(user: str | None) -> None:
    with acting_as(user) as is_other:
        assert not is_other
