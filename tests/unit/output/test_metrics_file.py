"""The file of the textfile collector is always whole."""

import stat
from contextlib import closing
from pathlib import Path

import pytest

from portsentry_py.output.metrics import Metrics
from portsentry_py.output.metrics_file import MetricsFile, replace_file
from tests.support.readings import reading
from tests.support.waiting import wait_for


@pytest.fixture
def metrics() -> Metrics:
    made = Metrics(200)
    made.observe(reading())
    return made


def test_the_file_is_written_again_and_again_and_at_the_end(metrics: Metrics, tmp_path: Path) -> None:
    path = tmp_path / "portsentry.prom"
    with closing(MetricsFile(metrics, path, 0.01)):
        wait_for(lambda: path.exists() and "portsentry_sources 12.0" in path.read_text(), "the first file")
        metrics.observe(reading(sources=13))
        wait_for(lambda: "portsentry_sources 13.0" in path.read_text(), "the next file")
        metrics.observe(reading(hears=False))
    assert "portsentry_capture_hears 0.0" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644, "another user collects it"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_is_reported_once(
    metrics: Metrics, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "missing" / "portsentry.prom"
    with closing(MetricsFile(metrics, path, 0.01)):
        wait_for(lambda: "metrics.textfile: cannot write" in caplog.text, "the diagnostic")
        path.parent.mkdir()
        wait_for(path.exists, "the file")
    assert caplog.text.count("cannot write") == 1


def test_a_file_that_cannot_be_replaced_stays(tmp_path: Path) -> None:
    path = tmp_path / "portsentry.prom"
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        replace_file(path, b"new")
    assert list(tmp_path.iterdir()) == [path]
