"""`drill`: what it prints for people and for programs, its exit codes, and how it refuses."""

import json
import os
from pathlib import Path

import pytest

from portsentry_py.checks.drill.addresses import Target
from portsentry_py.checks.drill.found import Found
from portsentry_py.checks.drill.row import Row
from portsentry_py.checks.drill.sensor_view import SensorView
from portsentry_py.checks.drill.techniques import ALL, QUICK
from portsentry_py.cli import drill as module
from portsentry_py.errors import DrillError
from tests.support.command import Command, fails
from tests.support.drill_rows import TARGET, banned, tried


class Carried:
    """Stands in for the drill: gives what was found, and notes what was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.found = Found([banned()], armed=True, sensor=SensorView((5,)), targets=(Target(TARGET, "eth0"),))
        self.asked: tuple[object, ...] = ()
        monkeypatch.setattr(module, "carry_out", self)
        monkeypatch.setattr(module, "hints", lambda *_: ["correct it."])
        monkeypatch.setattr(os, "geteuid", lambda: 0)

    def __call__(self, _settings: object, techniques: object, _client: object, *, armed: bool, say: object) -> Found:
        assert callable(say)
        self.asked = (techniques, armed)
        return self.found


@pytest.fixture
def carried(monkeypatch: pytest.MonkeyPatch) -> Carried:
    return Carried(monkeypatch)


def test_the_table_shows_each_step(command: Command, carried: Carried) -> None:
    carried.found.rows += [banned(udp=False, forwarded=(8080,)), tried(why_not="no trap")]
    done = command("drill")
    assert done.code == 2
    assert "tcp yes, udp yes" in done.out
    assert "tcp yes, udp NO, forwarded NO" in done.out
    assert "not tried: syn IPv4: no trap" in done.out
    assert "hint: correct it." in done.out
    assert done.out.splitlines()[-1] == "removed: the namespace, its wire and routes, and every ban of the drill"


@pytest.mark.parametrize(("rows", "code"), [([banned()], 0), ([banned(tcp=None)], 1), ([tried()], 2)])
def test_the_exit_code_is_for_monitors(command: Command, carried: Carried, rows: list[Row], code: int) -> None:
    carried.found.rows = rows
    assert command("drill").code == code


def test_options_choose_techniques_and_the_log_alone(command: Command, carried: Carried) -> None:
    command("drill")
    assert carried.asked == (ALL, True)
    command("drill", "--quick", "--unarmed")
    assert carried.asked == (QUICK, False)


def test_json_is_one_document(command: Command, carried: Carried) -> None:
    carried.found.left = ("192.0.2.7/32",)
    done = command("drill", "--json")
    shown = json.loads(done.out)
    assert (done.code, shown["exit_code"]) == (2, 2)
    assert shown["hints"] == ["correct it."]
    assert shown["left_behind"] == ["192.0.2.7/32"]
    assert shown["targets"] == [{"address": TARGET, "interface": "eth0"}]
    assert len(shown["techniques"]) == 1


def test_an_unarmed_drill_has_a_table_without_bans(command: Command, carried: Carried) -> None:
    carried.found.armed = False
    assert "banned by" not in command("drill", "--unarmed").out


def test_what_is_left_is_told_with_its_remedy(command: Command, carried: Carried) -> None:
    carried.found.left = ("192.0.2.7/32",)
    assert "left behind: the bans of 192.0.2.7/32; run `portsentry-py drill --clean`." in command("drill").out


def test_without_a_sensor_there_is_no_table(command: Command, carried: Carried) -> None:
    carried.found.sensor = SensorView()
    assert command("drill").out == "hint: correct it.\n"


@pytest.mark.usefixtures("carried")
@pytest.mark.parametrize(
    ("was_left", "said"), [(True, "removed what a drill had left\n"), (False, "no drill has left anything\n")]
)
def test_cleaning_alone_scans_nothing(
    command: Command, monkeypatch: pytest.MonkeyPatch, said: str, *, was_left: bool
) -> None:
    monkeypatch.setattr(module, "clean", lambda _: was_left)
    done = command("drill", "--clean")
    assert (done.code, done.out) == (0, said)


@pytest.mark.usefixtures("carried")
def test_what_cannot_begin_is_one_sentence(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> Found:
        raise DrillError("another drill runs on this host; wait until it has ended.")

    monkeypatch.setattr(module, "carry_out", refuse)
    fails(command("drill"), 69, "another drill runs")


@pytest.mark.usefixtures("carried")
def test_a_log_that_nobody_can_read_is_refused(command: Command, tmp_path: Path) -> None:
    config = tmp_path / "portsentry.yaml"
    config.write_text("log: '-'\n")
    fails(command("drill", "-c", config), 64, "the log is standard output")


def test_only_root_drills(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    fails(command("drill"), 77, "run it as root")
