"""Faults of the sensor as a whole: killed, or suspended."""

import signal
import time
from typing import Any

from tests.lab.faults.accounting import time_of
from tests.lab.faults.fault import Fault, Observed, Stage
from tests.lab.faults.scene import playing
from tests.support.processes import all_ended
from tests.support.waiting import wait_for

# The sensor waits this long for the outcome of an attempt; until then it has no line.
_UNSERVED: dict[str, Any] = {"served": {"tcp": []}}
_WAITED_SECONDS = 2.0
_SUSPENDED_SECONDS, _LONG_SECONDS = 3.0, 20.0


def _killed(stage: Stage) -> Observed:
    with playing(stage, _UNSERVED) as scene:
        sensor = scene.sensor
        _, *children = sensor.family()
        sensor.process.kill()
        sensor.process.wait(30)
        wait_for(lambda: all_ended(children), "the end of its children", evidence=sensor.evidence)
        sensor.start()
        sensor.wait_until_ready()
        started = time_of(sensor.matching(state="started")[1])
        scene.sees()
        return scene.observed(
            "its children end, a new sensor works",
            gaps=[(scene.struck - _WAITED_SECONDS, started)],
            reported="`started` without `stopped` before it",
        )


def _suspended(stage: Stage) -> Observed:
    with playing(stage) as scene:
        family = scene.sensor.family()
        for one in family:
            one.suspend()
        time.sleep(_SUSPENDED_SECONDS if stage.short else _LONG_SECONDS)
        for one in family:
            one.resume()
        scene.mended()
        scene.sees()
        return scene.observed()


def _alone_suspended(stage: Stage) -> Observed:
    with playing(stage) as scene:
        scene.sensor.process.send_signal(signal.SIGSTOP)
        time.sleep(_SUSPENDED_SECONDS if stage.short else _LONG_SECONDS)
        scene.sensor.process.send_signal(signal.SIGCONT)
        scene.mended()
        scene.sees()
        return scene.observed()


FAULTS = (
    Fault(
        "sensor-killed",
        "SIGKILL of the sensor, then a new one",
        "no child survives; what was open for a second is lost",
        _killed,
    ),
    Fault("all-suspended", "SIGSTOP of the sensor and all its children, for 20 s", "nothing is lost", _suspended),
    Fault("sensor-suspended", "SIGSTOP of the sensor alone, for 20 s", "nothing is lost", _alone_suspended),
)
