"""Events as a person reads them on a terminal: one line each."""

import io
from typing import TextIO

from rich.console import Console
from rich.text import Text

from portsentry_py.events.model import ConnectionEvent, Event, EvidenceEvent, StatusEvent

_STYLES = {"ban": "bold red", "watch": "yellow", "ignore": "dim", "none": "dim"}


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
            self._console.print(readable(event), soft_wrap=True)
        self._stream.write(line.get())

    def close(self) -> None:
        """The terminal stays open."""


def readable(event: Event) -> Text:
    """An event in one line."""
    text = Text(event.timestamp[11:19] + " ", style="dim")
    if isinstance(event, EvidenceEvent):
        text.append(f"{event.verdict:<6} ", style=_STYLES[event.verdict])
        text.append(
            f"{event.src_ip} {event.event_type} {event.scan_type} {event.technique} ({event.state}): "
            f"{event.ports} ports of {event.dest_ip}, last {event.dest_port}/{event.proto}; {event.reason}"
        )
    elif isinstance(event, ConnectionEvent):
        text.append(
            f"-      {event.src_ip}:{event.src_port} to {event.dest_ip} "
            f"{event.dest_port}/{event.proto} {event.outcome}",
            style="dim",
        )
    elif isinstance(event, StatusEvent):
        text.append(f"sensor {event.state} ({event.reason}), {event.packets} packets seen")
    return text
