"""Faults of the configuration."""

import signal

from tests.lab.faults.fault import Fault, Observed, Stage
from tests.lab.faults.scene import Scene, playing
from tests.support.waiting import wait_for

_KEPT = "the old configuration stays in force: "
_BROKEN = ("connections: [", "no_such_key: 1", "capture: {workers: 3}", "ignore: [198.51.100.300]", "\0")
_RELOADS, _FEW_RELOADS = 1000, 50


def _broken(stage: Stage) -> Observed:
    with playing(stage) as scene:
        good = scene.sensor.config.read_text()
        for text in _BROKEN:
            scene.sensor.config.write_text(text)
            _is_kept(scene)
        scene.sensor.config.unlink()
        _is_kept(scene)
        assert not scene.sensor.matching(state="reloaded")
        scene.sensor.config.write_text(good)
        scene.mended()
        scene.sensor.status_now()
        scene.sees()
        return scene.observed(f"{len(_BROKEN) + 1} kinds, each reported with one sentence")


def _is_kept(scene: Scene) -> None:
    """Hang up: the sensor says one sentence and goes on."""
    before = scene.sensor.diagnostics.read_text()
    scene.sensor.process.send_signal(signal.SIGHUP)
    said = wait_for(
        lambda: scene.sensor.diagnostics.read_text()[len(before) :], "a sentence", evidence=scene.sensor.evidence
    )
    assert _KEPT in said, said
    assert said.count("\n") == 1, said
    scene.sees()


def _reloaded(stage: Stage) -> Observed:
    times = _FEW_RELOADS if stage.short else _RELOADS
    with playing(stage) as scene:
        for _ in range(times):
            scene.sensor.status_now()
        scene.mended()
        scene.sees()
        return scene.observed(f"{times} times")


FAULTS = (
    Fault("settings-broken", "a broken configuration and SIGHUP", "the old one stays, one sentence", _broken),
    Fault(
        "settings-reloaded",
        f"SIGHUP {_RELOADS:,} times",
        "nothing is lost; no descriptor, process or file is left",
        _reloaded,
    ),
)
