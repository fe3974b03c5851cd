"""tcpreplay: what was sent, and how fast it really was."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support import frames
from tests.support.frames import Link
from tests.support.namespaces import IFACE, Host
from tests.support.needs import require_tool
from tests.support.workloads import Frames

_ACTUAL = re.compile(r"Actual: (\d+) packets \(\d+ bytes\) sent in ([\d.]+) seconds")
_FAILED = re.compile(r"Failed packets: +(\d+)")
_ADDRESS = re.compile(r"link/ether ([0-9a-f:]{17})")
_ANY_SPEED = 10_000
_SEND_SECONDS = 600


@dataclass(frozen=True)
class Sent:
    """What tcpreplay says that it did."""

    packets: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.packets / self.seconds if self.seconds else 0.0


def link(sender: Host, target: Host) -> Link:
    """The Ethernet addresses between two hosts of the lab."""
    return Link(_address(target), _address(sender))


def _address(host: Host) -> bytes:
    found = _ADDRESS.search(host.run("ip", "link", "show", "dev", IFACE).stdout)
    if found is None:
        raise AssertionError(f"{host.role} has no Ethernet address")
    return bytes.fromhex(found[1].replace(":", ""))


def recorded(path: Path, sender: Host, target: Host, kind: Frames, packets: int) -> Path:
    """Write a capture that the sender can send to the target; its times do not matter."""
    return frames.write(path, kind(packets, link(sender, target)), _ANY_SPEED)


def start(
    host: Host, capture: Path, per_second: int | None, packets: int | None = None, iface: str = IFACE
) -> subprocess.Popen[str]:
    """Start sending the capture, or its first packets, at a rate or at full speed."""
    # A timer that sleeps: the default one takes a whole core, which belongs to who is measured.
    speed = ["--topspeed"] if per_second is None else [f"--pps={per_second}", "--timer=nano"]
    limit = [] if packets is None else [f"--limit={packets}"]
    with Path(os.devnull).open("w", encoding="utf-8") as noise:
        return host.start(
            *(require_tool("tcpreplay"), "--preload-pcap", "--no-flow-stats", *speed, *limit),
            *("--intf1", iface, capture),
            stdout=subprocess.PIPE,
            stderr=noise,
        )


def finish(sending: subprocess.Popen[str]) -> Sent:
    """Wait until everything is sent."""
    said, _ = sending.communicate(timeout=_SEND_SECONDS)
    found, failed = _ACTUAL.search(said), _FAILED.search(said)
    if found is None or (failed and int(failed[1])):
        raise AssertionError(f"tcpreplay did not send everything:\n{said}")
    return Sent(int(found[1]), float(found[2]))
