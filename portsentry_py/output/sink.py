"""What an output must do, and the dispatcher that keeps outputs from stopping the capture or each other."""

from collections.abc import Iterable
from contextlib import ExitStack
from typing import Protocol

from portsentry_py.events.model import Event
from portsentry_py.output.async_writer import AsyncWriter


class Sink(Protocol):
    """One output. Its own thread writes and closes it, so it may take its time."""

    def write(self, event: Event, /) -> None:
        """Write one event, whole or not at all.

        Raises:
            PortsentryError: not now; the same event is tried again, and later events wait.
            OutputEnded: never again; the sensor ends with it.
            Exception: this event is lost and counted; the next one is tried.
        """
        ...

    def close(self) -> None:
        """Release what is open."""
        ...


class Dispatcher:
    """Gives every event to every output, in order, each behind a queue of its own.

    Args:
        sinks: the outputs with their names for diagnostics, the event log first.
    """

    def __init__(self, sinks: Iterable[tuple[str, Sink]]) -> None:
        self._writers = [AsyncWriter(sink, name) for name, sink in sinks]

    def write(self, event: Event) -> None:
        """Queue one event.

        Raises:
            OutputEnded: nobody can read an output any more.
        """
        for writer in self._writers:
            writer.write(event)

    def flush(self) -> None:
        """Give the queues a moment, and report an output that stands still."""
        for writer in self._writers:
            writer.flush()

    def close(self) -> None:
        """Write what is queued, for some seconds at most."""
        with ExitStack() as closing:
            for writer in reversed(self._writers):
                closing.callback(writer.close)

    @property
    def lines_lost(self) -> int:
        """Events that the event log could not take."""
        return self._writers[0].lost
