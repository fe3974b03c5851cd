"""Diagnostics about ourselves on standard error, from a thread of their own: it may be the same full pipe."""

import io
import logging

from portsentry_py.output.async_writer import AsyncWriter


class AsyncLogHandler(logging.Handler):
    """Lets another handler write, in a thread of its own.

    Args:
        handler: what may be slow.
    """

    def __init__(self, handler: logging.Handler) -> None:
        super().__init__()
        self._queue = AsyncWriter(_Records(handler), "standard error")

    def emit(self, record: logging.LogRecord) -> None:
        """Take one record."""
        self._queue.write(record)

    def close(self) -> None:
        """Let the thread write what waits, for some seconds at most."""
        super().close()
        self._queue.close()


class _Records:
    """A handler as the writer of its records.

    Its lock is not taken: only one thread is here, and at the end of the program `logging` waits for the
    locks of all handlers.
    """

    def __init__(self, handler: logging.Handler) -> None:
        self._handler = handler

    def write(self, record: logging.LogRecord) -> None:
        """Write one record."""
        self._handler.emit(record)

    def close(self) -> None:
        """Nothing is open."""


def unbuffered(descriptor: int) -> io.TextIOWrapper:
    """Standard output or error for a thread that may be stuck in a write when the program ends.

    Python's own streams have a lock, which the stuck thread would hold and the end of the program wait for.
    """
    raw = io.FileIO(descriptor, "w", closefd=False)
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)
