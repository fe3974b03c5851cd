"""A configuration file of another program: its text, its lines, and the sentence about a wrong one."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

from portsentry_py.config.settings import Network
from portsentry_py.config.values import quoted
from portsentry_py.errors import InputError, PermissionDenied

_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """A file that was read."""

    path: Path
    text: str

    def lines(self, comment: str = "#") -> Iterator[tuple[int, str]]:
        """The lines that hold something, with their numbers, without the blanks around them."""
        for number, line in enumerate(self.text.splitlines(), start=1):
            stripped = line.strip()
            if stripped and not stripped.startswith(comment):
                yield number, stripped

    def place(self, line: int) -> str:
        """The file and the line, for a note."""
        return f"{self.path.name}:{line}"

    def wrong(self, line: int, cause: str, fix: str) -> InputError:
        """The error about a line."""
        return InputError(f"{self.path}:{line}: {cause}; {fix}.")

    def network(self, line: int, text: str) -> Network:
        """An address or a network, in the words of any of the programs: bits behind the prefix may be set.

        Raises:
            InputError: it is none.
        """
        try:
            return ip_network(text, strict=False)
        except ValueError as error:
            raise self.wrong(line, f"{quoted(text)} is not an IP address or network", "correct or remove it") from error


def read_source(path: Path) -> Source:
    """Read a file; old ones may hold comments in Latin-1.

    Raises:
        InputError: it is missing, no file, or too large.
        PermissionDenied: the user may not read it.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except PermissionError as error:
        raise PermissionDenied(f"{path}: you may not read the file; run as root or copy it.") from error
    except OSError as error:
        raise InputError(f"{path}: cannot read the file ({os.strerror(error.errno or 0)}); name another.") from error
    if len(content) > _MAX_BYTES:
        raise InputError(f"{path}: longer than {_MAX_BYTES} bytes; name a configuration file.")
    try:
        return Source(path, content.decode("utf-8"))
    except UnicodeDecodeError:
        return Source(path, content.decode("latin-1"))
