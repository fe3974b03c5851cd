"""The shipped files are found beside the package of a checkout, and inside an installed one."""

from pathlib import Path

import pytest

from portsentry_py import shipped as module
from portsentry_py.shipped import shipped
from tests.support.paths import ROOT


def test_a_checkout_has_them_beside_the_package() -> None:
    assert shipped("config") == ROOT / "config"
    assert shipped("fail2ban") == ROOT / "fail2ban"


def test_an_installed_package_has_them_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("portsentry_py/data/config", "config"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.setattr(module, "_PACKAGE", tmp_path / "portsentry_py")
    assert shipped("config") == tmp_path / "portsentry_py/data/config"
