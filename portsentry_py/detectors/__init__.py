"""The detectors, one file each; `registry` lists those that run, in the order in which they are asked."""

from portsentry_py.detectors.base import Detector
from portsentry_py.detectors.port_scan import PortScanDetector
from portsentry_py.detectors.trap import TrapDetector
from portsentry_py.settings import Settings


def registry(settings: Settings) -> tuple[Detector, ...]:
    """Every detector, with its own section of the settings."""
    return (
        TrapDetector(settings.traps),
        PortScanDetector(settings.detectors.port_scan),
    )
