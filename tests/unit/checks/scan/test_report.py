"""The results as rows and as a document."""

import json

from portsentry_py.checks.scan.model import DEFAULT_OPTIONS, SILENT, Target
from portsentry_py.checks.scan.ports import port_list
from portsentry_py.checks.scan.report import crowds, document, rows
from portsentry_py.checks.scan.scan import Scan

HOME = Target("127.0.0.1", bytes([127, 0, 0, 1]), "127.0.0.1")


def scanned() -> Scan:
    """Port 22 open, 30 ports closed, 5 silent."""
    done = Scan("syn", [HOME], range(1, 100), DEFAULT_OPTIONS)
    done.results[0].know(22, "open")
    for port in range(30, 60):
        done.results[0].know(port, "closed")
    done.results[0].codes[60:65] = bytes([SILENT] * 5)
    return done


def test_the_rows_leave_out_crowds_but_never_open_ports() -> None:
    done = scanned()
    found = done.results[0]
    assert [(port, state) for port, state, _ in rows(found, done)] == [
        ("22/tcp", "open"),
        *((f"{port}/tcp", "filtered") for port in range(60, 65)),
    ]
    assert crowds(found) == [("closed", 30)]
    for port in range(1000, 1100):
        found.know(port, "open")
    assert crowds(found) == [("closed", 30)]


def test_the_document_has_every_port() -> None:
    done = scanned()
    shown = json.loads(json.dumps(document(done, 1.23456)))
    assert {key: shown[key] for key in ("method", "complete", "sent", "seconds")} == {
        "method": "syn",
        "complete": False,
        "sent": 0,
        "seconds": 1.235,
    }
    (host,) = shown["hosts"]
    assert host["states"] == {"open": "22", "closed": "30-59", "filtered": "60-64"}
    assert host["ports"][0] == {"port": 22, "state": "open", "service": host["ports"][0]["service"]}
    assert port_list(host["states"]["closed"]) == tuple(range(30, 60))
