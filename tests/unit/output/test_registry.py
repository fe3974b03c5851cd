"""Which outputs the settings ask for."""

from pathlib import Path

import pytest

from portsentry_py.errors import OutputError
from portsentry_py.output.registry import open_outputs
from tests.support.build import connection_events, log_lines, strict
from tests.support.terminal import as_terminal


def test_the_event_log_is_a_file_or_standard_output(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for log in (str(tmp_path / "log"), "-"):
        outputs = open_outputs(strict(log=log))
        for event in connection_events():
            outputs.write(event)
        outputs.close()
    lines = b"".join(log_lines(connection_events()))
    assert (tmp_path / "log").read_bytes() == lines
    assert capfd.readouterr().out.encode() == lines, "and nothing else"


def test_a_log_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        open_outputs(strict(log=str(tmp_path / "none" / "log")))


def test_a_terminal_shows_events_unless_the_log_goes_there(tmp_path: Path) -> None:
    with as_terminal(1) as shown:
        outputs = open_outputs(strict(log=str(tmp_path / "log")))
        outputs.write(connection_events(1)[0])
        outputs.close()
    assert "100/tcp refused" in shown[0]
    assert (tmp_path / "log").read_bytes() == log_lines(connection_events(1))[0]
