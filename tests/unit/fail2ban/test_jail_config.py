"""The settings of jails are read in the order of fail2ban, with references replaced."""

from pathlib import Path

import pytest

from portsentry_py.fail2ban.jail_config import JailConfig


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "jail.d").mkdir()
    (tmp_path / "jail.conf").write_text("[DEFAULT]\nenabled = false\nbackend = auto\nwhere = here\n")
    return tmp_path


def test_files_are_read_in_the_order_of_fail2ban(etc: Path) -> None:
    for name in ("jail.d/a.conf", "jail.d/b.conf", "jail.local", "jail.d/a.local"):
        (etc / name).write_text(f"[DEFAULT]\nlast = {name}\n")
        assert JailConfig(etc).value("sshd", "last") == name


def test_references_to_other_keys_and_jails_are_replaced(etc: Path) -> None:
    (etc / "jail.local").write_text(
        "[one]\nlogpath = /%(where)s/%(name)s\nname = x\n[two]\nlogpath = %(one/logpath)s\nwhere = there\n"
    )

    assert JailConfig(etc).value("one", "logpath") == "/here/x"
    assert JailConfig(etc).value("two", "backend") == "auto"
    assert JailConfig(etc).value("two", "unset") == ""


def test_a_reference_to_itself_ends(etc: Path) -> None:
    (etc / "jail.local").write_text("[one]\nlogpath = %(logpath)s\n")

    assert JailConfig(etc).value("one", "logpath") == "%(logpath)s"


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        ("[x]\nenabled = true\nfilter = portsentry-py\n", ["x"]),
        ("[x]\nenabled = true\nfilter = portsentry-py[mode=trap]\n", ["x"]),
        ("[x]\nfilter = portsentry-py\n", []),
        ("[x]\nenabled = true\nfilter = portsentry-pytho\n", []),
        ("[x]\nenabled = true\nfilter\n", []),
        ("no section\n", []),
    ],
)
def test_ours_are_the_enabled_jails_with_our_filter(etc: Path, text: str, ours: list[str]) -> None:
    (etc / "jail.local").write_text(text)

    assert list(JailConfig(etc).ours()) == ours
