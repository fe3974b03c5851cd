"""Faults of resources: no descriptors, no memory."""

import contextlib
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from tests.lab.faults.fault import Fault, Observed, Stage
from tests.lab.faults.scene import Sender, playing
from tests.support.needs import unsupported

_CGROUPS = Path("/sys/fs/cgroup")
_TELLS = ("memory.events", "memory.oom_control")  # of version 2 and 1
# What the sensor does every second goes wrong as well.
_WITHOUT_SECONDS = 2.5
_ROOM_BYTES = 1 << 20
# tshark keeps up with it on a busy machine: what it was behind when it is killed is lost before anybody can tell.
_BURST, _BURST_PER_SECOND = 30_000, 2_000


def _descriptors(stage: Stage) -> Observed:
    with playing(stage) as scene:
        pid = scene.sensor.process.pid
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        used = {int(one.name) for one in Path(f"/proc/{pid}/fd").iterdir()}
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (next(number for number in count() if number not in used), hard))
        time.sleep(_WITHOUT_SECONDS)
        scene.sees()
        scene.sensor.child("tshark").kill()
        scene.says("Too many open files")
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        scene.mended()
        scene.waits_for("restarted", "tshark_ended")
        scene.sees()
        return scene.observed("a new capture as soon as there were some")


def _out_of_memory(stage: Stage) -> Observed:
    with playing(stage) as scene:
        tshark = scene.sensor.child("tshark")
        with _confined(tshark.pid) as group:
            burst = Sender(stage, first=1 << 20, per_second=_BURST_PER_SECOND, count=_BURST)
            scene.breaks_off("tshark_ended")
            burst.finish()
            assert _killed_in(group), f"nothing was killed in {group}"
            scene.sees()
            return scene.observed()


@contextmanager
def _confined(pid: int) -> Iterator[Path]:
    """Limit a process to little more memory than it has."""
    name = f"portsentry-py-{os.getpid()}"
    for parent, limit in (("", "memory.max"), ("memory", "memory.limit_in_bytes")):
        group = _CGROUPS / parent / name
        with contextlib.suppress(OSError):
            group.mkdir()
        if (group / limit).exists():
            break
        with contextlib.suppress(OSError):
            group.rmdir()
    else:
        unsupported("no control group may limit memory here")
    try:
        (group / limit).write_text(str(_ROOM_BYTES))
        (group / "cgroup.procs").write_text(str(pid))
        yield group
    finally:
        with contextlib.suppress(ProcessLookupError):  # it was killed
            (group.parent / "cgroup.procs").write_text(str(pid))
        group.rmdir()


def _killed_in(group: Path) -> int:
    """How many processes the kernel has killed for want of memory."""
    reported = next(path for name in _TELLS if (path := group / name).exists())
    return next(int(line.split()[1]) for line in reported.read_text().splitlines() if line.startswith("oom_kill "))


_REPLACED = "reported, a new capture"
FAULTS = (
    Fault("descriptors", "no descriptors left (RLIMIT_NOFILE) when tshark dies", _REPLACED, _descriptors),
    Fault("out-of-memory", "the kernel kills tshark for want of memory", _REPLACED, _out_of_memory),
)
