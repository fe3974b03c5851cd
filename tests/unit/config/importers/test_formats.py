"""A format is known by the content, and everything together is one configuration."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.config.importers.formats import Format, format_of, import_all
from portsentry_py.config.importers.written import configuration
from portsentry_py.errors import InputError
from tests.support.import_examples import EXAMPLES, source

KINDS = {
    **dict.fromkeys(("portsentry.conf", "portsentry", "portsentry2.conf"), Format.PORTSENTRY),
    "portsentry.ignore": Format.ADDRESSES,
    "psad.conf": Format.PSAD,
    "auto_dl": Format.LEVELS,
    "params.h": Format.SCANLOGD,
    "whitelist.yaml": Format.CROWDSEC,
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_format_is_known_by_the_content(name: str) -> None:
    assert format_of(source(EXAMPLES[name])) is KINDS[name]


@pytest.mark.parametrize("text", ["hello", "interfaces: []", "\0\0", "<html>", "192.0.2.1 office", "=x"])
def test_another_format_is_one_sentence(text: str) -> None:
    with pytest.raises(InputError, match=r"^/etc/file:1: this is no format that can be imported; give a file of"):
        format_of(source(text))


def test_a_file_of_comments_is_no_error() -> None:
    (note,) = import_all([source("# nothing\n\n")]).notes
    assert (note.place, note.reason) == ("file", "the file has nothing but comments")


def test_files_of_one_format_are_read_together() -> None:
    both = import_all([source(EXAMPLES[name], name) for name in ("portsentry.conf", "portsentry", "portsentry.ignore")])
    assert both.settings["traps.tcp"] == ["1-6", "8-12", "14-20"]
    assert len(both.settings["ignore"]) == 4
    assert "IGNORE_FILE" not in {note.option for note in both.notes}


@given(st.sampled_from(sorted(EXAMPLES)), st.text(max_size=40), st.integers(0, 900), st.integers(0, 30))
def test_a_damaged_file_gives_a_configuration_or_an_input_error(name: str, text: str, at: int, cut: int) -> None:
    whole = EXAMPLES[name]
    damaged = source(whole[:at] + text + whole[at + cut :])
    with suppress(InputError):
        assert configuration(import_all([damaged]), [name], with_jail=True).endswith("\n")
