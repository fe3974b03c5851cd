"""The running sensor over a capture that the test plays: signals, restarts, reloads, and its end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from portsentry_py.capture.bpf import FilterHost
from portsentry_py.config.settings import Served, Settings
from portsentry_py.core.host_state import HostState
from portsentry_py.core.packet import Packet
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.core.protocols import Protocols
from portsentry_py.core.sighting import Sighting
from portsentry_py.errors import CaptureError, ConfigError, OutputEnded, RightsLost
from portsentry_py.events.model import Event
from portsentry_py.host.interfaces import OTHERS
from portsentry_py.sensor.daemon import Daemon
from portsentry_py.state.checkpoint import Checkpoint
from tests.support.build import HOST, SCANNER, US, lines, refused, scans, statuses, strict, syn
from tests.support.sensor_parts import KeptEvents, KeptNotices, MovedClock, PlayedCaptures, PlayedHost, QuietTraps, Step


class Sensor:
    """A sensor with the parts of a test, which the steps can change."""

    def __init__(self, **settings: object) -> None:
        self.settings = strict(**{"interfaces": ("eth7",), **settings})
        self.clock = MovedClock()
        self.captures = PlayedCaptures()
        self.outputs = KeptEvents()
        self.host = PlayedHost()
        self.traps = QuietTraps()
        self.notifier = KeptNotices()
        self.reload: Callable[[], Settings] = lambda: self.settings
        self.announced: list[list[str]] = []

    def run(self, *steps: Step) -> Sensor:
        self.captures.steps = iter(steps)
        pipeline = Pipeline(self.settings, self.host.state)
        Daemon(
            self.settings,
            pipeline,
            self.captures,
            self.outputs,
            host=self.host,
            traps=self.traps,
            checkpoint=Checkpoint(pipeline, self.settings.state),
            notifier=self.notifier,
            announce=self.announced.append,
            reload=self.reload,
            clock=self.clock,
        ).run()
        return self

    @property
    def states(self) -> list[tuple[str, str]]:
        return [(status.state, status.reason) for status in statuses(self.outputs.events)]

    @property
    def verdicts(self) -> list[str]:
        return [scan.verdict for scan in scans(self.outputs.events)]

    def refuse(self, times: int) -> Step:
        """A step after which the next starts fail."""
        return do(lambda: self.captures.refusals.extend([CaptureError("no interface")] * times))

    def after(self, seconds: float) -> Step:
        """A step in which time passes and nothing comes."""

        def pass_time() -> list[str]:
            self.clock.passed += seconds
            return []

        return pass_time


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Restore the signal handlers of the test runner."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(*ports: int, at: float = 0) -> Step:
    return lambda: lines(syn(SCANNER, *ports, at=at))


def signalled(number: signal.Signals) -> Step:
    def step() -> list[str]:
        os.kill(os.getpid(), number)
        return []

    return step


def do(*actions: Callable[[], object]) -> Step:
    """A step in which something happens and nothing comes."""

    def step() -> list[str]:
        for action in actions:
            action()
        return []

    return step


def test_it_starts_logs_events_and_stops() -> None:
    sensor = Sensor().run(send(1, 2), send(3, 4, at=1))
    assert sensor.states == [("started", "none"), ("stopped", "signal")]
    assert sensor.verdicts == ["ban"]
    assert sensor.announced == [["eth7"]]
    assert sensor.notifier.notices == ["READY", "STOPPING"]
    assert sensor.traps.is_closed


def test_packets_that_are_on_their_way_at_the_end_are_logged() -> None:
    sensor = Sensor()
    sensor.captures.last_lines = lines(syn(SCANNER, 9999, at=2))
    sensor.run(send(1, 2, 3))
    assert [scan.dest_port for scan in scans(sensor.outputs.events)] == [9999]
    assert statuses(sensor.outputs.events)[-1].packets == 4


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it(number: signal.Signals) -> None:
    sensor = Sensor().run(signalled(number), send(1))
    assert sensor.states[-1] == ("stopped", "signal")
    assert statuses(sensor.outputs.events)[-1].packets == 0


def test_the_capture_gets_the_configured_interfaces_and_the_served_ports() -> None:
    sensor = Sensor(served=Served(tcp=frozenset({8080}), udp=frozenset({123})))
    sensor.host = PlayedHost(
        HostState(own=US.own, listening_tcp=frozenset({22, 80}), listening_udp=frozenset({53, 68}))
    )
    sensor.run()
    host = FilterHost(US.own, frozenset({53, 68, 123}), served_tcp=frozenset({22, 80, 8080}))
    assert sensor.captures.started == [(["eth7"], host)]


@pytest.mark.parametrize(("connections", "wanted"), [("unserved", False), ("off", False), ("all", True)])
def test_first_segments_of_visitors_are_wanted_where_each_has_a_line(connections: str, wanted: bool) -> None:
    sensor = Sensor(connections=connections)
    sensor.run()
    ((_, host),) = sensor.captures.started
    assert host.wants_visits is wanted


def test_an_open_trap_is_no_served_port_of_the_filter() -> None:
    sensor = Sensor(served=Served(tcp=frozenset({23, 8080})))
    sensor.host = PlayedHost(HostState(own=US.own, open_traps=frozenset({23})))
    sensor.run()
    ((_, host),) = sensor.captures.started
    assert host.served_tcp == {8080}


def test_without_interfaces_the_host_chooses_and_the_filter_knows_what_is_heard_twice() -> None:
    sensor = Sensor(interfaces=())
    sensor.host.names = ["eth0", OTHERS]
    sensor.host.twice = frozenset({1, 2})
    sensor.run(sensor.after(10))
    ((names, host),) = sensor.captures.started
    assert (names, host.twice) == (["eth0", OTHERS], frozenset({1, 2}))
    assert sensor.captures.hosts == [(host, False)]


def test_interfaces_that_cannot_be_seen_are_an_error() -> None:
    sensor = Sensor(interfaces=())
    sensor.host.names = None
    with pytest.raises(CaptureError, match="cannot see the interfaces"):
        sensor.run()


def test_a_capture_that_cannot_start_is_an_error() -> None:
    sensor = Sensor()
    sensor.captures.refusals = [CaptureError("no such interface")]
    with pytest.raises(CaptureError, match="no such interface"):
        sensor.run()
    assert sensor.outputs.events == []


@pytest.mark.parametrize("reason", ["dumpcap_ended", "tshark_ended", "stalled"])
def test_a_capture_that_ends_is_reported_and_started_again(reason: Step, caplog: pytest.LogCaptureFixture) -> None:
    sensor = Sensor().run(send(1, 2), reason, send(3, 4, at=1))
    assert sensor.states == [("started", "none"), ("interrupted", reason), ("restarted", reason), ("stopped", "signal")]
    assert statuses(sensor.outputs.events)[-1].restarts == 1
    assert "it fell over" in caplog.text
    assert sensor.verdicts == ["ban"], "what was known before the restart still counts"


def test_a_restart_is_tried_at_longer_and_longer_intervals_until_it_works(caplog: pytest.LogCaptureFixture) -> None:
    sensor = Sensor()
    sensor.run(sensor.refuse(10), "dumpcap_ended")
    assert ("restarted", "dumpcap_ended") in sensor.states
    assert caplog.text.count("no interface") == 10
    assert sensor.clock.passed == sum([0.25, 0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30])
    assert max(sensor.clock.waits) == 0.25, "a signal is noticed soon"
    assert sensor.outputs.flushes >= len(sensor.clock.waits), "time goes on meanwhile"


@pytest.mark.parametrize(("stable_seconds", "pause"), [(6, 0.25), (4, 0.5)])
def test_a_capture_that_ran_for_five_seconds_is_started_again_at_once(stable_seconds: float, pause: float) -> None:
    sensor = Sensor()
    sensor.run("tshark_ended", sensor.after(stable_seconds), "tshark_ended")
    assert sensor.clock.passed == 0.25 + stable_seconds + pause


def test_an_interface_that_comes_or_goes_ends_the_wait() -> None:
    """It may be the one that the capture waits for."""
    sensor = Sensor()
    sensor.host.links = [frozenset(), *[frozenset({str(number)}) for number in range(100)]]
    sensor.run(sensor.refuse(5), "dumpcap_ended")
    assert ("restarted", "dumpcap_ended") in sensor.states
    assert sensor.clock.passed == 0, "each look at the links sees others"


def test_a_signal_ends_the_wait() -> None:
    sensor = Sensor()
    sensor.clock.on_wait = lambda: os.kill(os.getpid(), signal.SIGTERM) if sensor.clock.passed > 1 else None
    sensor.run(sensor.refuse(1000), "dumpcap_ended")
    assert sensor.states == [("started", "none"), ("interrupted", "dumpcap_ended"), ("stopped", "signal")]
    assert sensor.clock.passed == 1.25


def test_a_reload_applies_the_configuration_as_it_is_now() -> None:
    sensor = Sensor()
    sensor.reload = lambda: replace(sensor.settings, ignore=(ip_network(f"{SCANNER}/32"),))
    sensor.run(send(1, 2), signalled(signal.SIGHUP), send(3, 4, at=1))
    assert ("reloaded", "signal") in sensor.states
    assert sensor.verdicts == ["ignore"]
    assert sensor.notifier.notices == ["READY", "RELOADING", "READY", "STOPPING"]


def test_a_scan_by_this_host_is_reported_with_who_sends_it(caplog: pytest.LogCaptureFixture) -> None:
    sensor = Sensor()
    outward = [packet for nth in range(60) for packet in syn(HOST, 80, dst=f"198.51.100.{nth + 1}", at=nth / 10)]
    sensor.run(lambda: lines(refused(syn(SCANNER, *range(20, 40)))), lambda: lines(outward))
    assert caplog.text.count("this host scans others (39 hosts, last 198.51.100.") == 1
    assert "port 80/tcp); it comes from somebody." in caplog.text


def test_a_reload_of_a_broken_configuration_keeps_the_old_one(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Settings:
        raise ConfigError("file:1: unknown key")

    sensor = Sensor()
    sensor.reload = broken
    sensor.run(send(1, 2), signalled(signal.SIGHUP), send(3, 4, at=1))
    assert "the old configuration stays in force: file:1: unknown key" in caplog.text
    assert sensor.verdicts == ["ban"]
    assert ("reloaded", "signal") not in sensor.states


def test_a_reload_names_the_changes_that_need_a_restart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sensor = Sensor()
    sensor.reload = lambda: replace(sensor.settings, interfaces=("eth8",), state=str(tmp_path / "x"))
    sensor.run(signalled(signal.SIGHUP))
    assert "interfaces, state: a reload does not change these; restart the sensor." in caplog.text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "calls"),
    [
        ({"served": Served(udp=frozenset({5060}))}, [(FilterHost(US.own, frozenset({5060})), True)]),
        ({"served": Served(tcp=frozenset({80}))}, []),
        ({"connections": "off"}, []),
        ({"connections": "all"}, [(FilterHost(US.own, wants_visits=True), True)]),
    ],
)
def test_what_a_reload_leaves_to_the_kernel_or_wants_from_it_is_so_at_once(
    changes: dict[str, object], calls: list[tuple[FilterHost, bool]]
) -> None:
    sensor = Sensor()
    sensor.reload = lambda: replace(sensor.settings, **changes)  # type: ignore[arg-type] # fields of any type
    sensor.run(signalled(signal.SIGHUP))
    assert sensor.captures.hosts == calls


def test_the_host_is_read_again_every_ten_seconds() -> None:
    sensor = Sensor()
    serving = HostState(own=US.own, listening_udp=frozenset({5060}))
    sensor.run(sensor.after(9), do(lambda: setattr(sensor.host, "now", serving)), sensor.after(1))
    assert sensor.captures.hosts == [(FilterHost(US.own, frozenset({5060})), False)]


def test_a_new_address_is_known_within_a_second() -> None:
    sensor = Sensor()
    sensor.host = PlayedHost(HostState())
    sensor.run(
        do(lambda: setattr(sensor.host, "now", HostState(own=frozenset({HOST})))), sensor.after(1), send(1, 2, 3, 4)
    )
    assert sensor.verdicts == ["ban"]


def test_whom_the_operator_allows_is_banned_no_more_within_a_second() -> None:
    sensor = Sensor()
    allowed = replace(US, allowed=(ip_network(SCANNER),))
    sensor.run(do(lambda: setattr(sensor.host, "now", allowed)), sensor.after(1), send(1, 2, 3, 4))
    assert sensor.verdicts == ["ignore"]


def test_a_host_that_cannot_be_read_stays_as_it_was() -> None:
    sensor = Sensor()
    sensor.run(
        do(lambda: setattr(sensor.host, "now", None)), signalled(signal.SIGHUP), sensor.after(10), send(1, 2, 3, 4)
    )
    assert sensor.verdicts == ["ban"]


def test_time_goes_on_without_packets() -> None:
    """A scan ends and a status line comes although nothing arrives."""
    sensor = Sensor()
    sensor.run(send(1, 2, 3, 4), sensor.after(100), sensor.after(100))
    assert [scan.state for scan in scans(sensor.outputs.events)] == ["new", "ended"]
    assert sensor.outputs.flushes == 2
    assert sensor.states.count(("running", "none")) == 1


@pytest.mark.parametrize("stalled", [False, True])
def test_the_watchdog_hears_of_a_sensor_that_receives_packets(stalled: bool) -> None:
    sensor = Sensor()
    sensor.captures.loss.stalled = stalled
    sensor.run(sensor.after(1))
    assert ("WATCHDOG" in sensor.notifier.notices) is not stalled


def test_a_packet_that_crashes_the_core_is_counted_and_reported_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    observe = Protocols.observe

    def fails(self: Protocols, packet: Packet) -> Sequence[Sighting]:
        if packet.dest_port in {6, 7}:
            raise ZeroDivisionError
        return observe(self, packet)

    monkeypatch.setattr(Protocols, "observe", fails)
    sensor = Sensor().run(send(1, 2, 6, 7, 3, 4))
    last = statuses(sensor.outputs.events)[-1]
    assert (last.packets, last.packets_malformed, last.packets_decoded) == (6, 2, 4)
    assert [scan.ports for scan in scans(sensor.outputs.events)] == [4], "the others of the same read count"
    assert caplog.text.count("please report this") == 1


def test_a_tick_that_crashes_the_core_does_not_end_the_sensor(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_pipeline: Pipeline, _now_us: int) -> Iterator[Event]:
        yield from ()
        raise OverflowError

    monkeypatch.setattr(Pipeline, "advance", fails)
    sensor = Sensor()
    sensor.run(sensor.after(1), sensor.after(1))
    assert sensor.states[-1] == ("stopped", "signal")
    assert statuses(sensor.outputs.events)[-1].packets_malformed == 0, "no packet was lost"
    assert "please report this" in caplog.text


def with_answers(*ports: int, at: float = 0) -> Step:
    return lambda: lines(refused(syn(SCANNER, *ports, at=at)))


def lose_rights(sensor: Sensor) -> None:
    sensor.captures.refusals = [RightsLost("the launcher has ended")]


def lose_reader(sensor: Sensor) -> None:
    sensor.outputs.error = OutputEnded("nobody reads")


def crash(_sensor: Sensor) -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("happen", "error"),
    [(None, None), (lose_rights, RightsLost), (lose_reader, OutputEnded), (crash, ZeroDivisionError)],
)
@pytest.mark.parametrize("finish_error", [None, OSError("the capture does not end")])
def test_what_was_learned_is_saved_whatever_ends_the_sensor(
    tmp_path: Path,
    happen: Callable[[Sensor], None] | None,
    error: type[Exception] | None,
    finish_error: Exception | None,
) -> None:
    first, second = (Sensor(state=str(tmp_path / "state")) for _ in range(2))
    first.captures.finish_error = finish_error
    end: list[Step] = [do(lambda: happen(first)), "tshark_ended"] if happen else []
    expected = error or (type(finish_error) if finish_error else None)
    with pytest.raises(expected) if expected else nullcontext():
        first.run(with_answers(1, 2), *end)
    assert not scans(first.outputs.events)
    second.run(with_answers(3, 4, at=1))
    assert [(scan.ports, scan.verdict) for scan in scans(second.outputs.events)] == [(4, "ban")]
