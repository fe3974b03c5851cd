"""One capture after another, on a network that the test plays and whose packets a counter counts."""

import time
from collections import Counter as Tally
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial

import pytest

from portsentry_py.capture.bpf import PLAIN, FilterHost
from portsentry_py.capture.forged_packets import ForgedPackets
from portsentry_py.capture.kernel_counter import KernelCounter
from portsentry_py.capture.live import LiveCapture
from portsentry_py.capture.packet_ring import PacketRing
from portsentry_py.capture.supervisor import CaptureSupervisor, live_supervisor
from portsentry_py.capture.toolchain import Tools
from portsentry_py.config.settings import Capture
from portsentry_py.errors import CaptureError, RightsLost
from portsentry_py.events.model import SensorReason
from portsentry_py.host.interfaces import OTHERS
from portsentry_py.privsep.client import LauncherClient
from tests.support.build import START_US

US = FilterHost(frozenset({"192.0.2.1"}), frozenset({123}))
PORT = replace(US, served_udp=frozenset({5060}))


class Network:
    """The clock, the packets, the captures and the counter of one test."""

    def __init__(self) -> None:
        self.now = 0.0
        self.captures: list[Played] = []
        self.counter = Counter(self)
        self.forged = Counter(self)
        self.refusal: CaptureError | None = None
        self.refuses_filter = self.refuses_others = self.is_slow = False
        self.tshark_mib = 100
        self.passed = self.others = 0

    def passes(self, count: int = 1, *, dropped: int = 0) -> None:
        """Packets pass; every running capture receives those that it does not drop."""
        self.now += 0.001
        self.passed += count + dropped
        line = f"{START_US / 1e6 + self.now:.6f}\tx{self.passed}"
        for capture in self.captures:
            if not capture.stopped:
                capture.queue += [line] * count
                capture.drops += dropped


class Played(LiveCapture):
    """A capture that receives what passes while it runs, and delivers it when it is read, unless it hangs."""

    end_reason = "it fell over"
    ended: SensorReason | None = None
    lag: float | None = None
    dropped = 0

    def __init__(self, network: Network, interfaces: list[str], host: FilterHost, *, decode: bool) -> None:
        if network.refusal is not None:
            raise network.refusal
        self.refused = network.refuses_filter and host != PLAIN
        self.network = network
        self.names = interfaces
        self.host = host
        self.decodes = decode
        self.queue: list[str] = []
        self.drops = 0
        self.stopped = self.killed = self.hangs = False
        self.delivered: dict[str, str] = {}
        network.captures.append(self)

    @property
    def tshark_bytes(self) -> int:
        """As the test says."""
        return self.network.tshark_mib << 20

    def has_started(self) -> bool:
        """As the test says."""
        if self.network.refuses_others and OTHERS in self.names:
            self.stopped = True
            raise CaptureError("no such header.")
        if self.refused:
            self.stopped = True
            raise CaptureError("the filter is odd.")
        return not self.network.is_slow

    def wait_until_started(self) -> None:
        """As the test says."""
        assert self.has_started()

    def start_others(self) -> bool:
        """Interfaces that come and go are read from now on."""
        self.reads_others, was = True, self.reads_others
        return not was

    def start_tshark(self) -> None:
        """From now on it can be read."""
        assert all(one.stopped for one in self.network.captures if one is not self), "two tsharks at once"
        self.decodes = True

    def wait(self, timeout_seconds: float) -> None:
        """Time passes when the test says so."""

    def read(self) -> list[str]:
        """What has arrived since the last call."""
        assert self.decodes
        return [] if self.hangs else self._rest()

    def _rest(self) -> list[str]:
        some, self.queue = self.queue, []
        self.delivered.update((line, line) for line in some)
        return some

    def kill(self) -> None:
        """End with all that it has."""
        self.killed = True
        self.queue, self.drops = [], 0

    def stop(self) -> list[str]:
        """End and deliver the rest."""
        self.stopped, self.dropped = True, self.drops
        return self._rest()

    def record_last_lines(self) -> list[dict[str, str]]:
        """All lines that were delivered, not only the last ones."""
        return [self.delivered]

    def skip_until(self, last_lines: list[dict[str, str]]) -> None:
        """Skip those."""
        self.queue = [line for line in self.queue if line not in last_lines[0]]


class Counter(KernelCounter):
    """A kernel's counter, which counts from the first `watch` on."""

    is_counting = False

    def __init__(self, network: Network) -> None:
        self.network = network
        self.refusal: Exception | None = None
        self.watched: list[tuple[list[str], FilterHost]] = []
        self.filtered: list[FilterHost] = []
        self._before = 0

    def watch(self, names: Sequence[str], host: FilterHost = PLAIN) -> None:
        """Count from now on."""
        self._refuse()
        if not self.watched:
            self._before = self.network.passed
        self.is_counting = True
        self.watched.append((list(names), host))

    def set_filter(self, host: FilterHost) -> None:
        """Note the filter."""
        self._refuse()
        self.filtered.append(host)

    def _refuse(self) -> None:
        if self.refusal is not None:
            self.is_counting = False
            raise self.refusal

    def by_interface(self) -> Tally[str]:
        """As the test says."""
        return Tally({"any": self.network.others})

    def read(self) -> int:
        """All packets until now."""
        assert self.is_counting
        return self.network.passed - self._before

    def close(self) -> None:
        """Count no more."""
        self.is_counting = False


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    """A network whose clock goes on with its packets."""
    made = Network()
    monkeypatch.setattr(time, "monotonic", lambda: made.now)
    monkeypatch.setattr(time, "time", lambda: START_US / 1e6 + made.now)
    return made


def supervisor(network: Network) -> CaptureSupervisor:
    return CaptureSupervisor(
        partial(Played, network),
        network.counter,
        ForgedPackets(network.forged),
        tshark_version="4.0.17",
        growth_bytes=128 << 20,
    )


def started(network: Network, host: FilterHost = US) -> CaptureSupervisor:
    captures = supervisor(network)
    captures.start(["eth0", "eth1"], host)
    return captures


def account(captures: CaptureSupervisor) -> tuple[int, int, int, int]:
    """Received, dropped, missed and pending; together, all that was seen."""
    loss = captures.loss
    parts = (loss.received, loss.dropped, loss.missed, loss.pending)
    assert sum(parts) == loss.seen
    return parts


def seconds(captures: CaptureSupervisor, network: Network, count: int, *, passing: int = 0) -> list[str]:
    """Let seconds pass, with some packets in each; returns the lines that arrive."""
    found: list[str] = []
    for _ in range(count):
        network.passes(passing)
        network.now += 1
        found += captures.read(0.25)
        captures.tick()
    return found


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


def test_a_stalled_capture_is_not_handed_over_but_ended(network: Network) -> None:
    captures = started(network)
    seconds(captures, network, 3, passing=1)
    network.captures[0].hangs = True
    seconds(captures, network, 3, passing=1)
    network.tshark_mib = 1000
    seconds(captures, network, 1, passing=1)
    assert captures.ended == "stalled"
    assert len(network.captures) == 1


def grown(captures: CaptureSupervisor, network: Network) -> tuple[Played, Played]:
    """Let tshark grow until a fresh capture runs besides the old one."""
    seconds(captures, network, 3, passing=1)
    network.tshark_mib = 1000
    network.now += 1
    captures.tick()
    old, fresh = network.captures
    assert not fresh.decodes
    return old, fresh


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


def test_a_handover_waits_for_an_old_capture_that_is_behind(network: Network) -> None:
    captures = started(network)
    old, _ = grown(captures, network)
    old.lag = 20.0
    seconds(captures, network, 19, passing=1)
    assert not old.stopped
    seconds(captures, network, 2, passing=1)
    assert old.stopped


def test_a_handover_waits_half_a_minute_at_most(network: Network) -> None:
    captures = started(network)
    old, _ = grown(captures, network)
    old.lag = 100.0
    seconds(captures, network, 29, passing=1)
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


def test_a_capture_whose_filter_is_refused_runs_with_a_plain_one(
    network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    network.refuses_filter = True
    captures = started(network)
    assert [one.host for one in network.captures] == [US, PLAIN]
    assert network.counter.watched == [(["eth0", "eth1"], PLAIN)]
    assert "the filter is odd. The capture runs with a filter that knows nothing of this host" in caplog.text
    seconds(captures, network, 3, passing=1)
    assert account(captures) == (3, 0, 0, 0)
    captures.set_host(US)
    network.refuses_filter = False
    seconds(captures, network, 3, passing=1)
    assert network.captures[-1].host == US, "it is tried again"


def test_where_dumpcap_cannot_hear_all_others_the_named_ones_are_watched(
    network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    network.refuses_others = True
    captures = supervisor(network)
    captures.start(["eth0", OTHERS], US)
    assert [one.names for one in network.captures] == [["eth0", OTHERS], ["eth0", OTHERS], ["eth0"]]
    assert network.counter.watched == [(["eth0"], US)]
    assert "no such header. Interfaces that come later are not watched; name them in `interfaces`." in caplog.text
    seconds(captures, network, 3, passing=1)
    assert account(captures) == (3, 0, 0, 0)


def test_a_fresh_capture_whose_filter_is_refused_takes_over_with_a_plain_one(
    network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    captures = started(network)
    seconds(captures, network, 3, passing=1)
    network.refuses_filter = True
    network.tshark_mib = 1000
    seconds(captures, network, 4, passing=1)
    assert [one.host for one in network.captures] == [US, US, PLAIN]
    assert "tshark has grown, and a fresh capture does not start: the filter is odd." in caplog.text
    assert captures.handovers == 1
    seconds(captures, network, 6)
    assert account(captures) == (7, 0, 0, 0)


def test_another_address_of_the_host_changes_the_filter(network: Network) -> None:
    captures = started(network)
    seconds(captures, network, 3)
    moved = replace(US, own=frozenset({"192.0.2.9"}))
    captures.set_host(moved)
    seconds(captures, network, 2)
    assert network.captures[1].host == moved
    assert network.counter.filtered == [moved]
    assert network.forged.watched[-1] == (["eth0", "eth1"], moved)


def test_more_addresses_than_the_filter_takes_are_reported_once(
    network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    many = FilterHost(frozenset(f"10.0.0.{last}" for last in range(129)))
    captures = started(network, many)
    captures.set_host(many)
    assert caplog.text.count("this host has 129 addresses and the capture filter takes 128") == 1


def test_ports_that_are_served_later_change_the_filter(network: Network) -> None:
    captures = started(network)
    seconds(captures, network, 3)
    captures.set_host(PORT)
    seconds(captures, network, 1)
    assert len(network.captures) == 1, "a client's port is soon gone"
    captures.set_host(PORT)
    seconds(captures, network, 1)
    assert network.captures[1].host == PORT
    assert network.counter.filtered == [PORT], "before the old capture ends"
    seconds(captures, network, 2)
    assert network.counter.filtered == [PORT], "once"
    seconds(captures, network, 6)
    assert account(captures) == (0, 0, 0, 0)
    network.passes(0, dropped=2)
    seconds(captures, network, 15)
    assert account(captures) == (0, 2, 0, 0)


def test_services_over_tcp_that_come_and_go_cost_nothing_until_a_fresh_capture_takes_over(network: Network) -> None:
    captures = started(network)
    for port in range(1024, 1124):
        captures.set_host(replace(US, served_tcp=frozenset({port})))
        seconds(captures, network, 10, passing=1)
    assert (len(network.captures), network.counter.filtered, captures.handovers) == (1, [], 0)
    assert account(captures) == (1000, 0, 0, 0)
    network.tshark_mib = 1000
    seconds(captures, network, 4, passing=1)
    latest = replace(US, served_tcp=frozenset({1123}))
    assert [one.host for one in network.captures] == [US, latest]
    assert network.counter.filtered == [latest], "capture and counter have the same filter"
    seconds(captures, network, 6)
    assert account(captures) == (1004, 0, 0, 0)


def test_ports_that_the_operator_names_change_the_filter_at_once(network: Network) -> None:
    captures = started(network)
    captures.set_host(PORT, at_once=True)
    seconds(captures, network, 1)
    assert network.captures[1].host == PORT


def test_a_filter_that_the_kernel_refuses_ends_the_count_and_nothing_else(network: Network) -> None:
    captures = started(network)
    captures.set_host(PORT, at_once=True)
    seconds(captures, network, 1, passing=1)
    network.counter.refusal = OSError(22, "Invalid argument")
    seconds(captures, network, 10, passing=1)
    assert captures.ended is None
    assert captures.handovers == 1
    assert account(captures) == (11, 0, 0, 0)


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


def test_interfaces_that_come_and_go_are_read_once_something_comes(network: Network) -> None:
    captures = started(network)
    seconds(captures, network, 3)
    assert not network.captures[0].reads_others
    network.others += 1
    seconds(captures, network, 1)
    assert network.captures[0].reads_others
    network.tshark_mib += 100  # that of the others
    seconds(captures, network, 5)
    assert len(network.captures) == 1, "it has not grown"


def test_without_a_counter_interfaces_that_come_and_go_are_read_at_once(network: Network) -> None:
    network.counter.refusal = OSError(1, "may not")
    captures = started(network)
    seconds(captures, network, 1)
    assert network.captures[0].reads_others


def test_after_a_handover_they_are_read_once_something_comes_again(network: Network) -> None:
    captures = started(network)
    network.others += 1
    seconds(captures, network, 1)
    _, fresh = grown(captures, network)
    seconds(captures, network, 5)
    assert not fresh.reads_others
    network.others += 1
    seconds(captures, network, 1)
    assert fresh.reads_others


def seen_twice(time: float) -> list[str]:
    cells = ("198.51.100.1", "aa", "192.0.2.1", "7", "6", "0", "0", "", "")
    return ["\t".join((f"{START_US / 1e6 + time:.6f}", *cells, place, "64")) for place in ("br0", "veth1")]


@pytest.mark.parametrize(("host", "lines"), [(US, 2), (replace(US, twice=frozenset({4})), 1)])
def test_a_packet_on_two_named_interfaces_counts_once_where_one_sees_what_the_other_does(
    network: Network, host: FilterHost, lines: int
) -> None:
    captures = started(network, host)
    network.passed += 2
    network.captures[0].queue += seen_twice(network.now)
    assert len(captures.read(0.25)) == lines
    assert account(captures) == (lines, 0, 0, 0)


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
