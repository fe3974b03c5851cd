"""Diagnostics about ourselves on standard error, written by a thread: it may be the same full pipe."""

import io
import logging

from portsentry_py.output.async_writer import AsyncWriter
from portsentry_py.text import printable_lines


class AsyncLogHandler(logging.Handler):
    """Lets another handler, which may block, write in a thread of its own."""

    def __init__(self, handler: logging.Handler) -> None:
        super().__init__()
        self._queue = AsyncWriter(_Records(handler), "standard error")

    def emit(self, record: logging.LogRecord) -> None:
        """Queue one record."""
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
        self.write = handler.emit

    def close(self) -> None:
        pass


class _Printable(logging.Formatter):
    """Records without control characters, whatever names and words of others stand in them."""

    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(super().format(record))


def standard_error() -> logging.Handler:
    """Standard error, with the time of day where it is a terminal; elsewhere the journal adds the time."""
    stream = unbuffered(2)
    handler = logging.StreamHandler(stream)
    moment = "%(asctime)s " if stream.isatty() else ""
    handler.setFormatter(_Printable(moment + logging.BASIC_FORMAT, "%H:%M:%S"))
    return handler


def unbuffered(descriptor: int) -> io.TextIOWrapper:
    """Standard output or error for a thread that may be stuck in a write when the program ends.

    Python's own streams have a lock, which the stuck thread would hold and the end of the program wait for.
    """
    raw = io.FileIO(descriptor, "w", closefd=False)
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)
