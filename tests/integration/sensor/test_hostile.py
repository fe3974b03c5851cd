"""Frames that no stack sends, on a real wire."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from tests.integration.fixtures import StartSensor
from tests.support.build import Sent, icmp_unreachable, syn, udp
from tests.support.namespaces import Lab
from tests.support.scanning import PORTS, nmap

pytestmark = pytest.mark.wire

_SEND = """
import socket, sys
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
link.bind((sys.argv[1], 0))
for line in sys.stdin.read().split():
    link.send(bytes.fromhex(line))
"""
_LINK_HEADER = 14


def pieces(*whole: Sent) -> list[bytes]:
    """Each frame, ending after each of its bytes."""
    everyone = b"\xff" * 6
    return [
        everyone + sent.frame[6:length]
        for sent in whole
        for length in range(_LINK_HEADER, len(sent.frame) + 1)
    ]


@pytest.mark.parametrize("asked", [syn, udp])
def test_a_frame_may_end_anywhere(
    lab: Lab, start_sensor: StartSensor, asked: Callable[..., list[Sent]]
) -> None:
    """A datagram that ended within its IP header once ended the sensor."""
    scanner, target = lab.scanner, lab.target.ipv4[0]
    four, six = asked("198.51.100.9", 9, dst=target)[0], asked("2001:db8:bad::9", 9)[0]
    frames = pieces(four, six, icmp_unreachable(four), icmp_unreachable(six))
    sensor = start_sensor()

    lines = "\n".join(frame.hex() for frame in frames)
    # From the switch's own end of the wire: a bridge may look into IP packets, and drop what is none.
    script = f"printf '%s' '{lines}' | exec \"$0\" -c \"$1\" to-target"
    done = lab.switch.run("sh", "-c", script, sys.executable, _SEND)
    assert done.returncode == 0, done.stderr
    nmap(scanner, "-sS", "-p", PORTS, target)

    sensor.wait_for_line("the scan", src_ip=scanner.ipv4[0], event_type="scan", verdict="ban")
    assert sensor.matching(state="restarted") == []
