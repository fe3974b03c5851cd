"""Events as a person reads them on a terminal: one line each."""

from rich.console import Console
from rich.text import Text

from portsentry_py.events.model import ConnectionEvent, Event, EvidenceEvent, StatusEvent

_STYLES = {"ban": "bold red", "watch": "yellow", "ignore": "dim", "none": "dim"}


class ConsoleSink:
    """Readable lines beside the log; never the log itself."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.lost = 0

    def write(self, event: Event) -> None:
        """Print one event; a terminal that has gone away must not stop the log."""
        try:
            self._console.print(readable(event), soft_wrap=True)
        except OSError:
            self.lost += 1

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """Nothing waits here."""


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
