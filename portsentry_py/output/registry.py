"""Every output there is. A new one takes its sink in a file here, its settings, and a line in `_OUTPUTS`."""

from collections.abc import Callable

from portsentry_py.config.settings import Settings
from portsentry_py.output.console import ConsoleSink
from portsentry_py.output.diagnostics import unbuffered
from portsentry_py.output.json_log import open_log
from portsentry_py.output.sink import Dispatcher, Sink


def _event_log(settings: Settings) -> tuple[str, Sink]:
    return "standard output" if settings.log == "-" else settings.log, open_log(settings.log)


def _terminal(settings: Settings) -> tuple[str, Sink] | None:
    """Readable lines, where standard output is a terminal and not the event log."""
    stream = unbuffered(1)
    return ("the terminal", ConsoleSink(stream)) if settings.log != "-" and stream.isatty() else None


# The event log is the first: its losses are `lines_lost`.
_OUTPUTS: tuple[Callable[[Settings], tuple[str, Sink] | None], ...] = (_event_log, _terminal)


def open_outputs(settings: Settings) -> Dispatcher:
    """Open the outputs that the settings ask for.

    Raises:
        PortsentryError: one cannot be opened.
    """
    return Dispatcher([found for opened in _OUTPUTS if (found := opened(settings))])
