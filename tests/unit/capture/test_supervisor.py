"""One capture after another, and what each has received."""

from contextlib import closing

import pytest

from portsentry_py.capture.packet_ring import PacketRing
from portsentry_py.capture.supervisor import live_supervisor
from portsentry_py.capture.toolchain import Tools
from portsentry_py.config.settings import Capture
from portsentry_py.errors import CaptureError, RightsLost
from portsentry_py.events.model import SensorReason
from portsentry_py.privsep.client import LauncherClient
from tests.support.played_network import PORT, US, Network, account, seconds, started, supervisor


def test_capture_and_counter_get_what_was_asked_for(network: Network) -> None:
    captures = started(network, PORT)
    assert [(one.names, one.host, one.decodes) for one in network.captures] == [(["eth0", "eth1"], PORT, True)]
    assert network.counter.watched == [(["eth0", "eth1"], PORT)]
    assert captures.tshark_version == "4.0.17"
    assert captures.ended is None


def test_packets_are_received_and_counted(network: Network) -> None:
    network.passes(9)
    captures = started(network)
    network.passes(3)
    assert [line.split("\t")[1] for line in captures.read(0.25)] == ["x12"] * 3
    assert account(captures) == (3, 0, 0, 0)
    network.passes(2)
    captures.read_counter()
    assert account(captures) == (3, 0, 0, 2)


def test_a_packet_that_arrives_before_the_next_count_is_no_late_one(network: Network) -> None:
    captures = started(network)
    network.passes(0, dropped=5)
    seconds(captures, network, 15)
    assert account(captures) == (0, 5, 0, 0)
    network.passes(2)
    captures.read(0.25)
    assert account(captures) == (2, 5, 0, 0)


def test_a_pause_after_a_burst_of_which_some_was_dropped_is_no_stall(network: Network) -> None:
    captures = started(network)
    network.passes(50, dropped=50)
    network.now += 0.4
    captures.read(0.25)
    for _ in range(10):
        network.now += 1
        captures.read(0.25)
        captures.tick()
        assert captures.ended is None
        assert not captures.loss.stalled
    assert account(captures) == (50, 50, 0, 0)


@pytest.mark.parametrize("word", ["dumpcap_ended", "tshark_ended"])
def test_a_capture_that_ended_is_followed_by_another(network: Network, word: SensorReason) -> None:
    captures = started(network)
    network.passes(2)
    captures.read(0.25)
    network.passes(1, dropped=4)
    network.captures[0].ended = word
    assert captures.ended == word
    assert captures.end_reason == "it fell over"
    assert len(captures.stop()) == 1
    assert captures.stop() == []
    network.passes(7)
    captures.start(["eth0"], US)
    network.passes(1)
    captures.read(0.25)
    assert account(captures) == (4, 4, 7, 0)
    assert captures.ended is None
    assert captures.handovers == 0


def test_packets_that_pass_and_do_not_arrive_are_a_stall(network: Network) -> None:
    captures = started(network)
    seconds(captures, network, 1, passing=1)
    network.captures[0].hangs = True
    seconds(captures, network, 3, passing=1)
    assert captures.ended is None
    seconds(captures, network, 1, passing=1)
    assert captures.ended == "stalled"
    assert captures.end_reason == "packets pass and none arrives"
    assert captures.stop() == []
    assert network.captures[0].killed, "nobody waits for it"
    captures.start(["eth0"], US)
    assert captures.ended is None
    network.passes(1)
    captures.read(0.25)
    assert account(captures) == (2, 0, 4, 0)
    assert not captures.loss.stalled


def test_a_counter_that_fails_at_a_restart_keeps_the_account(network: Network) -> None:
    captures = started(network)
    network.passes(1, dropped=3)
    captures.read(0.25)
    seconds(captures, network, 6)
    captures.stop()
    network.counter.refusal = OSError(19, "No such device")
    captures.start(["eth0"], US)
    seconds(captures, network, 6, passing=1)
    assert account(captures) == (7, 3, 0, 0)
    network.counter.refusal = None
    captures.stop()
    captures.start(["eth0"], US)
    seconds(captures, network, 6, passing=1)
    assert account(captures) == (13, 3, 0, 0)


def test_a_start_that_fails_is_an_error(network: Network) -> None:
    network.refusal = CaptureError("no such interface")
    captures = supervisor(network)
    with pytest.raises(CaptureError, match="no such interface"):
        captures.start(["eth9"], US)
    assert captures.stop() == []
    assert captures.finish() == []


def test_lost_rights_are_an_error(network: Network) -> None:
    network.counter.refusal = RightsLost("the launcher has ended")
    with pytest.raises(RightsLost):
        started(network)
    assert not network.counter.is_counting


def test_packets_on_their_way_at_the_end_arrive(network: Network) -> None:
    captures = started(network)
    network.captures[0].hangs = True
    network.passes(3, dropped=1)
    assert captures.read(0.25) == []
    assert len(captures.finish()) == 3
    assert account(captures) == (3, 1, 0, 0)
    assert not network.counter.is_counting
    assert network.captures[0].stopped


def test_packets_that_never_arrive_are_missed_at_the_end(network: Network) -> None:
    captures = started(network)
    network.passes(3)
    network.passed += 2
    assert len(captures.finish()) == 3
    assert account(captures) == (3, 0, 2, 0)


def test_the_live_supervisor_starts_live_captures() -> None:
    with closing(LauncherClient("/bin/false")) as launcher:
        captures = live_supervisor(
            Tools("tshark", "/bin/false", "4.0.17"),
            launcher,
            Capture(),
            PacketRing("/bin/false", launcher, Capture(), None),
        )
        with pytest.raises(CaptureError, match="cannot capture on lo"):
            captures.start(["lo"], US)
    assert captures.tshark_version == "4.0.17"


def test_the_running_capture_tells_its_memory_and_how_far_it_is_behind(network: Network) -> None:
    captures = started(network)
    network.captures[-1].lag = 0.5
    assert (captures.tshark_bytes, captures.lag) == (100 << 20, 0.5)
    captures.stop()
    assert (captures.tshark_bytes, captures.lag) == (0, None)
