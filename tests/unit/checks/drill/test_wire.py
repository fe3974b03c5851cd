"""The wire into the stranger's namespace: it is laid or refused with one sentence, and it goes with the stranger."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from portsentry_py.checks.drill import wire
from portsentry_py.checks.drill.addresses import Target
from portsentry_py.errors import DrillError
from portsentry_py.host.interfaces import DRILL_LINK
from tests.support.needs import require_root
from tests.support.processes import has_ended
from tests.support.programs import write_program
from tests.support.waiting import wait_for

_TARGETS = (Target("203.0.113.1", "eth0"), Target("2001:db8:113::1", "eth1"))
_SOURCES = ("198.51.100.7", "2001:db8:7:7::77")


class Commands:
    """Stands in for the programs: notes each call, and answers."""

    def __init__(self, way_back: str = DRILL_LINK, refuses: str = "\0") -> None:
        self.calls: list[tuple[str, str]] = []
        self._way_back = way_back
        self._refuses = refuses

    def __call__(self, words: Sequence[str], script: str) -> str:
        self.calls.append((" ".join(words), script))
        if self._refuses in self.calls[-1][0]:
            raise DrillError("refused")
        return f"{words[4]} from {words[-1]} dev {self._way_back} uid 0" if "get" in words else ""

    def about(self, word: str) -> list[str]:
        return [command for command, _ in self.calls if word in command]


def laid(monkeypatch: pytest.MonkeyPatch, commands: Commands, *, arrive: bool = True) -> bool:
    monkeypatch.setattr(wire, "_run", commands)
    monkeypatch.setattr(wire, "_program", lambda name, _package: name)
    return wire.lay(7, _SOURCES, _TARGETS, arrive=arrive)


def test_packets_arrive_on_the_interfaces_of_the_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands()
    assert laid(monkeypatch, commands)
    redirects = commands.about("redirect")
    assert [words.rpartition(" ")[2] for words in redirects] == ["eth0", "eth1"]
    assert ["ipv6" in words for words in redirects] == [False, True]


def test_a_sensor_on_all_interfaces_needs_no_redirection(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands()
    assert not laid(monkeypatch, commands, arrive=False)
    assert commands.about("qdisc") == []


@pytest.mark.parametrize("refuses", ["qdisc", "redirect"])
def test_a_kernel_without_redirection_lets_them_arrive_on_the_wire(
    monkeypatch: pytest.MonkeyPatch, refuses: str
) -> None:
    assert not laid(monkeypatch, Commands(refuses=refuses))


def test_both_ends_know_only_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stranger reaches no address but the targets'; this host sends to the sources over the wire alone."""
    commands = Commands()
    laid(monkeypatch, commands)
    here, there = (script.splitlines() for _, script in commands.calls[:2])
    assert [line for line in here if line.startswith("route")] == [
        f"route add {source} dev {DRILL_LINK}" for source in _SOURCES
    ]
    assert [line for line in there if line.startswith("route")] == [
        f"route add {target.address} dev {DRILL_LINK}" for target in _TARGETS
    ]


def test_no_packet_is_sent_where_answers_would_leave_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DrillError, match="would leave this host; see `ip rule`"):
        laid(monkeypatch, Commands(way_back="eth0"))


def test_what_the_kernel_refuses_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_program(tmp_path / "ip", "#!/bin/sh\necho 'RTNETLINK answers: File exists' >&2\necho more >&2\nexit 2\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(DrillError, match=r"\(RTNETLINK answers: File exists\); remove what is in its way"):
        wire.lay(7, _SOURCES, _TARGETS, arrive=True)


def test_a_program_that_cannot_be_run_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_program(tmp_path / "ip", "#!/nonexistent/shell\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DrillError, match="cannot be run"):
        wire.lay(7, _SOURCES, _TARGETS, arrive=True)


def test_a_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(wire, "_PATH", ())
    with pytest.raises(DrillError, match="unshare is not installed; run `apt-get install util-linux`"), wire.stranger():
        pass


def test_a_kernel_without_namespaces_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_program(tmp_path / "unshare", "#!/bin/sh\necho 'unshare failed: Operation not permitted' >&2\nexit 1\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(DrillError, match="unshare failed: Operation not permitted"), wire.stranger():
        pass


def test_the_stranger_is_in_a_network_of_its_own_and_ends_with_the_drill() -> None:
    require_root()
    with wire.stranger() as stranger:
        namespaces = {Path(f"/proc/{who}/ns/net").readlink() for who in ("self", stranger.pid)}
        assert len(namespaces) == 2
        assert stranger.reach([], 0) == []
        # Its only interface is down.
        with pytest.raises(DrillError, match="cannot send"):
            stranger.probe("syn", "192.0.2.7", "127.0.0.1", [1])
        pid = stranger.pid
    assert has_ended(pid)


def test_a_stranger_that_is_gone_is_told() -> None:
    require_root()
    with wire.stranger() as stranger:
        os.kill(stranger.pid, signal.SIGKILL)
        wait_for(lambda: has_ended(stranger.pid), "the end of the stranger")
        with pytest.raises(DrillError, match="has ended"):
            stranger.reach([], 0)


def test_an_interface_of_an_earlier_drill_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    there = ["lo", DRILL_LINK]
    commands = Commands()
    monkeypatch.setattr(wire, "_run", commands)
    monkeypatch.setattr(wire, "all_interfaces", lambda: there)
    assert wire.remains()
    wire.clear()
    assert len(commands.about(f"link delete {DRILL_LINK}")) == 1
    there.remove(DRILL_LINK)
    wire.clear()
    assert len(commands.calls) == 1


@pytest.mark.parametrize("is_gone", [True, False])
def test_an_interface_that_the_kernel_removes_meanwhile_is_no_error(
    monkeypatch: pytest.MonkeyPatch, *, is_gone: bool
) -> None:
    looks = iter([[DRILL_LINK], [] if is_gone else [DRILL_LINK]])
    monkeypatch.setattr(wire, "all_interfaces", lambda: next(looks))
    monkeypatch.setattr(wire, "_run", Commands(refuses="delete"))
    if is_gone:
        wire.clear()
    else:
        with pytest.raises(DrillError):
            wire.clear()
