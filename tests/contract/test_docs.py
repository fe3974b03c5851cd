"""The README and the docs say what the code does."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import jsonschema
import pytest
from click import Context
from click.testing import CliRunner

from portsentry_py import __version__
from portsentry_py.cli.main import cli
from portsentry_py.core.detectors.profiles import PROFILES
from portsentry_py.events.model import Reason, ScanType, Technique
from portsentry_py.events.schema import schema
from tests.support.paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "fail2ban/README.md", *sorted((ROOT / "docs").rglob("*.md"))]

COMMANDS = cli.list_commands(Context(cli))


def _commands() -> Iterator[list[str]]:
    """What follows `portsentry-py` in the pages, word by word."""
    for page in PAGES:
        for found in re.finditer(r"portsentry-py ((?:[a-z0-9]+ ?)+)", page.read_text(encoding="utf-8")):
            yield found[1].split()


def test_the_readme_opens_with_the_two_commands() -> None:
    assert (
        README.index("./quickstart run") < README.index("./quickstart test") < README.index("## Ten seconds")
    )


def test_every_link_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            # The accuracy page is made by a command that wants captures.
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_line_in_the_readme_is_one_that_the_sensor_writes() -> None:
    block = re.search(r"^    (\{\"timestamp\".*?\"schema\":1\})$", README, re.DOTALL | re.MULTILINE)
    assert block is not None
    line = json.loads(re.sub(r"\n\s+", "", block[1]))

    jsonschema.validate(line, schema())
    assert line["verdict"] == "ban"
    assert line["src_ip"] in README.split("Banned IP list:")[1]


def test_the_example_capture_gives_that_line(tmp_path: Path) -> None:
    command = re.search(r"portsentry-py replay (\S+) --home (\S+)", README)
    assert command is not None
    output = tmp_path / "lines"

    result = CliRunner().invoke(
        cli, ["replay", str(ROOT / command[1]), "--home", command[2], "-o", str(output)]
    )

    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in output.read_text(encoding="ascii").splitlines()]
    scans = [line for line in lines if line["event_type"] == "scan"]
    assert [(scan["verdict"], scan["src_ip"]) for scan in scans] == [("ban", "198.51.100.66")]
    assert re.sub(r"\n\s+", "", README).count(scans[0]["event_id"]) == 1


def test_every_command_in_the_docs_exists() -> None:
    seen = list(_commands())
    assert seen, "the search found nothing"
    for path in seen:
        assert path[0] in COMMANDS, path


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_changelog_or_readme(name: str) -> None:
    text = README + (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

    assert f"portsentry-py {name}" in text


def test_the_detection_page_names_every_word() -> None:
    page = (ROOT / "docs/detection.md").read_text(encoding="utf-8")
    named = {*get_args(ScanType), *get_args(Technique), *PROFILES} - {"unknown", "none", "default"}

    assert named
    assert sorted(word for word in named if f"`{word}`" not in page) == []


def test_the_events_page_explains_every_reason() -> None:
    page = (ROOT / "docs/events.md").read_text(encoding="utf-8").split("## Reasons")[1]

    assert sorted(word for word in get_args(Reason) if f"| `{word}` |" not in page) == []


def test_the_changelog_knows_the_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

    assert "## Unreleased" in changelog or f"## {__version__}" in changelog
