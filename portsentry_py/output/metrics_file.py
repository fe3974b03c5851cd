"""Writes the metrics into a file for node_exporter's textfile collector, again and again."""

import logging
import threading
from pathlib import Path

from prometheus_client import generate_latest

from portsentry_py.output.metrics import Metrics
from portsentry_py.replacement import replace

_EVERY_SECONDS = 15.0
_CLOSE_SECONDS = 3.0
_MODE = 0o644  # another user collects it
_diagnostics = logging.getLogger(__name__)


class MetricsFile:
    """A thread that replaces the file as a whole, so that nobody reads half of it."""

    def __init__(self, metrics: Metrics, path: Path, every_seconds: float = _EVERY_SECONDS) -> None:
        self._metrics = metrics
        self._path = path
        self._every_seconds = every_seconds
        self._failure = ""
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics file", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ends.wait(self._every_seconds):
            self._replace()
        self._replace()

    def _replace(self) -> None:
        try:
            replace_file(self._path, generate_latest(self._metrics.registry))
        except OSError as error:
            failure = error.strerror or str(error)
            if failure != self._failure:
                _diagnostics.error(
                    "metrics.textfile: cannot write %s (%s); let the sensor's user write its folder, and see "
                    "ReadWritePaths= of the unit.",
                    *(self._path, failure),
                )
            self._failure = failure
        else:
            self._failure = ""

    def close(self) -> None:
        """Write it for the last time."""
        self._ends.set()
        self._thread.join(_CLOSE_SECONDS)


def replace_file(path: Path, content: bytes) -> None:
    """Put metrics in the place of those before. After a crash, new ones come soon.

    Raises:
        OSError: they cannot be written; the old ones stay.
    """
    replace(path, content, _MODE, durable=False)
