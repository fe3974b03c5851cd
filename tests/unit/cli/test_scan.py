"""`scan`: what it prints, and how it refuses."""

import json
import socket
from collections.abc import Iterator

import pytest

from portsentry_py.checks.scan.scan import Scan
from tests.support.command import Command, fails


@pytest.fixture
def served() -> Iterator[int]:
    """A port of this host that is open."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_the_table_is_sorted_by_port(command: Command, served: int) -> None:
    done = command("scan", "127.0.0.1", "-p", f"{served},1,2")
    assert done.code == 0
    ports = [line.split()[1] for line in done.out.splitlines() if "/tcp" in line]
    assert ports == ["1/tcp", "2/tcp", f"{served}/tcp"]
    announced, summary = done.err.splitlines()
    assert announced.startswith("connect: 3 tcp probes from 127.0.0.1 to 127.0.0.1")
    assert summary.startswith("3 probes in ")


def test_json_is_one_document(command: Command, served: int) -> None:
    done = command("scan", "127.0.0.1", "-p", f"1,{served}", "--json", "-4")
    shown = json.loads(done.out)
    assert shown["complete"] is True
    (host,) = shown["hosts"]
    assert host["states"] == {"open": str(served), "closed": "1"}


def test_states_of_many_ports_are_counted(command: Command) -> None:
    done = command("scan", "127.0.0.1", "-p", "1-60", "--method", "connect")
    assert "ports closed" in done.out
    assert "1/tcp" not in done.out.replace("11/tcp", "")


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("8.8.8.8",), 64, "--i-own-this"),
        (("192.0.2.1",), 64, "address of documentation"),
        (("10.0.0.0/8",), 64, "more than 256 addresses"),
        (("224.0.0.1",), 64, "no single host"),
        (("127.0.0.1", "-p", "http"), 64, "--ports"),
        (("127.0.0.1", "--method", "idle"), 64, "--method"),
        (("127.0.0.1", "--rate", "0"), 64, "--rate"),
        (("127.0.0.1", "-6"), 69, "no address is known over IPv6"),
        ((), 64, "HOST"),
    ],
)
def test_what_it_refuses_is_one_sentence(command: Command, words: tuple[str, ...], code: int, sentence: str) -> None:
    fails(command("scan", *words), code, sentence)


def test_ctrl_c_shows_what_is_known(command: Command, served: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Scan, _progress: object) -> None:
        self.results[0].know(served, "open")
        self.sent = 5
        raise KeyboardInterrupt

    monkeypatch.setattr(Scan, "run", interrupted)
    done = command("scan", "127.0.0.1")
    assert done.code == 130
    assert f"{served}/tcp" in done.out
    assert "not every port has its state" in done.err
    assert done.err.splitlines()[-1] == "interrupted."
    assert json.loads(command("scan", "127.0.0.1", "--json").out)["complete"] is False
