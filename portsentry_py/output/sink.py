"""An output, and the dispatcher that keeps outputs from stopping the capture or each other."""

from collections.abc import Iterable
from contextlib import ExitStack

from portsentry_py.events.model import Event
from portsentry_py.output.async_writer import AsyncWriter, Writer

Sink = Writer[Event]


class Dispatcher:
    """Gives every event to every output, in order, each behind a queue of its own; the event log is the first."""

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
