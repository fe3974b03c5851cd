"""A whitelist of CrowdSec becomes the ignore list."""

import pytest

from portsentry_py.config.importers.crowdsec import read
from portsentry_py.errors import InputError
from tests.support.import_examples import WHITELIST, source


def test_addresses_and_networks_are_ignored_and_an_expression_has_a_note() -> None:
    imported = read(source(WHITELIST))
    assert imported.settings == {"ignore": ["192.0.2.1/32", "2001:db8::1/128", "198.51.100.0/24"]}
    assert [(note.option, note.place) for note in imported.notes] == [("expression", "file:10")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("whitelist: [", "broken YAML"),
        ("a: 1\nwhitelist: x\n", "file:2: the whitelist has no keys"),
        ("whitelist:\n  ip: [192.0.2.1, x]\n", "file:2: 'x' is not an IP address"),
        ("whitelist:\n  ip: &a [*a]\n", "alias"),
    ],
)
def test_a_wrong_whitelist_is_one_sentence(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read(source(text))


def test_all_addresses_have_a_note() -> None:
    assert [note.place for note in read(source("whitelist:\n  cidr: '::/0'\n")).notes] == ["file:2"]
