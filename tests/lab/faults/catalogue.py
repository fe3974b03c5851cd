"""All faults, and how one is played."""

from pathlib import Path

from tests.lab.faults import bans, children, clock, limits, log, network, sensor_process, settings, stand_ins
from tests.lab.faults.fault import Fault, Observed, Stage
from tests.support import tcpreplay
from tests.support.namespaces import opened

FAULTS: tuple[Fault, ...] = (
    *children.FAULTS,
    *stand_ins.FAULTS,
    *sensor_process.FAULTS,
    *network.FAULTS,
    *log.FAULTS,
    *bans.FAULTS,
    *settings.FAULTS,
    *limits.FAULTS,
    *clock.FAULTS,
)


def play(fault: Fault, folder: Path, *, short: bool) -> Observed:
    """Let one fault happen between hosts of its own; fails where the promise is not kept."""
    with opened() as lab:
        lab.silence()
        address = tcpreplay.link(lab.scanner, lab.target).destination.hex(":")
        return fault.happens(Stage(lab, folder, short, address))
