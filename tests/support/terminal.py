"""A terminal of a test's own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    """Give the two sides of a terminal: what is written to the second can be read from the first."""
    leader, follower = os.openpty()
    try:
        yield leader, follower
    finally:
        os.close(leader)
        os.close(follower)


@contextmanager
def as_terminal(descriptor: int) -> Iterator[list[str]]:
    """Let one of this process's descriptors be a terminal; what it showed is in the list afterwards."""
    shown: list[str] = []
    with terminal() as (leader, follower):
        kept = os.dup(descriptor)
        try:
            os.dup2(follower, descriptor)
            yield shown
        finally:
            os.dup2(kept, descriptor)
            os.close(kept)
        shown.append(os.read(leader, 1 << 16).decode())
