"""A change of the system in steps. When one fails, it and those before it are undone."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass

from portsentry_py.errors import InstallError, PortsentryError

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Step:
    """One change.

    Attributes:
        text: what it does, for the operator.
        do: does it. It puts on the stack what undoes each part, before it does that part.
    """

    text: str
    do: Callable[[ExitStack], object]


def carry_out(steps: Iterable[Step], say: Say) -> None:
    """Does the steps in their order, or none of them.

    Raises:
        PortsentryError, OSError: a step failed. If something cannot be undone, the sentence says so.
    """
    undo = ExitStack()
    try:
        for step in steps:
            say(step.text)
            step.do(undo)
    except BaseException as error:
        say("this failed; undoing what was done")
        try:
            undo.close()
        except (PortsentryError, OSError) as second:
            raise InstallError(f"{error} Not all of it could be undone: {second}") from error
        raise
    undo.pop_all()
