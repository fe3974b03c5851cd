"""The YAML of a configuration file: what is refused, and in which line."""

import pytest

from portsentry_py.config import document
from portsentry_py.errors import ConfigError


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "served:\n  # tcp: [80]\n", "ignore:\n"])
def test_a_key_without_a_value_is_left_out(text: str) -> None:
    assert document.read(text, "file").content == {}


def test_the_line_of_each_key_and_item_is_known() -> None:
    lines = document.read("log: x\ntraps:\n  tcp:\n  - 1\n  - 2\n", "file").lines
    assert lines == {("log",): 1, ("traps",): 2, ("traps", "tcp"): 3, ("traps", "tcp", 0): 4, ("traps", "tcp", 1): 5}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("log: /a\nlog: /b", "file:2: log: given twice, first in line 1; keep one."),
        ("traps:\n  tcp: [1]\n  tcp: [2]", "file:3: tcp: given twice, first in line 2; keep one."),
    ],
)
def test_a_key_that_is_given_twice_is_reported(text: str, sentence: str) -> None:
    assert document.read(text, "file").duplicates == [sentence]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("ignore: [", ["file:", "broken YAML"]),
        ("a: b: c", ["file:1", "broken YAML"]),
        ("\tlog: x", ["broken YAML"]),
        ("- a\n- b", ["must hold keys and values"]),
        ("just words", ["must hold keys and values"]),
        ("log: !!python/object/apply:os.getcwd []", ["broken YAML"]),
        ("log: &a [*a]", ["file:1", "alias *a", "write out"]),
        ("a: {<<: &a {b: 1}}\nc: *a", ["file:2", "alias *a"]),
        (f"\nlog: {'x' * 10_001}", ["file:2", "more than 10000 characters"]),
        ("log: !!int ''", ["broken YAML", "does not fit its tag"]),
        ("log: 2026-02-31", ["broken YAML", "out of range"]),
        ("[" * 5000, ["nested too deeply"]),
    ],
)
def test_broken_yaml_is_one_sentence(text: str, parts: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        document.read(text, "file")
    (sentence,) = str(caught.value).splitlines()
    assert [part for part in parts if part not in sentence] == []
