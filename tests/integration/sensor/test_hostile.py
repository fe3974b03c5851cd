"""Frames that no stack sends, on a real wire."""

from collections.abc import Callable

import pytest

from tests.integration.fixtures import StartSensor
from tests.support.build import Sent, icmp_unreachable, syn, udp
from tests.support.namespaces import Lab
from tests.support.scanning import PORTS, nmap

pytestmark = pytest.mark.wire

_LINK_HEADER = 14


def pieces(*whole: Sent) -> list[bytes]:
    """Each frame, ending after each of its bytes."""
    everyone = b"\xff" * 6
    return [everyone + sent.frame[6:length] for sent in whole for length in range(_LINK_HEADER, len(sent.frame) + 1)]


@pytest.mark.parametrize("asked", [syn, udp])
def test_a_frame_may_end_anywhere(lab: Lab, start_sensor: StartSensor, asked: Callable[..., list[Sent]]) -> None:
    """A datagram that ended within its IP header once ended the sensor."""
    scanner, target = lab.scanner, lab.target.ipv4[0]
    four, six = asked("198.51.100.9", 9, dst=target)[0], asked("2001:db8:bad::9", 9)[0]
    frames = pieces(four, six, icmp_unreachable(four), icmp_unreachable(six))
    sensor = start_sensor()

    # From the switch's own end of the wire: a bridge may look into IP packets and drop broken ones.
    lab.switch.load_burst("to-target", frames).communicate(timeout=60)
    nmap(scanner, "-sS", "-p", PORTS, target)

    sensor.wait_for_line("the scan", src_ip=scanner.ipv4[0], event_type="scan", verdict="ban")
    assert sensor.matching(state="restarted") == []
