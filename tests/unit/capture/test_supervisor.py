"""One capture after another over a network that the test plays, with a counter that knows every packet."""

from __future__ import annotations

import time
from typing import cast

import pytest

from portsentry_py.capture import supervisor as capturing
from portsentry_py.capture.supervisor import CaptureSupervisor
from portsentry_py.capture.toolchain import Tools
from portsentry_py.config.settings import Capture
from portsentry_py.errors import CaptureError, RightsLost
from portsentry_py.host.interfaces import Interface
from portsentry_py.privsep.client import LauncherClient
from tests.support.build import START_US

TOOLS = Tools("/usr/bin/tshark", "/usr/bin/dumpcap", "4.0.17")
PORT = frozenset({5060})


class Network:
    """The clock, the packets, the captures and the counter of one test."""

    def __init__(self) -> None:
        self.now = 0.0
        self.captures: list[Played] = []
        self.counter: Counter | None = None
        self.refusal: CaptureError | None = None
        self.tshark_mib = 100
        self.passed = 0

    def passes(self, count: int = 1, *, dropped: int = 0) -> None:
        """Packets pass; every capture that runs has those that it does not drop."""
        self.now += 0.001
        self.passed += count + dropped
        line = f"{START_US / 1e6 + self.now:.6f}\tx{self.passed}"
        for capture in self.captures:
            if not capture.stopped:
                capture.queue += [line] * count
                capture.drops += dropped


NETWORK = Network()


class Played:
    """A capture that has what passed while it ran, and gives it when it is read, unless it holds back."""

    last_words = "it fell over"

    def __init__(
        self,
        _tools: Tools,
        interfaces: list[Interface],
        served_udp: frozenset[int],
        _settings: Capture,
        _launcher: LauncherClient,
        *,
        decode: bool,
    ) -> None:
        if NETWORK.refusal is not None:
            raise NETWORK.refusal
        self.names = [interface.name for interface in interfaces]
        self.served_udp = served_udp
        self.decodes = decode
        self.queue: list[str] = []
        self.drops = self.dropped = 0
        self.stopped = self.killed = self.holds_back = False
        self.ended: str | None = None
        self.lag: float | None = None
        self.given: list[str] = []
        NETWORK.captures.append(self)

    @property
    def tshark_bytes(self) -> int:
        """As the test says."""
        return NETWORK.tshark_mib << 20

    def decode(self) -> None:
        """From now on it can be read."""
        assert all(one.stopped for one in NETWORK.captures if one is not self), "two tsharks at once"
        self.decodes = True

    def read(self, _timeout_seconds: float) -> list[str]:
        """What came since."""
        assert self.decodes
        return [] if self.holds_back else self._rest()

    def _rest(self) -> list[str]:
        some, self.queue = self.queue, []
        self.given += some
        return some

    def kill(self) -> None:
        """With all that it has."""
        self.killed = True
        self.queue, self.drops = [], 0

    def stop(self) -> list[str]:
        """And give the rest."""
        self.stopped, self.dropped = True, self.drops
        return self._rest()

    def hand_over(self) -> list[dict[str, str]]:
        """Whoever follows is told all that was given."""
        return cast("list[dict[str, str]]", self.given)

    def follow(self, last: list[dict[str, str]]) -> None:
        """Nothing is given twice."""
        self.queue = [line for line in self.queue if line not in cast("list[str]", last)]


class Counter:
    """A counter of the kernel's, which counts from the first `watch` on."""

    refusal: Exception | None = None

    def __init__(self, _launcher: object) -> None:
        self.counts = False
        self.watched: list[tuple[list[str], frozenset[int]]] = []
        self.filtered: list[frozenset[int]] = []
        self._before = 0
        NETWORK.counter = self

    def watch(self, names: list[str], served_udp: frozenset[int]) -> None:
        """From now on, or still."""
        if self.refusal is not None:
            self.counts = False
            raise self.refusal
        if not self.watched:
            self._before = NETWORK.passed
        self.counts = True
        self.watched.append((names, served_udp))

    def filter(self, served_udp: frozenset[int]) -> None:
        """The capture's, or none."""
        if self.refusal is not None:
            self.counts = False
            raise self.refusal
        self.filtered.append(served_udp)

    def read(self) -> int:
        """All until now."""
        assert self.counts
        return NETWORK.passed - self._before

    def close(self) -> None:
        """No more."""
        self.counts = False


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    """A network of this test's own; its clock goes on with its packets."""
    made = Network()
    monkeypatch.setitem(globals(), "NETWORK", made)
    monkeypatch.setattr(Counter, "refusal", None)
    monkeypatch.setattr(capturing, "LiveCapture", Played)
    monkeypatch.setattr(capturing, "KernelCounter", Counter)
    monkeypatch.setattr(
        capturing, "describe", lambda names: [Interface(name, ethernet=True) for name in names]
    )
    monkeypatch.setattr(time, "monotonic", lambda: made.now)
    monkeypatch.setattr(time, "time", lambda: START_US / 1e6 + made.now)
    return made


def started(served_udp: frozenset[int] = frozenset()) -> CaptureSupervisor:
    captures = CaptureSupervisor(TOOLS, cast("LauncherClient", None), Capture())
    captures.start(["eth0", "eth1"], served_udp)
    return captures


def told(captures: CaptureSupervisor) -> tuple[int, int, int, int]:
    """Given, dropped, missed and pending; together, all that was seen."""
    accounts = captures.accounts
    parts = (accounts.given, accounts.dropped, accounts.missed, accounts.pending)
    assert sum(parts) == accounts.seen
    return parts


def seconds(captures: CaptureSupervisor, network: Network, count: int, *, passing: int = 0) -> list[str]:
    """So many seconds, with so many packets in each; what came."""
    found: list[str] = []
    for _ in range(count):
        network.passes(passing)
        network.now += 1
        found += captures.read(0.25)
        captures.tick()
    return found


def test_capture_and_counter_get_what_was_asked_for(network: Network) -> None:
    captures = started(PORT)
    assert [(one.names, one.served_udp, one.decodes) for one in network.captures] == [
        (["eth0", "eth1"], PORT, True)
    ]
    assert network.counter is not None
    assert network.counter.watched == [(["eth0", "eth1"], PORT)]
    assert captures.tshark_version == TOOLS.version
    assert captures.ended is None


def test_what_passes_comes_and_is_counted(network: Network) -> None:
    network.passes(9)
    captures = started()
    network.passes(3)
    assert [line.split("\t")[1] for line in captures.read(0.25)] == ["x12"] * 3
    assert told(captures) == (3, 0, 0, 0)
    network.passes(2)
    captures.count()
    assert told(captures) == (3, 0, 0, 2)


def test_a_line_that_comes_before_the_next_look_at_the_counter_was_not_lost_before(network: Network) -> None:
    captures = started()
    network.passes(0, dropped=5)
    seconds(captures, network, 6)
    assert told(captures) == (0, 5, 0, 0)
    network.passes(2)
    captures.read(0.25)
    assert told(captures) == (2, 5, 0, 0)


def test_a_pause_after_a_burst_of_which_some_was_dropped_is_no_stall(network: Network) -> None:
    captures = started()
    network.passes(50, dropped=50)
    network.now += 0.4
    captures.read(0.25)
    for _ in range(10):
        network.now += 1
        captures.read(0.25)
        captures.tick()
        assert captures.ended is None
        assert not captures.accounts.deaf
    assert told(captures) == (50, 50, 0, 0)


@pytest.mark.parametrize("word", ["dumpcap_ended", "tshark_ended"])
def test_a_capture_that_ended_is_told_and_another_is_started(network: Network, word: str) -> None:
    captures = started()
    network.passes(2)
    captures.read(0.25)
    network.passes(1, dropped=4)
    network.captures[0].ended = word
    assert captures.ended == word
    assert captures.last_words == "it fell over"
    assert len(captures.stop()) == 1
    assert captures.stop() == []
    network.passes(7)
    captures.start(["eth0"], frozenset())
    network.passes(1)
    captures.read(0.25)
    assert told(captures) == (4, 4, 7, 0)
    assert captures.ended is None
    assert captures.renewals == 0


def test_packets_that_pass_and_do_not_come_are_a_stall(network: Network) -> None:
    captures = started()
    network.captures[0].holds_back = True
    seconds(captures, network, 3, passing=1)
    assert captures.ended is None
    seconds(captures, network, 1, passing=1)
    assert captures.ended == "stalled"
    assert captures.last_words == "packets pass and none arrives"
    assert captures.stop() == []
    assert network.captures[0].killed, "what does not answer is not waited for"
    captures.start(["eth0"], frozenset())
    assert captures.ended is None
    network.passes(1)
    captures.read(0.25)
    assert told(captures) == (1, 0, 4, 0)
    assert not captures.accounts.deaf


def test_one_that_stalls_is_not_replaced_but_ended(network: Network) -> None:
    captures = started()
    seconds(captures, network, 3)
    network.captures[0].holds_back = True
    seconds(captures, network, 3, passing=1)
    network.tshark_mib = 1000
    seconds(captures, network, 1, passing=1)
    assert captures.ended == "stalled"
    assert len(network.captures) == 1


def grown(captures: CaptureSupervisor, network: Network) -> tuple[Played, Played]:
    """Let tshark grow until a fresh capture runs beside the old one."""
    seconds(captures, network, 3, passing=1)
    network.tshark_mib = 1000
    network.now += 1
    captures.tick()
    old, fresh = network.captures
    assert not fresh.decodes
    return old, fresh


def test_a_fresh_capture_takes_over_and_no_packet_is_lost_or_given_twice(network: Network) -> None:
    captures = started()
    old, fresh = grown(captures, network)
    network.passes(2)
    found = captures.read(0.25)
    network.now += 0.5
    assert not old.stopped, "what dumpcap has not fetched yet must come"
    network.passes(3)
    network.now += 0.6
    found += captures.read(0.25)
    assert (old.stopped, fresh.decodes) == (True, True)
    network.passes(4)
    found += captures.read(0.25)
    assert len(found) == 9
    seconds(captures, network, 6)
    assert told(captures) == (12, 0, 0, 0)
    assert captures.renewals == 1


def test_losses_of_both_are_told(network: Network) -> None:
    captures = started()
    old, _ = grown(captures, network)
    old.drops += 5  # the fresh one goes on after the last that the old one gave
    network.passed += 5
    network.now += 1.1
    captures.read(0.25)
    network.passes(1, dropped=2)
    seconds(captures, network, 6)
    captures.finish()
    assert told(captures) == (4, 7, 0, 0)


def test_an_old_capture_that_is_behind_is_waited_for(network: Network) -> None:
    captures = started()
    old, _ = grown(captures, network)
    old.lag = 20.0
    seconds(captures, network, 19, passing=1)
    assert not old.stopped
    seconds(captures, network, 2, passing=1)
    assert old.stopped


def test_but_not_for_ever(network: Network) -> None:
    captures = started()
    old, _ = grown(captures, network)
    old.lag = 100.0
    seconds(captures, network, 29, passing=1)
    assert not old.stopped
    seconds(captures, network, 2, passing=1)
    assert old.stopped


def test_an_old_capture_that_ends_meanwhile_is_followed_at_once(network: Network) -> None:
    captures = started()
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
    captures = started()
    seconds(captures, network, 3, passing=1)
    network.tshark_mib, network.refusal = 1000, CaptureError("no room.")
    seconds(captures, network, 3, passing=1)
    assert "tshark has grown, and a fresh capture does not start: no room." in caplog.text
    assert captures.ended is None
    assert told(captures) == (6, 0, 0, 0)
    assert captures.renewals == 0


def test_ports_that_are_served_later_get_a_filter_of_their_own(network: Network) -> None:
    captures = started()
    seconds(captures, network, 3)
    captures.serve(PORT)
    seconds(captures, network, 1)
    assert len(network.captures) == 1, "a client's port is soon gone"
    captures.serve(PORT)
    seconds(captures, network, 1)
    assert network.captures[1].served_udp == PORT
    assert network.counter is not None
    assert network.counter.filtered == [PORT], "before the old capture ends"
    seconds(captures, network, 2)
    assert network.counter.filtered == [PORT], "once"
    seconds(captures, network, 6)
    assert told(captures) == (0, 0, 0, 0)
    network.passes(0, dropped=2)
    seconds(captures, network, 6)
    assert told(captures) == (0, 2, 0, 0)


def test_ports_that_the_operator_names_do_so_at_once(network: Network) -> None:
    captures = started()
    captures.serve(PORT, at_once=True)
    seconds(captures, network, 1)
    assert network.captures[1].served_udp == PORT


def test_a_filter_that_the_kernel_does_not_take_is_the_end_of_counting_alone(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    captures = started()
    captures.serve(PORT, at_once=True)
    seconds(captures, network, 1, passing=1)
    monkeypatch.setattr(Counter, "refusal", OSError(22, "Invalid argument"))
    seconds(captures, network, 10, passing=1)
    assert captures.ended is None
    assert captures.renewals == 1
    assert told(captures) == (11, 0, 0, 0)


@pytest.mark.parametrize("error", [PermissionError(1, "may not"), OSError(19, "No such device")])
def test_without_a_counter_dumpcap_tells_and_a_fresh_capture_asks_it(
    network: Network, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    monkeypatch.setattr(Counter, "refusal", error)
    captures = started()
    network.passes(1, dropped=5)
    seconds(captures, network, 3, passing=1)
    assert told(captures) == (4, 0, 0, 0)
    for lag in (0.1, 0.1, 0.1, 5.0, 0.1):
        network.captures[0].lag = lag
        seconds(captures, network, 1, passing=1)
    seconds(captures, network, 3, passing=1)
    assert captures.renewals == 1
    assert told(captures) == (12, 5, 0, 0)


def test_a_capture_that_was_behind_is_asked_even_where_another_counts(network: Network) -> None:
    """Packets that come without end leave no pause in which what is lost shows."""
    captures = started()
    for lag in (0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 5.0, 0.1, 0.1):
        network.captures[0].lag = lag
        seconds(captures, network, 1, passing=1)
    assert len(network.captures) == 2


def test_a_counter_that_fails_at_a_restart_leaves_what_was_told(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    captures = started()
    network.passes(1, dropped=3)
    captures.read(0.25)
    seconds(captures, network, 6)
    captures.stop()
    monkeypatch.setattr(Counter, "refusal", OSError(19, "No such device"))
    captures.start(["eth0"], frozenset())
    seconds(captures, network, 6, passing=1)
    assert told(captures) == (7, 3, 0, 0)
    monkeypatch.setattr(Counter, "refusal", None)
    captures.stop()
    captures.start(["eth0"], frozenset())
    seconds(captures, network, 6, passing=1)
    assert told(captures) == (13, 3, 0, 0)


def test_a_start_that_fails_is_told(network: Network) -> None:
    network.refusal = CaptureError("no such interface")
    captures = CaptureSupervisor(TOOLS, cast("LauncherClient", None), Capture())
    with pytest.raises(CaptureError, match="no such interface"):
        captures.start(["eth9"], frozenset())
    assert captures.stop() == []
    assert captures.finish() == []


def test_lost_rights_are_told(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Counter, "refusal", RightsLost("the launcher has ended"))
    with pytest.raises(RightsLost):
        started()
    assert network.counter is not None
    assert not network.counter.counts


def test_what_is_on_its_way_in_the_end_comes(network: Network) -> None:
    captures = started()
    network.captures[0].holds_back = True
    network.passes(3, dropped=1)
    assert captures.read(0.25) == []
    assert len(captures.finish()) == 3
    assert told(captures) == (3, 1, 0, 0)
    assert network.counter is not None
    assert not network.counter.counts
    assert network.captures[0].stopped


def test_what_dumpcap_does_not_tell_of_is_missed_in_the_end(network: Network) -> None:
    captures = started()
    network.passes(3)
    network.passed += 2
    assert len(captures.finish()) == 3
    assert told(captures) == (3, 0, 2, 0)


def test_the_end_comes_during_a_takeover(network: Network) -> None:
    captures = started()
    old, fresh = grown(captures, network)
    network.passes(2)
    assert len(captures.finish()) == 2
    assert (old.stopped, fresh.stopped) == (True, True)
    assert told(captures) == (5, 0, 0, 0)


def test_a_stall_during_a_takeover_ends_both(network: Network) -> None:
    captures = started()
    old, fresh = grown(captures, network)
    old.holds_back, old.lag = True, 100.0
    seconds(captures, network, 5, passing=1)
    assert captures.ended == "stalled"
    captures.stop()
    assert (old.killed, old.stopped, fresh.stopped) == (True, True, True)
