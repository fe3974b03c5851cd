"""The options of a file of names and values, with their places."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from portsentry_py.config.importers.imported import Note
from portsentry_py.config.importers.source import Source
from portsentry_py.config.values import quoted


@dataclass(frozen=True, slots=True)
class Option:
    """The value as the file has it, without quotes."""

    source: Source
    line: int
    text: str

    def one_of(self, *words: str) -> str:
        """The value, if it is one of these words.

        Raises:
            InputError: it is none of them.
        """
        if self.text not in words:
            raise self.source.wrong(
                self.line, f"{quoted(self.text)} is none of {', '.join(words)}", "write one of them"
            )
        return self.text


Options = Mapping[str, Option]


def options_of(sources: Sequence[Source], pattern: re.Pattern[str], form: str) -> dict[str, Option]:
    """The options of these files; of two with the same name, the later one counts.

    Args:
        sources: the files.
        pattern: a whole line; its groups are the name and the value.
        form: such a line in words.

    Raises:
        InputError: a line has another form.
    """
    found: dict[str, Option] = {}
    for source in sources:
        for line, text in source.lines():
            words = pattern.fullmatch(text)
            if words is None:
                raise source.wrong(line, f"not {form}", "correct the line, or put # before it")
            found[words[1]] = Option(source, line, words[2])
    return found


def notes_about(options: Options, names: Sequence[str], reason: str) -> list[Note]:
    """One note for each of these options that the file has."""
    found = ((name, options[name]) for name in names if name in options)
    return [Note(name, option.source.place(option.line), reason) for name, option in found]
