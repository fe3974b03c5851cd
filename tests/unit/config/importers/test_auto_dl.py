"""psad's level 0 becomes the ignore list."""

import pytest

from portsentry_py.config.importers.auto_dl import read
from portsentry_py.errors import InputError
from tests.support.import_examples import AUTO_DL, source


def test_level_0_is_ignored_and_others_have_a_note() -> None:
    imported = read(source(AUTO_DL))
    assert imported.settings == {"ignore": ["192.0.2.0/24"]}
    assert [(note.option, note.place) for note in imported.notes] == [
        ("203.0.113.7", "file:2"),
        ("198.51.100.1", "file:4"),
    ]


@pytest.mark.parametrize("text", ["192.0.2.1 6;", "192.0.2.1 0", "192.0.2.1;", "999.0.2.1 0;"])
def test_a_wrong_line_is_named(text: str) -> None:
    with pytest.raises(InputError, match=r"^/etc/file:1: .+; correct or remove"):
        read(source(text))
