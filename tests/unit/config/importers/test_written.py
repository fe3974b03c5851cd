"""What is written is read by our own loader, and the jail's file has its options."""

import configparser

import pytest

from portsentry_py.config.importers.formats import import_all
from portsentry_py.config.importers.imported import Imported, Note
from portsentry_py.config.importers.written import configuration, jail
from portsentry_py.config.loader import parse
from portsentry_py.config.settings import Settings
from portsentry_py.errors import InputError
from tests.support.import_examples import EXAMPLES, source


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_loader_reads_what_was_imported(name: str) -> None:
    imported = import_all([source(EXAMPLES[name], name)])
    settings = parse(configuration(imported, [name], with_jail=True))
    assert settings != Settings()
    for key, value in imported.settings.items():
        found: object = settings
        for part in key.split("."):
            found = getattr(found, part)
        if isinstance(value, str):
            assert found == value


def test_a_note_is_a_comment_whatever_it_holds() -> None:
    text = configuration(Imported(notes=(Note("A\nprofile: psad", "x:1", "y"),)), ["a\nb"], with_jail=False)
    assert parse(text) == Settings()
    assert all(line.startswith("#") for line in text.splitlines() if line)


def test_one_reason_is_named_once() -> None:
    notes = (Note("A", "x:1", "why"), Note("B", "x:2", "why"))
    assert "# - A (x:1), B (x:2): why." in configuration(Imported(notes=notes), ["x"], with_jail=False)


def test_the_jails_options_are_comments_or_a_file_of_their_own() -> None:
    imported = Imported(jail={"bantime": "-1", "action": "%(action_)s\nportsentry-py-hostsdeny"})
    lines = ["[portsentry]", "bantime = -1", "action = %(action_)s", "         portsentry-py-hostsdeny"]
    assert jail(imported, ["x"]).splitlines()[2:] == lines
    parser = configparser.RawConfigParser()
    parser.read_string(jail(imported, ["x"]))
    assert parser["portsentry"]["action"] == "%(action_)s\nportsentry-py-hostsdeny"
    assert [f"# {line}" for line in lines] == configuration(imported, ["x"], with_jail=True).splitlines()[-4:]
    assert "bantime" not in configuration(imported, ["x"], with_jail=False)


def test_a_value_that_ours_refuses_is_one_sentence() -> None:
    with pytest.raises(InputError, match=r"traps.banner"):
        configuration(Imported({"traps.banner": "\0"}), ["x"], with_jail=False)
