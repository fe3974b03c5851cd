"""Faults of the capture: dumpcap and tshark are killed or held."""

import signal
import time
from collections.abc import Callable

import psutil

from tests.lab.faults.fault import Fault, Observed, Stage
from tests.lab.faults.scene import playing

_HELD_SECONDS = 2.0
_DEATHS, _FEW_DEATHS = 1000, 10
_SLOWLY = 50
# What dies again and again is started after longer and longer pauses: a thousand deaths would take a day.
_WITHOUT_PAUSES = (
    "-c",
    """
from portsentry_py.cli.main import main
from portsentry_py.sensor import daemon
daemon._LONGEST_PAUSE_SECONDS = daemon._FIRST_PAUSE_SECONDS
main()""",
)


def _killed(victim: str) -> Callable[[Stage], Observed]:
    def happens(stage: Stage) -> Observed:
        with playing(stage) as scene:
            child = scene.sensor.child(victim)
            child.kill()
            scene.breaks_off(f"{victim}_ended")
            scene.sees()
            return scene.observed()

    return happens


def _launcher_killed(stage: Stage) -> Observed:
    with playing(stage) as scene:
        launcher = scene.sensor.launcher()
        launcher.kill()
        scene.breaks_off("dumpcap_ended")
        scene.sees()
        assert scene.sensor.launcher().pid != launcher.pid
        return scene.observed("another launcher, a new capture")


def _launcher_stopped(stage: Stage) -> Observed:
    with playing(stage) as scene:
        launcher = scene.sensor.launcher()
        launcher.send_signal(signal.SIGSTOP)
        scene.sensor.child("tshark").kill()
        scene.breaks_off("tshark_ended")
        scene.sees()
        return scene.observed()


def _stopped(victim: str) -> Callable[[Stage], Observed]:
    def happens(stage: Stage) -> Observed:
        with playing(stage) as scene:
            stopped: list[psutil.Process] = []

            def stop_what_runs() -> bool:
                """A fresh capture may take over just then: its process is stopped too."""
                if scene.sensor.matching(state="interrupted"):
                    return True
                child = scene.sensor.children().get(victim)
                if child is not None and child not in stopped and not any(one.is_running() for one in stopped):
                    child.send_signal(signal.SIGSTOP)
                    stopped.append(child)
                return False

            scene.sensor.wait_for(stop_what_runs, "interrupted")
            scene.breaks_off("stalled")
            scene.sees()
            return scene.observed()

    return happens


def _held(stage: Stage) -> Observed:
    with playing(stage) as scene:
        child = scene.sensor.child("tshark")
        child.send_signal(signal.SIGSTOP)
        time.sleep(_HELD_SECONDS)
        child.send_signal(signal.SIGCONT)
        scene.mended()
        scene.sees()
        return scene.observed()


def _die_again_and_again(stage: Stage) -> Observed:
    deaths = _FEW_DEATHS if stage.short else _DEATHS
    with playing(stage, program=_WITHOUT_PAUSES, per_second=_SLOWLY) as scene:
        for death in range(deaths):
            victim = ("dumpcap", "tshark")[death % 2]
            scene.sensor.child(victim).kill()
            scene.waits_for("restarted", f"{victim}_ended", death + 1)
            scene.sees()
        return scene.observed(f"{deaths} new captures")


_REPLACED = "reported, a new capture within a second"
FAULTS = (
    Fault("dumpcap-killed", "SIGKILL of dumpcap", _REPLACED, _killed("dumpcap")),
    Fault("tshark-killed", "SIGKILL of tshark", _REPLACED, _killed("tshark")),
    Fault("launcher-killed", "SIGKILL of the launcher", _REPLACED, _launcher_killed),
    Fault(
        "launcher-stopped",
        "SIGSTOP of the launcher, for good, then SIGKILL of tshark",
        "reported, a new capture",
        _launcher_stopped,
    ),
    Fault("dumpcap-stopped", "SIGSTOP of dumpcap, for good", "reported, a new capture", _stopped("dumpcap")),
    Fault("tshark-stopped", "SIGSTOP of tshark, for good", "reported, a new capture", _stopped("tshark")),
    Fault("tshark-held", "SIGSTOP of tshark for 2 s", "nothing is lost", _held),
    Fault(
        "children-die",
        f"{_DEATHS:,} deaths of dumpcap and tshark in turn",
        "as many new captures; no zombie, descriptor or file is left",
        _die_again_and_again,
    ),
)
