"""Faults of the clock: it is set, by an hour, forward and back."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.lab.faults.fault import Fault, Observed, Stage
from tests.lab.faults.scene import Scene, playing
from tests.support.namespaces import NAMESPACES

_HOUR = 3600.0
_WRONG_SECONDS = 3.0
# What becomes of an attempt is waited for, by the clock of the packets.
_UNSERVED: dict[str, Any] = {"served": {"tcp": []}}


def _set(seconds: float) -> Callable[[Stage], Observed]:
    def happens(stage: Stage) -> Observed:
        with playing(stage, _UNSERVED) as scene:
            _wrong_for_a_while(scene, seconds)
            scene.mended()
            scene.sees()
            return scene.observed(recovers=False)

    return happens


def _wrong_for_a_while(scene: Scene, seconds: float) -> None:
    """Set the clock of the machine, and set it right again whatever happens."""
    with _alone():
        right = time.time() - time.monotonic()
        try:
            time.clock_settime(time.CLOCK_REALTIME, time.time() + seconds)
            time.sleep(_WRONG_SECONDS)
            scene.sees()
        finally:
            time.clock_settime(time.CLOCK_REALTIME, right + time.monotonic())


@contextmanager
def _alone() -> Iterator[None]:
    """No other run sets the clock meanwhile: it would take the wrong time for the right one."""
    everybodys = os.open(NAMESPACES, os.O_RDONLY)
    try:
        fcntl.flock(everybodys, fcntl.LOCK_EX)
        yield
    finally:
        os.close(everybodys)


_LOSSLESS = "nothing is lost, then and when it is set right"
FAULTS = (
    Fault("clock-forward", "the clock is an hour ahead for seconds", _LOSSLESS, _set(_HOUR), alters_clock=True),
    Fault("clock-back", "the clock is an hour behind for seconds", _LOSSLESS, _set(-_HOUR), alters_clock=True),
)
