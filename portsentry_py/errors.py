"""Errors that a user can cause or that the machine can; each carries its exit code (sysexits.h)."""


def printable(text: str) -> str:
    """Text in one line that no terminal takes for more than text.

    File names, settings and what other programs say can hold anything: escape sequences, C1 and bidirectional
    controls, line ends, bytes that are no UTF-8.
    """
    return "".join(character if character.isprintable() else "?" for character in text)


def printable_lines(text: str) -> str:
    """The same for text of several lines."""
    return "\n".join(printable(line.expandtabs()) for line in text.split("\n"))


class PortsentryError(Exception):
    """One sentence for the user: the cause and the fix."""

    exit_code = 70

    def __init__(self, text: str) -> None:
        super().__init__(printable(text))


class UsageError(PortsentryError):
    """The command line asks for something that makes no sense."""

    exit_code = 64


class InputError(PortsentryError):
    """A capture or other input file cannot be read."""

    exit_code = 65


class CaptureError(PortsentryError):
    """Capturing is unavailable: tools, interface or filter."""

    exit_code = 69


class RightsLost(CaptureError):
    """The launcher has ended, and what it alone could do cannot be done any more."""


class OutputError(PortsentryError):
    """The log or another output cannot be written."""

    exit_code = 73


class PermissionDenied(PortsentryError):
    """The user may not do this."""

    exit_code = 77


class ConfigError(PortsentryError):
    """The configuration is wrong; one line per problem."""

    exit_code = 78

    def __init__(self, *problems: str) -> None:
        Exception.__init__(self, "\n".join(map(printable, problems)))
