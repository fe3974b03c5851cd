"""The manual pages have every command and key and no mistake of form; the shell completes commands."""

import os
import subprocess
import sys
from dataclasses import is_dataclass
from pathlib import Path

import pytest

from portsentry_py.cli.main import cli
from portsentry_py.config.settings import Settings
from tests.support.command import commands_of
from tests.support.man_pages import pages
from tests.support.needs import require_tool
from tests.support.setting_keys import keys


@pytest.fixture(params=sorted(pages()))
def shown(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A page as a reader sees it."""
    path = tmp_path / request.param
    path.write_text(pages()[request.param], encoding="utf-8")
    words = [require_tool("groff"), "-man", "-Tutf8", "-P-cbou", "-ww", "-rLL=200n", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


def test_a_page_has_no_mistake_of_form(shown: str) -> None:
    for word in ("NAME", "DESCRIPTION", "portsentry"):
        assert word in shown


def test_the_command_has_every_command_and_option() -> None:
    page = pages()["portsentry-py.8"].replace("\\-", "-")
    for words, command in commands_of(cli):
        if not hasattr(command, "commands"):
            assert f".SS {' '.join(words)} " in page
        for parameter in command.params:
            assert parameter.param_type_name == "argument" or parameter.opts[-1] in page


def test_the_configuration_has_every_key() -> None:
    page = pages()["portsentry-py.yaml.5"]
    for path, item in keys(Settings):
        name = ".".join(path)
        assert (f".SH {name.upper()}\n" if is_dataclass(item.default) else f".TP\n.B {path[-1]}\n") in page


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_completes_commands(shell: str) -> None:
    environment = {**os.environ, "_PORTSENTRY_PY_COMPLETE": f"{shell}_source"}
    script = "import sys; sys.argv[0] = 'portsentry-py'; from portsentry_py.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert f"_PORTSENTRY_PY_COMPLETE={shell}_complete" in done.stdout
