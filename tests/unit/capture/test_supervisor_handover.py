"""From a capture to a fresh one, without a lost packet."""

import pytest

from portsentry_py.errors import CaptureError
from tests.support.build import START_US
from tests.support.played_network import Network, account, grown, seconds, started


def test_a_stalled_capture_is_not_handed_over_but_ended(network: Network) -> None:
    captures = started(network)
    seconds(captures, network, 3, passing=1)
    network.captures[0].hangs = True
    seconds(captures, network, 3, passing=1)
    network.tshark_mib = 1000
    seconds(captures, network, 1, passing=1)
    assert captures.ended == "stalled"
    assert len(network.captures) == 1


def test_a_handover_loses_no_packet_and_delivers_none_twice(network: Network) -> None:
    captures = started(network)
    old, fresh = grown(captures, network)
    network.passes(2)
    found = captures.read(0.25)
    network.now += 0.5
    assert not old.stopped, "dumpcap must fetch what the kernel still has"
    network.passes(3)
    network.now += 0.6
    found += captures.read(0.25)
    assert (old.stopped, fresh.decodes) == (True, True)
    network.passes(4)
    found += captures.read(0.25)
    assert len(found) == 9
    seconds(captures, network, 6)
    assert account(captures) == (12, 0, 0, 0)
    assert captures.handovers == 1


def test_a_handover_waits_no_longer_than_for_a_packet_from_after_the_start_of_the_fresh_capture(
    network: Network,
) -> None:
    captures = started(network)
    network.now += 1
    old, fresh = grown(captures, network)
    old.complete_until = START_US / 1e6 + network.now
    network.passes(1)
    captures.read(0.25)
    assert not old.stopped, "another packet may have the same time"
    network.now += 0.002
    old.complete_until = START_US / 1e6 + network.now
    captures.read(0.25)
    assert (old.stopped, fresh.decodes) == (True, True)
    seconds(captures, network, 6)
    assert account(captures) == (4, 0, 0, 0)


def test_a_handover_waits_longer_while_something_of_others_is_not_decoded(network: Network) -> None:
    captures = started(network)
    old, _ = grown(captures, network)
    network.others += 1
    network.now += 0.1
    old.complete_until = START_US / 1e6 + network.now
    captures.read(0.25)
    assert not old.stopped
    captures.tick()
    assert old.reads_others
    captures.read(0.25)
    assert old.stopped, "the capture itself knows the others now"


def test_losses_of_both_captures_are_accounted_for(network: Network) -> None:
    captures = started(network)
    old, _ = grown(captures, network)
    old.drops += 5  # the fresh one continues after the last packet of the old one
    network.passed += 5
    network.now += 1.1
    captures.read(0.25)
    network.passes(1, dropped=2)
    seconds(captures, network, 6)
    captures.finish()
    assert account(captures) == (4, 7, 0, 0)


@pytest.mark.parametrize(("lag", "waits"), [(20.0, 19), (100.0, 29)])
def test_a_handover_waits_for_an_old_capture_that_is_behind_half_a_minute_at_most(
    network: Network, lag: float, waits: int
) -> None:
    captures = started(network)
    old, _ = grown(captures, network)
    old.lag = lag
    seconds(captures, network, waits, passing=1)
    assert not old.stopped
    seconds(captures, network, 2, passing=1)
    assert old.stopped


def test_a_handover_is_at_once_when_the_old_capture_ends(network: Network) -> None:
    captures = started(network)
    old, fresh = grown(captures, network)
    old.ended = "dumpcap_ended"
    network.passes(1)
    captures.read(0.25)
    assert old.stopped
    assert fresh.decodes
    assert captures.ended is None


def test_a_fresh_capture_that_does_not_start_changes_nothing(
    network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    captures = started(network)
    seconds(captures, network, 3, passing=1)
    network.tshark_mib, network.refusal = 1000, CaptureError("no room.")
    seconds(captures, network, 3, passing=1)
    assert "tshark has grown, and a fresh capture does not start: no room." in caplog.text
    assert captures.ended is None
    assert account(captures) == (6, 0, 0, 0)
    assert captures.handovers == 0


def test_a_fresh_capture_that_starts_slowly_does_not_stop_the_reading(network: Network) -> None:
    captures = started(network)
    network.is_slow = True
    old, fresh = grown(captures, network)
    assert len(seconds(captures, network, 10, passing=1)) == 10
    assert not old.stopped
    network.is_slow = False
    seconds(captures, network, 3, passing=1)
    assert (old.stopped, fresh.decodes) == (True, True)
    seconds(captures, network, 6)
    assert account(captures) == (16, 0, 0, 0)


def test_a_fresh_capture_that_still_starts_at_the_end_is_killed(network: Network) -> None:
    captures = started(network)
    network.is_slow = True
    _, fresh = grown(captures, network)
    captures.stop()
    assert fresh.killed
    assert captures.finish() == []


@pytest.mark.parametrize("error", [PermissionError(1, "may not"), OSError(19, "No such device")])
def test_without_a_counter_a_handover_learns_the_drops_from_dumpcap(network: Network, error: OSError) -> None:
    network.counter.refusal = error
    captures = started(network)
    network.passes(1, dropped=5)
    seconds(captures, network, 3, passing=1)
    assert account(captures) == (4, 0, 0, 0)
    for lag in (0.1, 0.1, 0.1, 5.0, 0.1):
        network.captures[0].lag = lag
        seconds(captures, network, 1, passing=1)
    seconds(captures, network, 3, passing=1)
    assert captures.handovers == 1
    assert account(captures) == (12, 5, 0, 0)


def test_a_capture_that_was_behind_is_handed_over_although_the_kernel_counts(network: Network) -> None:
    """Packets that come without a pause leave no moment in which losses show."""
    captures = started(network)
    for lag in (0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 5.0, 0.1, 0.1):
        network.captures[0].lag = lag
        seconds(captures, network, 1, passing=1)
    assert len(network.captures) == 2


def test_the_end_during_a_handover_delivers_all(network: Network) -> None:
    captures = started(network)
    old, fresh = grown(captures, network)
    network.passes(2)
    assert len(captures.finish()) == 2
    assert (old.stopped, fresh.stopped) == (True, True)
    assert account(captures) == (5, 0, 0, 0)


def test_a_stall_during_a_handover_ends_both(network: Network) -> None:
    captures = started(network)
    old, fresh = grown(captures, network)
    old.hangs, old.lag = True, 100.0
    seconds(captures, network, 5, passing=1)
    assert captures.ended == "stalled"
    captures.stop()
    assert (old.killed, old.stopped, fresh.stopped) == (True, True, True)
