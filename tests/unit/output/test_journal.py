"""Lines as the journal takes them."""

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from portsentry_py.errors import OutputError
from portsentry_py.events.model import to_record
from portsentry_py.output.journal import JournalSink
from tests.support.build import SCANNER, connection_events, evidence, strict, syn, watch
from tests.support.readings import reading

Fields = dict[str, str]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.settimeout(30)
        made.bind(str(tmp_path / "socket"))
        yield made


def fields(journal: socket.socket) -> Fields:
    lines = journal.recv(65_536).decode("ascii").splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_a_line_has_its_verdict_and_its_source_as_fields(journal: socket.socket, tmp_path: Path) -> None:
    (ban,) = [event for event in evidence(watch(strict(), syn(SCANNER, 1, 2, 3, 4))) if event.verdict == "ban"]
    with closing(JournalSink(str(tmp_path / "socket"))) as sink:
        for event in (ban, *connection_events(1), reading().status):
            sink.write(event)
    first, second, third = (fields(journal) for _ in range(3))
    assert json.loads(first.pop("MESSAGE")) == to_record(ban)
    assert first == {
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "portsentry-py",
        "PORTSENTRY_EVENT_TYPE": "scan",
        "PORTSENTRY_VERDICT": "ban",
        "PORTSENTRY_SRC_IP": SCANNER,
    }
    assert (second["PRIORITY"], second["PORTSENTRY_EVENT_TYPE"]) == ("6", "connection")
    assert third["PORTSENTRY_EVENT_TYPE"] == "status"
    assert "PORTSENTRY_SRC_IP" not in third


def test_a_journal_that_is_away_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    (event,) = connection_events(1)
    with closing(JournalSink(str(path))) as sink:
        with pytest.raises(OutputError, match="start systemd-journald"):
            sink.write(event)
        for _ in range(2):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
                journal.bind(str(path))
                sink.write(event)
                assert fields(journal)["PORTSENTRY_EVENT_TYPE"] == "connection"
            path.unlink()
