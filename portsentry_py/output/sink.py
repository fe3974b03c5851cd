"""An output, and the dispatcher that keeps outputs from stopping the capture or each other."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from portsentry_py.events.model import Event, StatusEvent
from portsentry_py.output.async_writer import AsyncWriter, Writer

Sink = Writer[Event]


@dataclass(frozen=True, slots=True)
class Reading:
    """What the sensor counted and what it holds, at one moment.

    Attributes:
        status: the counts since the start, as a status line has them.
        hears: the capture runs, and packets arrive or none pass.
        tshark_version: the version of the tshark that dissects.
        tshark_bytes: the memory of all tsharks.
        lag_seconds: how far the capture is behind; 0 if no packet came lately.
        sources: the sources in the source table.
        ban_budget: how many unverified sources may be banned now.
        lines: for each output, the lines that it wrote and the lines that it lost.
    """

    status: StatusEvent
    hears: bool
    tshark_version: str
    tshark_bytes: int
    lag_seconds: float
    sources: int
    ban_budget: float
    lines: Mapping[str, tuple[int, int]]


class Dispatcher:
    """Gives every event to every output, in order, each behind a queue of its own; the event log is the first.

    Args:
        sinks: the outputs with their names.
        observe: takes a reading each second, and at each change of the sensor's state.

    Attributes:
        decorate: adds to an event what the core cannot know.
    """

    def __init__(self, sinks: Iterable[tuple[str, Sink]], observe: Callable[[Reading], None] | None = None) -> None:
        self._writers = {name: AsyncWriter(sink, name) for name, sink in sinks}
        self.observe = observe
        self.decorate: Callable[[Event], Event] = lambda event: event

    def write(self, event: Event) -> None:
        """Queue one event.

        Raises:
            OutputEnded: nobody can read an output any more.
        """
        decorated = self.decorate(event)
        for writer in self._writers.values():
            writer.write(decorated)

    def flush(self) -> None:
        """Give the queues a moment, and report an output that stands still."""
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        """Write what is queued, for some seconds at most."""
        with ExitStack() as closing:
            for writer in reversed(self._writers.values()):
                closing.callback(writer.close)

    @property
    def lines_lost(self) -> int:
        """Events that the event log could not take."""
        return next(iter(self._writers.values())).lost

    @property
    def lines(self) -> dict[str, tuple[int, int]]:
        """For each output, the lines that it wrote and the lines that it lost."""
        return {name: (writer.written, writer.lost) for name, writer in self._writers.items()}
