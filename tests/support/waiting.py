"""Waiting for another process: look again and again, never sleep for a fixed time."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

PATIENCE_SECONDS = 60.0
"""Long enough for a loaded machine: the deadline ends a test that fails, it measures nothing."""
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.01, 0.1


def wait_for(
    look: Callable[[], Found | None],
    what: str = "what the test looks for",
    *,
    seconds: float = PATIENCE_SECONDS,
    evidence: Callable[[], str] = str,
) -> Found:
    """Call `look` until it finds something, and return that.

    Raises:
        AssertionError: nothing was found in time; the message names `what` and holds `evidence()`.
    """
    deadline = time.monotonic() + seconds
    pause = _FIRST_PAUSE_SECONDS
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s in vain for {what}\n{evidence()}")
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
