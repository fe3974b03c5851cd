"""The README and the docs say what the code does.

`python -m tests.contract.test_docs` writes the tables that are made from the code.
"""

import ast
import importlib.util
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from textwrap import dedent
from typing import Literal, get_args, get_origin

import click
import jsonschema
import pytest
from click.testing import CliRunner

from portsentry_py import __version__
from portsentry_py.cli.main import cli
from portsentry_py.config.loader import parse
from portsentry_py.config.settings import Settings
from portsentry_py.core.detectors.profiles import PROFILES
from portsentry_py.deploy.program import LINK
from portsentry_py.deploy.service_files import RECORDS, service_files
from portsentry_py.events import model
from portsentry_py.events.schema import schema
from tests.contract.test_layout import CORE, FLOORS, MODULES, NARROW, SIDEWAYS
from tests.support import metrics_reference
from tests.support.command import commands_of
from tests.support.paths import DOCS, MEASUREMENTS, PACKAGE, ROOT
from tests.support.setting_keys import keys
from tests.support.settings_reference import reference

README = ROOT / "README.md"
CHANGELOG = ROOT / "CHANGELOG.md"
PAGES = [README, CHANGELOG, ROOT / "CONTRIBUTING.md", ROOT / "fail2ban/README.md", *sorted(DOCS.rglob("*.md"))]
# Their names of things are names of modules and classes as well.
DEVELOPERS = {ROOT / "CONTRIBUTING.md", DOCS / "architecture.md", DOCS / "glossary.md"}
OTHER_WORDS = {"auto_dl", "no_new_privs", "io_uring", "banaction_allports", "already_banned"}
OTHER_WORDS |= {"prometheus_client", "portsentry_process_", "rule_files"}
OTHER_OPTIONS = {"--help", "--update-interval"}
FOLDERS = ("portsentry_py", "tests", "config", "docs", "fail2ban", "docker", ".ci")


@cache
def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path) -> Iterator[str]:
    """The indented blocks of a page."""
    for block in re.findall(r"(?:^    .*\n|^\n(?=    ))+", text(page), re.MULTILINE):
        yield dedent(block).strip("\n")


def spans(page: Path) -> Iterator[str]:
    """What stands between backticks outside of the blocks."""
    prose = re.sub(r"^    .*\n", "", text(page), flags=re.MULTILINE)
    for span in re.findall(r"`([^`]+)`", prose):
        yield " ".join(span.split())


def commands(page: Path) -> Iterator[list[str]]:
    """The commands in the blocks and between the backticks, each in words."""
    lines = [line for block in blocks(page) for line in block.splitlines()]
    for line in (*lines, *spans(page)):
        if re.match(r"(\S*/)?(portsentry-py|python|quickstart)( |$)|make [a-z0-9-]+( [A-Z]+=.*| *#.*)?$", line):
            for command in re.split(r"&&|\|", line):
                yield shlex.split(command, comments=True)


COMMANDS = {" ".join(words): one for words, one in commands_of(cli) if not isinstance(one, click.Group)}


def options(command: click.Command) -> set[str]:
    return {"--help", *(option for param in command.params for option in param.opts)}


KEYS = {".".join(path) for path, _ in keys(Settings)}
VOCABULARIES = {
    name: get_args(value)
    for name, value in vars(model).items()
    if get_origin(value) is Literal and not name.startswith("_")  # a group of words of another
}
EVENT_KEYS = {"event_type", *(item.name for event in model.EVENT_CLASSES for item in fields(event))}


def command_table() -> str:
    rows = (f"| `portsentry-py {path}` | {command.get_short_help_str(200)} |" for path, command in COMMANDS.items())
    return "\n".join(["| command | what it does |", "|---|---|", *rows])


def first_line(module: str) -> str:
    """The first sentence of a module's docstring."""
    docstring = ast.get_docstring(ast.parse(text(MODULES[module]))) or ""
    return " ".join(docstring.partition("\n\n")[0].split())


def room_table() -> str:
    rows = ["| floor | room | job | imports |", "|---|---|---|---|"]
    for floor, rooms in enumerate(FLOORS, 1):
        for room in sorted(rooms):
            above = ", ".join(f"`{name}`" for name in sorted(NARROW.get(room, ()))) or "the floors above"
            beside = "".join(f", `{there}`" for here, there in sorted(SIDEWAYS) if here == room)
            rows.append(f"| {floor} | `{room}` | {first_line(room)} | {above}{beside} |")
    return "\n".join(rows)


def core_table() -> str:
    rows = (f"| `{name}` | {first_line('core.' + name.removesuffix('.*'))} |" for name in CORE)
    return "\n".join(["| module of the core | job |", "|---|---|", *rows])


def word_table() -> str:
    """The words of every key but `reason`, whose words have a table with meanings."""
    keys = {
        "Verdict": "`verdict`",
        "ScanType": "`scan_type` ([meaning](detection.md#kinds-of-probe))",
        "Technique": "`technique` ([meaning](detection.md#detectors))",
        "KnownScanner": "`src_known` ([meaning](detection.md#known-scanners))",
        "Tool": "`tool`",
        "Direction": "`direction`",
        "Proto": "`proto`",
        "State": "`state` of a scan or trap",
        "FleetState": "`state` of the fleet",
        "FleetEvidence": "`evidence`",
        "Outcome": "`outcome`",
        "SensorState": "`state` of the sensor",
        "SensorReason": "`reason` of the sensor",
    }
    rows = (f"| {key} | {', '.join(f'`{word}`' for word in VOCABULARIES[name])} |" for name, key in keys.items())
    assert set(keys) == set(VOCABULARIES) - {"Reason"}
    return "\n".join(["| key | words |", "|---|---|", *rows])


GENERATED = {
    "words": (DOCS / "events.md", word_table),
    "core": (DOCS / "architecture.md", core_table),
    "rooms": (DOCS / "architecture.md", room_table),
    "commands": (README, command_table),
    "metrics": (DOCS / "integrations.md", metrics_reference.reference),
    "reference": (DOCS / "configuration.md", lambda: reference().strip()),
}


def filled(mark: str) -> str:
    """A page with what the code says between two marks."""
    page, made = GENERATED[mark]
    before, begin, rest = text(page).partition(f"<!-- {mark} -->\n")
    _, end, after = rest.partition(f"<!-- end of {mark} -->\n")
    assert begin, f"{page} has no mark {mark}"
    assert end, f"{page} has no end of {mark}"
    return f"{before}{begin}\n{made()}\n\n{end}{after}"


@pytest.mark.parametrize("mark", GENERATED)
def test_a_table_that_is_made_from_the_code_is_as_the_code_has_it(mark: str) -> None:
    assert text(GENERATED[mark][0]) == filled(mark), "run: python -m tests.contract.test_docs"


def test_every_link_leads_somewhere() -> None:
    for page in PAGES:
        for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]+))?\)", text(page)):
            there = page.parent / target if target else page
            assert there.exists(), f"{page.name}: {target}"
            if anchor:
                headings = re.findall(r"^#+ (.*)$", text(there), re.MULTILINE)
                slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
                assert anchor in slugs, f"{page.name}: {target}#{anchor}"


def test_the_index_has_every_page() -> None:
    index = DOCS / "index.md"
    linked = {(DOCS / target).resolve() for target in re.findall(r"\]\(([^)#]+)\)", text(index))}
    assert linked == set(PAGES) - {index}


def test_the_summary_of_measurements_has_every_page() -> None:
    summary = MEASUREMENTS / "README.md"
    assert [page.name for page in MEASUREMENTS.glob("*.md") if f"({page.name}" not in text(summary)] == [summary.name]


def test_every_figure_in_the_summary_of_measurements_is_on_its_page() -> None:
    rows = re.findall(r"^\| \[[^]]+\]\(([^)#]+).*\| (.*) \| `make", text(MEASUREMENTS / "README.md"), re.MULTILINE)
    assert len(rows) > 1
    for page, headline in rows:
        on_page = set(re.findall(r"\d[\d,.]*\d|\d", text(MEASUREMENTS / page)))
        assert set(re.findall(r"\d[\d,.]*\d|\d", headline)) <= on_page, headline


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_page_exists(page: Path) -> None:
    makefile = text(ROOT / "Makefile")
    for program, *words in commands(page):
        match program.rsplit("/", 1)[-1]:
            case "portsentry-py":
                told = " ".join(words)
                path = next((path for path in COMMANDS if f"{told} ".startswith(f"{path} ")), None)
                known = options(COMMANDS[path]) if path else {"--help", "--version"}
                assert path or not told or told in {"fail2ban", "--help", "--version"}, told
                assert {word for word in words if word.startswith("-") and word != "-"} <= known, told
            case "make":
                assert re.search(rf"^{words[0]}:", makefile, re.MULTILINE), words
            case "quickstart":
                assert words[0] in {"run", "test"}, words
            case "python" if words[:1] == ["-m"] and words[1].partition(".")[0] in {"tests", "portsentry_py"}:
                assert importlib.util.find_spec(words[1]), words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_name_of_a_page_exists(page: Path) -> None:
    """Keys and words of the line, keys of the configuration, options, files."""
    known = {*KEYS, *EVENT_KEYS, *OTHER_WORDS, *(word for words in VOCABULARIES.values() for word in words)}
    series = metrics_reference.labels()
    known |= {*series, *(word for words in series.values() for word in words)}
    known |= {name.removesuffix("_bucket") for name in series}
    known |= {key.rsplit(".", 1)[-1] for key in KEYS} | set(PROFILES)
    if page in DEVELOPERS:
        known |= {word for path in PACKAGE.rglob("*.py") for word in re.findall(r"\w+", text(path))} | set(CORE)
    sections = "|".join({key.partition(".")[0] for key in KEYS if "." in key})
    long_options = {option for command in COMMANDS.values() for option in options(command)} | OTHER_OPTIONS
    for span in spans(page):
        if re.fullmatch(rf"[a-z][a-z0-9]*(_[a-z0-9]+)+|({sections})(\.[a-z_]+)+", span):
            assert span in known, span
        elif re.fullmatch(r"--[a-z-]+", span):
            assert span in long_options, span
        elif re.fullmatch(rf"({'|'.join(map(re.escape, FOLDERS))})/[\w./-]+", span):
            assert list(ROOT.glob(re.sub(r"[A-Z]{4,}", "*", span).rstrip("/"))), span


def test_every_configuration_in_the_docs_can_be_read() -> None:
    found = [block for page in PAGES for block in blocks(page) if re.match(r"(#.*\n)*[a-z]+:( |\n)", block)]
    assert len(found) > 1
    for block in found:
        assert parse(block) != Settings()


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The lines of the replay that the README shows."""
    command = re.search(r"portsentry-py replay (\S+) --home (\S+)", text(README))
    assert command is not None
    output = tmp_path_factory.mktemp("replayed") / "lines"
    words = ["replay", str(ROOT / command[1]), "--home", command[2], "-o", str(output)]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.output
    return output.read_text(encoding="ascii").splitlines()


def test_the_event_of_the_readme_is_a_part_of_what_the_example_capture_gives(replayed: list[str]) -> None:
    (shown,) = (json.loads(block) for block in blocks(README) if block.startswith("{"))
    (scan,) = (line for line in map(json.loads, replayed) if line["event_type"] == "scan")

    assert list(shown.items()) == [(key, value) for key, value in scan.items() if key in shown]
    assert shown["verdict"] == "ban"
    assert shown["src_ip"] in text(README).split("Banned IP list:")[1]


def test_the_lines_of_the_events_page_are_lines_of_the_example_capture(replayed: list[str]) -> None:
    shown = [block for block in blocks(DOCS / "events.md") if block.startswith("{")]

    assert len(shown) > 1
    assert set(shown) <= set(replayed)
    for line in shown:
        jsonschema.validate(json.loads(line), schema())


def test_the_readme_opens_with_the_two_commands() -> None:
    first = next(blocks(README)).splitlines()
    assert [line.split("#")[0].strip() for line in first] == ["./quickstart run", "./quickstart test"]


def test_the_install_page_has_every_file_of_the_service() -> None:
    page = text(DOCS / "install.md")
    targets = [f"/{file.target}" for file in service_files(Path("/"))]
    assert [target for target in (*targets, f"/{LINK}", f"/{RECORDS}") if f"`{target}`" not in page] == []


def test_the_detection_page_names_every_word() -> None:
    named = {*VOCABULARIES["ScanType"], *VOCABULARIES["Technique"], *PROFILES} - {"unknown", "none", "default"}
    assert sorted(word for word in named if f"`{word}`" not in text(DOCS / "detection.md")) == []


def test_the_events_page_explains_every_reason() -> None:
    page = text(DOCS / "events.md").partition("\n## Reasons\n")[2]
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(VOCABULARIES["Reason"])


def test_the_glossary_has_each_term_in_one_line() -> None:
    terms = re.findall(r"^- \*\*([^*]+)\*\*: .+\.$", text(DOCS / "glossary.md"), re.MULTILINE)
    assert terms == sorted(set(terms))
    assert len(terms) == len(text(DOCS / "glossary.md").splitlines()) - len(["the heading", "a blank line"])


def test_the_changelog_knows_the_version() -> None:
    assert f"## {__version__}" in text(CHANGELOG)


if __name__ == "__main__":
    for mark, (page, _) in GENERATED.items():
        page.write_text(filled(mark), encoding="utf-8")
        text.cache_clear()
