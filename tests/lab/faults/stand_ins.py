"""Faults of a tshark or dumpcap that misbehaves: stand-ins do it, then become the real ones."""

import shlex
from collections.abc import Callable

from tests.lab.faults.fault import Fault, Observed, Stage
from tests.lab.faults.scene import Scene, playing, refused
from tests.support.needs import require_tool
from tests.support.waiting import wait_for

_MEBI = 1 << 20
_MOST_GROWTH = 64 * _MEBI
_HANG = "exec sleep 1000"
_HALF_LINE = f"printf '1700000000.00\\t10.1'; {_HANG}"
_LIMIT = "ulimit -v 60000"
_GARBAGE = "head -c 20000 /dev/urandom; echo"
_ENDLESS = "yes x | tr -d '\\n'"
_FLOOD = f"(yes 'tshark: this is nothing' | head -c {32 * _MEBI} >&2 &)"


def _tshark(misbehaviour: str) -> dict[str, str]:
    """A tshark that misbehaves, before it is the real one, until there is a file `tshark.well`."""
    real = shlex.quote(require_tool("tshark"))
    script = f"""#!/bin/sh
[ "$1" != -v ] || exec {real} "$@"
[ -e "$0.well" ] || {{ {misbehaviour}
}}
exec {real} "$@"
"""
    return {"tshark": script}


def _heal(scene: Scene) -> None:
    """The next tshark is the real one."""
    (scene.sensor.tools / "tshark.well").touch()


def _wait_for(scene: Scene, program: str) -> None:
    """Wait until tshark has become that program."""
    wait_for(
        lambda: program in (one.name() for one in scene.sensor.family() if one.is_running()),
        program,
        evidence=scene.sensor.evidence,
    )


def _silent(misbehaviour: str, program: str) -> Callable[[Stage], Observed]:
    def happens(stage: Stage) -> Observed:
        with playing(stage, tools=_tshark(misbehaviour), steady=False) as scene:
            memory = scene.sensor.family()[0].memory_info().rss
            _wait_for(scene, program)
            _heal(scene)
            scene.breaks_off("stalled")
            grown = scene.sensor.family()[0].memory_info().rss - memory
            assert grown < _MOST_GROWTH, f"it has grown by {grown} bytes"
            scene.sees()
            return scene.observed()

    return happens


def _noisy(misbehaviour: str) -> Callable[[Stage], Observed]:
    def happens(stage: Stage) -> Observed:
        with playing(stage, tools=_tshark(misbehaviour), steady=False) as scene:
            memory = scene.sensor.family()[0].memory_info().rss
            scene.sees()
            grown = scene.sensor.family()[0].memory_info().rss - memory
            assert grown < _MOST_GROWTH, f"it has grown by {grown} bytes"
            return scene.observed(counted=misbehaviour != _GARBAGE)

    return happens


def _without_memory(stage: Stage) -> Observed:
    with playing(stage, tools={**_tshark(_LIMIT), "tshark.well": ""}) as scene:
        (scene.sensor.tools / "tshark.well").unlink()
        scene.sensor.child("tshark").kill()
        # At its start, or soon after that: dumpcap may be ready before it has ended.
        scene.sensor.wait_for_diagnostics("failed to map")
        _heal(scene)
        scene.mended()
        scene.sees()
        return scene.observed()


def _refused(stage: Stage) -> Observed:
    real = shlex.quote(require_tool("dumpcap"))
    script = f"""#!/bin/sh
for word do
    shift
    [ "$last" != -f ] || word='no such filter ('
    set -- "$@" "$word"
    last=$word
done
exec {real} "$@"
"""
    said = refused(stage, "filter", tools={"dumpcap": script})
    return Observed("exit code 69", f"“{said}”")


FAULTS = (
    Fault("tshark-hangs", "tshark hangs at its start", "reported, a new capture", _silent(_HANG, "sleep")),
    Fault(
        "tshark-half-line",
        "tshark prints half a line and hangs",
        "reported, a new capture",
        _silent(_HALF_LINE, "sleep"),
    ),
    Fault(
        "tshark-endless-line",
        "tshark prints one line without end",
        "reported, a new capture; memory is bounded",
        _silent(_ENDLESS, "tr"),
    ),
    Fault(
        "tshark-garbage",
        "tshark prints 20,000 random bytes",
        "counted as malformed, nothing else is lost",
        _noisy(_GARBAGE),
    ),
    Fault("tshark-floods", "tshark prints 32 MiB of complaints", "nothing is lost; memory is bounded", _noisy(_FLOOD)),
    Fault(
        "address-space",
        "no address space for tshark (RLIMIT_AS)",
        "reported, a new capture when there is",
        _without_memory,
    ),
    Fault("filter-refused", "libpcap refuses the capture filter", "refuses to start, says why", _refused),
)
