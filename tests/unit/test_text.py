"""No text reaches a terminal as anything but text."""

import pytest

from portsentry_py.text import printable, printable_lines


@pytest.mark.parametrize("hostile", ["\x1b[2J", "\x9b31m", "\u202e", "\r", "\n", "\t", "\x00", "\udcff"])
def test_a_control_character_becomes_a_question_mark(hostile: str) -> None:
    shown = printable(f"a{hostile}b")
    assert shown.isprintable()
    assert (len(shown), shown[:2], shown[-1]) == (len(hostile) + 2, "a?", "b")


def test_printable_text_stays_as_it_is() -> None:
    assert printable("wlän0 [bold] :a: 例") == "wlän0 [bold] :a: 例"


def test_line_ends_and_columns_of_several_lines_stay() -> None:
    assert printable_lines("a\tb\n\x1bc") == "a       b\n?c"
