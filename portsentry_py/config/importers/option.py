"""An option of portsentry, with its place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from portsentry_py.config.importers.imported import Note
from portsentry_py.config.importers.source import Source
from portsentry_py.config.values import quoted


@dataclass(frozen=True, slots=True)
class Option:
    """The value between the quotes."""

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


def notes_about(options: Options, names: Sequence[str], reason: str) -> list[Note]:
    """One note for each of these options that the file has."""
    found = ((name, options[name]) for name in names if name in options)
    return [Note(name, option.source.place(option.line), reason) for name, option in found]
