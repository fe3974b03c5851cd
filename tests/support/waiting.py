"""Waiting for what another process does: always by asking again, never by a fixed sleep."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

PATIENCE_SECONDS = 60.0
"""Long enough for a loaded machine: a deadline ends a test that fails, it measures nothing."""


def wait_for(
    look: Callable[[], Found | None],
    what: str,
    *,
    seconds: float = PATIENCE_SECONDS,
    evidence: Callable[[], str] = str,
) -> Found:
    """Call `look` until it finds something; what it found is returned, and failing says `evidence`."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s in vain for {what}\n{evidence()}")
        time.sleep(0.1)
