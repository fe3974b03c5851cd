"""Text that a terminal shows as text, whatever it holds."""


def printable(text: str) -> str:
    """One line without control characters: each character that is not printable becomes `?`.

    File names, settings and the words of other programs can hold escape sequences, C1 and bidirectional
    controls, line ends, and bytes that are not UTF-8.
    """
    return "".join(character if character.isprintable() else "?" for character in text)


def printable_lines(text: str) -> str:
    """The same for text of several lines."""
    return "\n".join(printable(line.expandtabs()) for line in text.split("\n"))
