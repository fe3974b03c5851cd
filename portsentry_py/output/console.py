"""Events as a person reads them on a terminal: one line each."""

import io
from typing import TextIO

from rich.console import Console
from rich.text import Text

from portsentry_py.events.model import Event
from portsentry_py.events.readable import readable

_CLOCK = slice(11, 19)  # of a timestamp: hours, minutes, seconds


class ConsoleSink:
    """Readable lines beside the event log, into the unbuffered stream of a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        # rich only formats: its own printing keeps what a terminal did not take, and exits on a broken pipe.
        self._console = Console(file=io.StringIO(), force_terminal=stream.isatty(), highlight=False)

    def write(self, event: Event) -> None:
        """Print one event.

        Raises:
            OSError: the terminal has gone away.
        """
        with self._console.capture() as line:
            self._console.print(Text.assemble(*readable(event, event.timestamp[_CLOCK])), soft_wrap=True)
        self._stream.write(line.get())

    def close(self) -> None:
        """The terminal stays open."""
