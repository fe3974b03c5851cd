"""One finding of `check`, and how bad it is."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "broken"]


@dataclass(frozen=True, slots=True)
class Result:
    """One finding.

    Attributes:
        name: what was looked at.
        text: what was found and, unless it is well, the fix.
        level: `broken` if the sensor cannot run or nobody is banned, `warning` if either works less well.
    """

    name: str
    text: str
    level: Level = "ok"


def warning(name: str, text: str) -> Result:
    """A finding that an operator should know."""
    return Result(name, text, "warning")


def broken(name: str, text: str) -> Result:
    """A finding that an operator has to mend."""
    return Result(name, text, "broken")
