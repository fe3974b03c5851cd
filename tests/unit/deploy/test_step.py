"""Steps are all done, or none."""

from contextlib import ExitStack

import pytest

from portsentry_py.deploy.step import Step, carry_out
from portsentry_py.errors import InstallError, OutputError


def step(name: str, done: list[str], *, error: BaseException | None = None, undo_error: bool = False) -> Step:
    def undo() -> None:
        done.remove(name)
        if undo_error:
            raise OutputError(f"{name} is stuck.")

    def do(stack: ExitStack) -> None:
        stack.callback(undo)
        done.append(name)
        if error:
            raise error

    return Step(name, do)


def test_steps_are_done_in_their_order() -> None:
    done: list[str] = []
    said: list[str] = []
    carry_out([step("a", done), step("b", done)], said.append)
    assert done == said == ["a", "b"]


@pytest.mark.parametrize("error", [InstallError("no."), OSError(28, "full"), KeyboardInterrupt()])
def test_a_step_that_fails_is_undone_with_those_before_it(error: BaseException) -> None:
    done: list[str] = []
    with pytest.raises(type(error)):
        carry_out([step("a", done), step("b", done, error=error), step("c", done)], lambda _: None)
    assert done == []


def test_what_cannot_be_undone_is_said_beside_the_reason() -> None:
    done: list[str] = []
    steps = [step("a", done), step("b", done, undo_error=True), step("c", done, error=InstallError("no room."))]
    with pytest.raises(InstallError, match=r"no room\. Not all of it could be undone: b is stuck\."):
        carry_out(steps, lambda _: None)
    assert done == [], "the others are undone all the same"
