"""Sentences for people: no text is more than text."""

import pytest

from portsentry_py.cli.say import say


def test_a_sentence_is_printed_without_control_characters(capfd: pytest.CaptureFixture[str]) -> None:
    say("a \x1b[2J name :a: [bold]")
    say("an error", err=True)
    assert tuple(capfd.readouterr()) == ("a ?[2J name :a: [bold]\n", "an error\n")
