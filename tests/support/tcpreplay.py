"""tcpreplay: what was sent, and how fast it really was."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support import frames
from tests.support.frames import Link
from tests.support.namespaces import IFACE, Host, Lab, ip
from tests.support.needs import require_tool
from tests.support.running import run
from tests.support.workloads import Frames

_ACTUAL = re.compile(r"Actual: (\d+) packets \(\d+ bytes\) sent in ([\d.]+) seconds")
_FAILED = re.compile(r"Failed packets: +(\d+)")
_ADDRESS = re.compile(r"link/ether ([0-9a-f:]{17})")
_ANY_SPEED = 10_000
_SEND_SECONDS = 600
_FEED = "feed0"


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
    return _start(host, per_second, packets, "--intf1", iface, capture)


def _start(host: Host, per_second: int | None, packets: int | None, *words: str | Path) -> subprocess.Popen[str]:
    # A timer that sleeps: the default one takes a whole core, which belongs to who is measured.
    speed = ["--topspeed"] if per_second is None else [f"--pps={per_second}", "--timer=nano"]
    limit = [] if packets is None else [f"--limit={packets}"]
    with Path(os.devnull).open("w", encoding="utf-8") as noise:
        return host.start(
            *(require_tool("tcpreplay"), "--preload-pcap", "--no-flow-stats", *speed, *limit),
            *words,
            stdout=subprocess.PIPE,
            stderr=noise,
        )


def connect_feed(lab: Lab) -> None:
    """Give the target a second interface to its switch, over which it can send to itself (see `start_both`)."""
    ends = ("link", "add", "to-feed", "type", "veth", "peer", "name", _FEED, "netns", lab.target.namespace)
    ip("-n", lab.switch.namespace, *ends)
    ip("-n", lab.switch.namespace, "link", "set", "to-feed", "master", "br0", "up")
    # Without ARP: what others send to the target comes over its first interface.
    ip("-n", lab.target.namespace, "link", "set", _FEED, "arp", "off", "up")


def start_both(lab: Lab, capture: Path, per_second: int | None, packets: int | None = None) -> subprocess.Popen[str]:
    """Start sending the capture of a dialogue: what others send comes in, and what the target sends goes out.

    One program sends both, so that the order holds; the target's sensor drops what comes in from its own address.
    """
    sides = capture.with_suffix(".sides")
    # tcpprep's servers are sent out of the second interface.
    run(require_tool("tcpprep"), f"--cidr={lab.target.ipv4[0]}/32", f"--pcap={capture}", f"--cachefile={sides}")
    return _start(lab.target, per_second, packets, "--cachefile", sides, "--intf1", IFACE, "--intf2", _FEED, capture)


def finish(sending: subprocess.Popen[str]) -> Sent:
    """Wait until everything is sent."""
    said, _ = sending.communicate(timeout=_SEND_SECONDS)
    found, failed = _ACTUAL.search(said), _FAILED.search(said)
    if found is None or (failed and int(failed[1])):
        raise AssertionError(f"tcpreplay did not send everything:\n{said}")
    return Sent(int(found[1]), float(found[2]))
