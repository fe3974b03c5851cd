"""Which outputs the settings ask for."""

import socket
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from portsentry_py.config.settings import Metrics, Outputs
from portsentry_py.errors import ConfigError, OutputError
from portsentry_py.output import registry
from portsentry_py.output.journal import JournalSink
from portsentry_py.output.registry import open_outputs
from tests.support.build import connection_events, log_lines, strict
from tests.support.readings import reading
from tests.support.terminal import as_terminal


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port: int = holder.getsockname()[1]
    return port


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


def test_metrics_are_an_output_that_is_served_and_written(tmp_path: Path) -> None:
    port, file = free_port(), tmp_path / "portsentry.prom"
    settings = strict(log=str(tmp_path / "log"), metrics=Metrics(listen=f"127.0.0.1:{port}", textfile=str(file)))
    outputs = open_outputs(settings)
    assert outputs.observe is not None
    outputs.observe(reading())
    for event in connection_events():
        outputs.write(event)
    with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as client:
        client.request("GET", "/-/healthy")
        assert client.getresponse().status == 200
    outputs.close()
    assert 'portsentry_events_total{event_type="connection",verdict="none"} 3.0' in file.read_text()
    assert outputs.lines == {str(tmp_path / "log"): (3, 0), "metrics": (3, 0)}


def test_a_port_that_is_taken_is_one_diagnostic_and_the_sensor_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        address = f"127.0.0.1:{holder.getsockname()[1]}"
        outputs = open_outputs(strict(log=str(tmp_path / "log"), metrics=Metrics(listen=address)))
        outputs.write(connection_events(1)[0])
        outputs.close()
    assert caplog.text.count(f"cannot listen at {address} (Address already in use)") == 1
    assert (tmp_path / "log").read_bytes() == log_lines(connection_events(1))[0]


def test_metrics_without_their_package_are_a_wrong_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match=r"pip install portsentry-py\[metrics\]") as raised:
        open_outputs(strict(log=str(tmp_path / "log"), metrics=Metrics(listen="127.0.0.1:9797")))
    assert raised.value.exit_code == 78
    open_outputs(strict(log=str(tmp_path / "log"))).close()


def test_lines_go_to_a_syslog_server_and_to_the_journal_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal,
    ):
        server.bind(str(tmp_path / "server"))
        journal.bind(str(tmp_path / "journal"))
        monkeypatch.setattr(registry, "JournalSink", lambda: JournalSink(str(tmp_path / "journal")))
        asked = Outputs(journald=True, syslog=f"unix:{tmp_path / 'server'}")
        outputs = open_outputs(strict(log=str(tmp_path / "log"), outputs=asked))
        outputs.write(connection_events(1)[0])
        outputs.close()
        line = log_lines(connection_events(1))[0].rstrip()
        assert server.recv(65_536).endswith(line)
        assert journal.recv(65_536).rstrip().endswith(line)
    assert set(outputs.lines.values()) == {(1, 0)}
