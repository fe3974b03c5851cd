"""A fault: its name, what is promised, and how it is brought about."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support.namespaces import Lab


@dataclass(frozen=True)
class Stage:
    """Where a fault happens: hosts that nobody used before, an empty folder, and how much time there is.

    Args:
        lab: the hosts.
        folder: the empty folder.
        short: small numbers will do.
        address: the target's Ethernet address, which it keeps.
    """

    lab: Lab
    folder: Path
    short: bool
    address: str


@dataclass(frozen=True)
class Observed:
    """What a fault did.

    Args:
        text: what was seen, in words.
        recovery_seconds: from the fault, or from when its cause went away, to the first SYN from which on
            none was lost; None where there is nothing to recover.
        lost: SYNs without a line, of so many that came.
        reported: what the sensor itself said of it.
    """

    text: str
    reported: str
    recovery_seconds: float | None = None
    lost: int = 0
    came: int = 0


@dataclass(frozen=True)
class Fault:
    """One thing that breaks. `happens` fails with an AssertionError where the promise is not kept.

    `alters_clock`: it sets the clock of the whole machine, which no test may do.
    """

    name: str
    what: str
    promise: str
    happens: Callable[[Stage], Observed]
    alters_clock: bool = False
