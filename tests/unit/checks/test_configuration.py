"""The configuration is read as the service's user will read it, and each of its tables too."""

import os
import pwd
from pathlib import Path

import pytest

from portsentry_py.checks.configuration import Configuration
from portsentry_py.checks.result import Result
from portsentry_py.config import loader
from tests.support.needs import require_root
from tests.support.other_users import NOBODY, shared_folder

USER = pwd.getpwuid(NOBODY).pw_name


def found(path: Path | None, user: str | None = None) -> dict[str, Result]:
    return {result.name: result for result in Configuration(path, user).results}


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_configuration_without_a_fault_is_named(tmp_path: Path) -> None:
    config = written(tmp_path / "a.yaml", f"allowlist: {tmp_path}/allowlist\n")
    results = found(config)
    assert {result.level for result in results.values()} == {"ok"}
    assert results["configuration"].text == str(config)
    assert results["allowlist"].text == f"0 entries ({tmp_path}/allowlist)"


def test_a_broken_configuration_is_broken_and_gives_no_settings(tmp_path: Path) -> None:
    checked = Configuration(written(tmp_path / "a.yaml", "ignored: []\n"), None)
    (result,) = checked.results
    assert (checked.settings, result.level) == (None, "broken")
    assert "did you mean ignore?" in result.text
    assert list(checked.advice()) == []


@pytest.mark.parametrize(
    ("name", "line"), [("known scanners", "known_scanners_table: {}"), ("allowlist", "allowlist: {}")]
)
@pytest.mark.parametrize("fault", ["shared folder", "pipe", "nonsense"])
def test_a_table_that_cannot_be_used_is_broken(tmp_path: Path, name: str, line: str, fault: str) -> None:
    table = tmp_path / "tables/table"
    table.parent.mkdir()
    if fault == "pipe":
        os.mkfifo(table, 0o600)
    else:
        written(table, "nonsense\n" if fault == "nonsense" else "# nothing\n")
    if fault == "shared folder":
        table.parent.chmod(0o777)
    result = found(written(tmp_path / "a.yaml", line.format(table)))[name]
    assert result.level == "broken"
    assert {"shared folder": "chmod go-w", "pipe": "it is a FIFO", "nonsense": ":1: "}[fault] in result.text


def test_a_configuration_that_the_service_may_not_read_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root can read it, and the service would end and start for ever."""
    require_root()
    with shared_folder() as folder:
        config = written(folder / "portsentry.yaml", "connections: all\n")
        config.chmod(0o600)
        monkeypatch.setattr(loader, "DEFAULT_PATH", config)
        checked = Configuration(None, USER)
        (result,) = checked.results
        assert result.level == "broken"
        assert result.text == (
            f"{config}: you may not read the configuration; run as root or fix its mode. "
            f"(as {USER}, the user of the service)"
        )
        assert checked.settings is not None, "the other checks go on"
        assert os.geteuid() == 0
        config.chmod(0o644)
        assert {result.level for result in found(None, USER).values()} == {"ok"}
        config.chmod(0o600)
        assert found(config, USER)["configuration"].level == "ok", "another file than the service's"


def test_a_network_that_holds_everybody_is_a_warning(tmp_path: Path) -> None:
    checked = Configuration(written(tmp_path / "a.yaml", "home: [0.0.0.0/0]\nignore: ['::/0']\n"), None)
    assert [result.level for result in checked.advice()] == ["warning", "warning"]
