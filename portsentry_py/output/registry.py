"""Every output there is. A new one takes its sink in a file here, its settings, and a line in `_OUTPUTS`."""

import logging
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from portsentry_py.config.settings import OFF_WORD, Settings
from portsentry_py.errors import ConfigError
from portsentry_py.output.diagnostics import unbuffered
from portsentry_py.output.geo import GeoTags
from portsentry_py.output.journal import JournalSink
from portsentry_py.output.json_log import open_log
from portsentry_py.output.sink import Dispatcher, Sink
from portsentry_py.output.syslog import SyslogSink

if TYPE_CHECKING:
    from portsentry_py.output.metrics import Metrics

_diagnostics = logging.getLogger(__name__)


def _event_log(settings: Settings) -> tuple[str, Sink]:
    return "standard output" if settings.log == "-" else settings.log, open_log(settings.log)


def _terminal(settings: Settings) -> tuple[str, Sink] | None:
    """Readable lines, where standard output is a terminal and not the event log."""
    stream = unbuffered(1)
    if settings.log == "-" or not stream.isatty():
        return None
    from portsentry_py.output.console import ConsoleSink  # noqa: PLC0415 - a service has no terminal

    return "the terminal", ConsoleSink(stream)


def _journal(settings: Settings) -> tuple[str, Sink] | None:
    return ("outputs.journald", JournalSink()) if settings.outputs.journald else None


def _syslog(settings: Settings) -> tuple[str, Sink] | None:
    target = settings.outputs.syslog
    return ("outputs.syslog", SyslogSink(target)) if target != OFF_WORD else None


# The event log is the first: its losses are `lines_lost`.
_OUTPUTS: tuple[Callable[[Settings], tuple[str, Sink] | None], ...] = (_event_log, _terminal, _journal, _syslog)


def open_outputs(settings: Settings) -> Dispatcher:
    """Open the outputs that the settings ask for.

    Raises:
        PortsentryError: one cannot be opened.
    """
    require_metrics(settings)
    found = [one for opened in _OUTPUTS if (one := opened(settings))]
    outputs = _with_metrics(settings, found) if settings.metrics.is_on else Dispatcher(found)
    outputs.decorate = GeoTags(settings.geo.databases).tagged
    return outputs


def require_metrics(settings: Settings) -> None:
    """Check that what the metrics need is installed.

    Raises:
        ConfigError: it is not.
    """
    if settings.metrics.is_on:
        require_prometheus("metrics")


def require_prometheus(key: str) -> None:
    """Check that the client of Prometheus is installed, for a key of the configuration.

    Raises:
        ConfigError: it is not.
    """
    if find_spec("prometheus_client") is None:
        raise ConfigError(
            f"{key}: the package prometheus_client is not installed; install python3-prometheus-client, or run: "
            "pip install portsentry-py[metrics]"
        )


def _with_metrics(settings: Settings, found: list[tuple[str, Sink]]) -> Dispatcher:
    from portsentry_py.output.metrics import Metrics, TimedSink  # noqa: PLC0415 - its package is optional

    metrics = Metrics(10 * settings.bans.unverified_per_minute)
    (name, log), *others = found
    timed: list[tuple[str, Sink]] = [(name, TimedSink(log, metrics)), *others, ("metrics", metrics)]
    _publish(metrics, settings)
    return Dispatcher(timed, metrics.observe)


def _publish(metrics: "Metrics", settings: Settings) -> None:
    from portsentry_py.output.metrics_file import MetricsFile  # noqa: PLC0415 - same
    from portsentry_py.output.metrics_server import MetricsServer  # noqa: PLC0415 - same

    if settings.metrics.textfile != OFF_WORD:
        metrics.closing.callback(MetricsFile(metrics, Path(settings.metrics.textfile)).close)
    if settings.metrics.listen == OFF_WORD:
        return
    try:
        metrics.closing.callback(MetricsServer(metrics, settings.metrics.listen).close)
    except OSError as error:
        _diagnostics.error(
            "metrics.listen: cannot listen at %s (%s); name another port, or end what holds it. The sensor goes on.",
            *(settings.metrics.listen, error.strerror or error),
        )
