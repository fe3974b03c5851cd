"""What every sensor of the comparison can do."""

import shutil
from typing import NamedTuple, Protocol


class Absent(Exception):
    """A peer that cannot run here; the message is the reason."""


class Accusation(NamedTuple):
    """A line that names a source; only ours have a type, a verdict and decoy ports."""

    address: str
    scan_type: str = ""
    verdict: str = ""
    trap: bool = False


class Watcher(Protocol):
    @property
    def name(self) -> str:
        """The head of its column."""
        ...

    def renew(self) -> None:
        """Forget what would silence it: called before each technique."""
        ...

    def accusations(self) -> list[Accusation]:
        """Everybody named so far, once for each line."""
        ...

    def evidence(self) -> str:
        """What it said about itself."""
        ...


def program(name: str) -> str:
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if path is None:
        raise Absent(f"{name} is not installed")
    return path
