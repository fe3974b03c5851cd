"""An option knows its place."""

import pytest

from portsentry_py.config.importers.imported import Note
from portsentry_py.config.importers.option import Option, notes_about
from portsentry_py.errors import InputError
from tests.support.import_examples import source

OPTION = Option(source(""), 7, "2")


def test_a_word_must_be_one_of_those_that_are_known() -> None:
    assert OPTION.one_of("1", "2") == "2"
    with pytest.raises(InputError, match=r"^/etc/file:7: '2' is none of 0, 1; write one of them\.$"):
        OPTION.one_of("0", "1")


def test_only_options_that_are_there_have_a_note() -> None:
    assert notes_about({"A": OPTION}, ("A", "B"), "why") == [Note("A", "file:7", "why")]
