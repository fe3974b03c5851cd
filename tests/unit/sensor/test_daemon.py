"""The running sensor over a capture that the test plays: signals, restarts, reloads, status lines."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import cast

import pytest

from portsentry_py.capture import handover as renewal
from portsentry_py.capture import supervisor as capturing
from portsentry_py.capture.kernel_counter import KernelCounter
from portsentry_py.capture.live import LiveCapture
from portsentry_py.capture.supervisor import CaptureSupervisor
from portsentry_py.config.settings import Served, Settings, Traps
from portsentry_py.core.columns import time_of
from portsentry_py.core.flows import FlowTable
from portsentry_py.core.host_state import HostState
from portsentry_py.core.packet import Packet
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.core.sighting import Sighting
from portsentry_py.errors import CaptureError, ConfigError
from portsentry_py.events.model import Event
from portsentry_py.output.sink import Dispatcher
from portsentry_py.privsep.client import LauncherClient
from portsentry_py.sensor import daemon as serving
from portsentry_py.sensor.daemon import Daemon
from portsentry_py.sensor.systemd import SystemdNotifier
from tests.support.build import HOST, SCANNER, START_US, US, lines, refused, scans, statuses, strict, syn

Step = Callable[[], list[str]]


class Notes(Dispatcher):
    """Outputs that keep the events in memory."""

    def __init__(self) -> None:
        super().__init__([])
        self.events: list[Event] = []
        self.flushes = 0
        self.lost = 0

    @property
    def lines_lost(self) -> int:
        """As many as the test says."""
        return self.lost

    def write(self, event: Event) -> None:
        """Remember it."""
        self.events.append(event)

    def flush(self) -> None:
        """Nothing waits here."""
        self.flushes += 1

    def close(self) -> None:
        """Nothing to close."""


class Played(LiveCapture):
    """A capture whose reads are the steps of the test; SIGTERM follows the last one."""

    steps: Iterator[Step | str]
    refusals: list[CaptureError]
    started: list[tuple[Sequence[str], frozenset[int]]]
    all: list[Played]
    end_reason = "it fell over"
    ended: str | None = None
    lag: float | None = None
    dropped = tshark_bytes = 0

    def __init__(self, interfaces: Sequence[str], served_udp: frozenset[int], *, decode: bool) -> None:
        if self.refusals:
            raise self.refusals.pop()
        self.started.append((interfaces, served_udp))
        self.last: list[dict[str, str]] = []
        self.followed: list[dict[str, str]] | None = None
        self.stopped = False
        self.decodes = decode
        self.all.append(self)

    def start_tshark(self) -> None:
        """Two tsharks at once would need twice the memory."""
        assert all(one.stopped for one in self.all if one is not self)
        self.decodes = True

    def record_last_lines(self) -> list[dict[str, str]]:
        """Give what will be the last lines."""
        return self.last

    def skip_until(self, last_lines: list[dict[str, str]]) -> None:
        """Remember it."""
        self.followed = last_lines

    def wait(self, timeout_seconds: float) -> None:
        """There is something to read already."""

    def read(self) -> list[str]:
        """The next step: lines, or the word for a death."""
        assert self.decodes
        step = next(self.steps, None)
        self.lag = None
        if step is None:
            os.kill(os.getpid(), signal.SIGTERM)
            return []
        if isinstance(step, str):
            self.ended = step
            return []
        return self._given(step())

    def stop(self) -> list[str]:
        """What was still on its way, and what the kernel dropped."""
        self.dropped = 5
        self.stopped = True
        return self._given(lines(syn(SCANNER, 9999, at=2)))

    def _given(self, given: list[str]) -> list[str]:
        if given:
            self.last[:] = [{"": given[-1]}]
            self.lag = time.time() - time_of(given[-1])
        return given


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This test's machine and capture; the signal handlers of the test runner come back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    monkeypatch.setattr(serving, "host_state", lambda home, _decoys: HostState(own=US.own, home=home))
    monkeypatch.setattr(Played, "refusals", [], raising=False)
    monkeypatch.setattr(Played, "started", [], raising=False)
    monkeypatch.setattr(Played, "all", [], raising=False)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Uncounted(KernelCounter):
    """A kernel in which we may not count."""

    def watch(self, names: Sequence[str], served_udp: Iterable[int]) -> None:
        """Refuse."""
        raise PermissionError(f"cannot count on {names} without {served_udp}")


def service(settings: Settings, notes: Notes, reload: Callable[[], Settings]) -> Daemon:
    captures = CaptureSupervisor(
        Played, Uncounted(cast("LauncherClient", None)), tshark_version="4.0.17", growth_bytes=128 << 20
    )
    return Daemon(
        settings, captures, notes, manager=SystemdNotifier(), announce=lambda _names: None, reload=reload
    )


def send(*ports: int, at: float = 0) -> Step:
    return lambda: lines(syn(SCANNER, *ports, at=at))


def signalled(number: signal.Signals) -> Step:
    def step() -> list[str]:
        os.kill(os.getpid(), number)
        return []

    return step


def ran(
    *steps: Step | str, settings: Settings | None = None, reload: Callable[[], Settings] | None = None
) -> Notes:
    """Run a sensor over the steps, to its end."""
    notes = Notes()
    Played.steps = iter(steps)
    now = settings or strict(interfaces=("eth7",))
    service(now, notes, reload or (lambda: now)).run()
    return notes


def states(notes: Notes) -> list[tuple[str, str]]:
    return [(status.state, status.reason) for status in statuses(notes.events)]


def test_it_starts_says_what_it_sees_and_stops() -> None:
    notes = ran(send(1, 2), send(3, 4, at=1))
    assert states(notes) == [("started", "none"), ("stopped", "signal")]
    assert [scan.verdict for scan in scans(notes.events)] == ["ban"]


def test_what_is_on_its_way_when_it_stops_is_still_said() -> None:
    notes = ran(send(1, 2, 3))
    assert [scan.dest_port for scan in scans(notes.events)] == [9999]
    assert statuses(notes.events)[-1].packets == 4
    assert statuses(notes.events)[-1].packets_dropped == 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it(number: signal.Signals) -> None:
    assert states(ran(signalled(number), send(1)))[-1] == ("stopped", "signal")


def test_the_capture_gets_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    host = HostState(own=US.own, listening_udp=frozenset({53}))
    monkeypatch.setattr(serving, "host_state", lambda _home, _decoys: host)
    ran()
    ((interfaces, served_udp),) = Played.started
    assert interfaces == ["eth7"]
    assert served_udp == {53}


def test_without_interfaces_all_that_are_up_are_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "default_interfaces", lambda: ["eth0", "eth1"])
    ran(settings=strict())
    monkeypatch.setattr(serving, "default_interfaces", list)
    ran(settings=strict())
    assert [interfaces for interfaces, _ in Played.started] == [
        ["eth0", "eth1"],
        ["any"],
    ]


@pytest.mark.parametrize("reason", ["dumpcap_ended", "tshark_ended"])
def test_a_dead_child_is_told_and_the_capture_restarted(
    reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    notes = ran(send(1, 2), reason, send(3, at=1))
    assert states(notes) == [
        ("started", "none"),
        ("interrupted", reason),
        ("restarted", reason),
        ("stopped", "signal"),
    ]
    assert statuses(notes.events)[-1].restarts == 1
    assert statuses(notes.events)[-1].packets_dropped == 10
    assert "it fell over" in caplog.text
    assert len(scans(notes.events)) == 1, "what was known before the restart still counts"


def test_a_restart_is_tried_until_it_works(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serving, "_FIRST_PAUSE_SECONDS", 0.01)

    def refuse() -> list[str]:
        Played.refusals = [CaptureError("no interface"), CaptureError("no interface")]
        return []

    notes = ran(refuse, "dumpcap_ended", send(1))
    assert ("restarted", "dumpcap_ended") in states(notes)
    assert caplog.text.count("no interface") == 2


def test_a_signal_ends_the_waiting_for_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> list[str]:
        Played.refusals = [CaptureError("no interface")] * 1000
        return []

    sleeps: list[float] = []

    def sleep(seconds: float) -> None:
        sleeps.append(seconds)
        if len(sleeps) > 3:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(time, "sleep", sleep)
    notes = ran(refuse, "dumpcap_ended")
    assert states(notes)[-1] == ("stopped", "signal")
    assert statuses(notes.events)[-1].packets_dropped == 5, "one capture has ended, once"


def test_a_capture_that_cannot_start_is_an_error() -> None:
    Played.refusals = [CaptureError("no such interface")]
    with pytest.raises(CaptureError, match="no such interface"):
        ran()


def test_a_reload_takes_the_configuration_as_it_is_now() -> None:
    ignoring = strict(interfaces=("eth7",), ignore=(ip_network(f"{SCANNER}/32"),))
    notes = ran(send(1, 2), signalled(signal.SIGHUP), send(3, 4, at=1), reload=lambda: ignoring)
    assert ("reloaded", "signal") in states(notes)
    assert [scan.verdict for scan in scans(notes.events)] == ["ignore"]


def test_a_reload_of_a_broken_configuration_keeps_the_old_one(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Settings:
        raise ConfigError("file:1: unknown key")

    notes = ran(send(1, 2), signalled(signal.SIGHUP), send(3, 4, at=1), reload=broken)
    assert "the old configuration stays in force: file:1: unknown key" in caplog.text
    assert [scan.verdict for scan in scans(notes.events)] == ["ban"]
    assert not any(state == "reloaded" for state, _ in states(notes))


def test_a_reload_says_what_only_a_restart_changes(caplog: pytest.LogCaptureFixture) -> None:
    ran(signalled(signal.SIGHUP), send(1), reload=lambda: strict(interfaces=("eth8",)))
    assert "interfaces: a reload does not change these" in caplog.text


def test_sinks_that_lose_lines_are_told() -> None:
    class Losing(Notes):
        def write(self, event: Event) -> None:
            super().write(event)
            self.lost += 1

    notes = Losing()
    Played.steps = iter([])
    now = strict(interfaces=("eth7",))
    service(now, notes, lambda: now).run()
    assert statuses(notes.events)[-1].lines_lost >= 1


def test_time_goes_on_without_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quiet minute is told by the clock: the end of a scan, the waiting lines, the status."""
    clock = [1000.0]

    def pass_time() -> list[str]:
        clock[0] += 100
        return []

    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    notes = ran(send(1, 2, 3, 4), pass_time, pass_time)
    assert [scan.state for scan in scans(notes.events)][:2] == ["new", "ended"]
    assert notes.flushes
    assert states(notes).count(("running", "none")) == 1


def test_addresses_of_ours_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = [HostState(), HostState(own=frozenset({HOST}))]
    monkeypatch.setattr(
        serving, "host_state", lambda _home, _decoys: hosts.pop(0) if len(hosts) > 1 else hosts[0]
    )
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])

    def pass_time() -> list[str]:
        clock[0] += 30
        return []

    notes = ran(pass_time, send(1, 2, 3, 4))
    assert len(scans(notes.events)) >= 1


def test_a_packet_that_is_too_much_is_counted_and_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    observe = FlowTable.observe

    def fails(self: FlowTable, packet: Packet) -> Iterator[Sighting]:
        if packet.dest_port in {6, 7}:
            raise ZeroDivisionError
        return observe(self, packet)

    monkeypatch.setattr(FlowTable, "observe", fails)
    notes = ran(send(1, 2, 6, 7, 3, 4))
    last = statuses(notes.events)[-1]
    assert (last.packets, last.packets_malformed, last.packets_decoded) == (7, 2, 5)
    assert [scan.ports for scan in scans(notes.events)][-1] >= 4, "the others of the same read are looked at"
    assert caplog.text.count("please report this") == 1


def test_a_clock_that_is_too_much_does_not_end_the_sensor(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_engine: Pipeline, _now: int) -> Iterator[Event]:
        yield from ()
        raise OverflowError

    monkeypatch.setattr(serving, "_TICK_SECONDS", 0.0)
    started = ran(send(1))
    monkeypatch.setattr(Pipeline, "advance", fails)
    notes = ran(list, list)
    assert states(notes)[-1] == states(started)[-1]
    assert statuses(notes.events)[-1].packets_malformed == 1, "a packet that came, and no tick"
    assert "please report this" in caplog.text


def test_a_host_that_cannot_be_read_for_once_is_read_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def vanish(_home: object, _decoys: object) -> HostState:
        raise FileNotFoundError(2, "/proc/1/net/tcp")

    def break_it() -> list[str]:
        monkeypatch.setattr(serving, "host_state", vanish)
        return []

    notes = ran(break_it, signalled(signal.SIGHUP), send(1, 2, 3, 4))
    assert len(scans(notes.events)) >= 1


@pytest.mark.parametrize(("good", "bad", "warned"), [(0, 101, True), (0, 100, False), (102, 101, False)])
def test_a_sensor_that_understands_little_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, good: int, bad: int, warned: bool
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])

    def minute() -> list[str]:
        clock[0] += 100
        return [*(["1.0\tx\t\ty\t6" + "\t" * 7] * bad), *lines(syn(SCANNER, *[22] * good))]

    ran(minute, minute, minute)
    assert ("could not be understood" in caplog.text) is warned


def test_open_decoys_are_told_to_the_core_and_closed_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[frozenset[int]] = []
    closed: list[bool] = []

    class Listening:
        def __init__(self, ports: frozenset[int], banner: str) -> None:
            assert banner == "hello"
            self.ports = ports

        def poll(self) -> None:
            """Nobody comes."""

        def close(self) -> None:
            closed.append(True)

    def host(home: object, decoys: frozenset[int]) -> HostState:
        assert home == ()
        seen.append(decoys)
        return HostState(own=US.own, open_traps=decoys)

    monkeypatch.setattr(serving, "TrapListener", Listening)
    monkeypatch.setattr(serving, "host_state", host)
    ran(settings=strict(interfaces=("eth7",), traps=Traps(tcp=frozenset({23}), listen=True, banner="hello")))
    assert seen[0] == {23}
    assert closed == [True]


def test_what_was_known_before_a_restart_still_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Played, "stop", lambda _self: [])
    settings = strict(interfaces=("eth7",), state=str(tmp_path / "state"))
    now = (time.time_ns() // 1000 - START_US) / 1_000_000
    assert not scans(ran(with_answers(1, 2, at=now), settings=settings).events)
    notes = ran(with_answers(3, 4, at=now + 1), settings=settings)
    assert [(scan.ports, scan.verdict) for scan in scans(notes.events)] == [(4, "ban")]


def with_answers(*ports: int, at: float) -> Step:
    return lambda: lines(refused(syn(SCANNER, *ports, at=at)))


def test_another_place_for_the_state_is_taken_at_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ran(
        signalled(signal.SIGHUP),
        send(1),
        reload=lambda: strict(interfaces=("eth7",), state=str(tmp_path / "x")),
    )
    assert "state: a reload does not change these" in caplog.text
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for a reason at each read, and let a fresh capture take over at once."""
    for module, name in (
        *((serving, name) for name in ("_TICK_SECONDS", "_HOST_SECONDS")),
        (capturing, "_OVERLAP_SECONDS"),
        *((renewal, name) for name in ("_SETTLED_SECONDS", "_OVERLAP_SECONDS")),
    ):
        monkeypatch.setattr(module, name, 0.0)


def grown(monkeypatch: pytest.MonkeyPatch, *sizes_mib: int) -> None:
    """Let tshark have these sizes, one at each tick, and then the last."""
    sizes = iter(sizes_mib)
    size = property(lambda _self: next(sizes, sizes_mib[-1]) << 20)
    monkeypatch.setattr(Played, "tshark_bytes", size)


@pytest.mark.usefixtures("impatient")
def test_a_tshark_that_has_grown_is_replaced_without_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    grown(monkeypatch, 100, 200, 229, 100)
    notes = ran(send(1), send(2), send(3, at=1), send(4, at=3))
    old, fresh = Played.all
    assert fresh.followed == [{"": lines(syn(SCANNER, 9999, at=2))[-1]}]
    assert old.dropped == 5
    last = statuses(notes.events)[-1]
    assert (last.renewals, last.restarts, last.packets_dropped) == (1, 0, 10)
    assert [status.state for status in statuses(notes.events)] == ["started", "stopped"]


@pytest.mark.usefixtures("impatient")
def test_a_tshark_that_cannot_be_replaced_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    grown(monkeypatch, 100, 300)

    def refuse(step: Step) -> Step:
        def taken() -> list[str]:
            Played.refusals.append(CaptureError("no room for another."))
            return step()

        return taken

    notes = ran(send(1), refuse(send(2)), send(3, at=1))
    assert len(Played.all) == 1
    assert "tshark has grown, and a fresh capture does not start: no room for another." in caplog.text
    assert statuses(notes.events)[-1].renewals == 0


@pytest.mark.usefixtures("impatient")
def test_a_udp_service_that_starts_later_is_left_to_a_fresh_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = [HostState(), *[HostState(listening_udp=frozenset({5060}))] * 2]
    monkeypatch.setattr(
        serving, "host_state", lambda _home, _decoys: hosts.pop(0) if len(hosts) > 1 else hosts[0]
    )
    notes = ran(send(1), send(2), send(3), send(4), send(5))
    assert [served_udp for _, served_udp in Played.started] == [frozenset(), {5060}]
    assert statuses(notes.events)[-1].renewals == 1


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("served", "renewals"), [(Served(udp=frozenset({5060})), 1), (Served(tcp=frozenset({80})), 0)]
)
def test_udp_ports_that_a_reload_names_are_left_to_a_fresh_filter(served: Served, renewals: int) -> None:
    named = strict(interfaces=("eth7",), served=served)
    notes = ran(send(1), signalled(signal.SIGHUP), send(2), send(3), reload=lambda: named)
    assert ("reloaded", "signal") in states(notes)
    assert [served_udp for _, served_udp in Played.started] == [frozenset(), *[served.udp] * renewals]


@pytest.mark.usefixtures("impatient")
def test_what_was_dropped_is_told_once_the_sensor_has_caught_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "time", lambda: START_US / 1e6 + now[0])

    def at(wall: float, port: int, sent: float) -> Step:
        def step() -> list[str]:
            now[0] = wall
            return send(port, at=sent)()

        return step

    late, in_time = at(60, 1, sent=57), at(61, 2, sent=60.5)
    notes = ran(late, in_time, at(62, 3, sent=61.5), signalled(signal.SIGHUP), send(4, at=62))
    reloaded = next(status for status in statuses(notes.events) if status.state == "reloaded")
    assert (reloaded.packets_dropped, reloaded.renewals) == (5, 1)
    assert len(Played.all) == 2


@pytest.mark.usefixtures("impatient")
def test_a_capture_that_is_behind_is_not_ended_before_it_has_caught_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    grown(monkeypatch, 100, 300)
    monkeypatch.setattr(time, "time", lambda: START_US / 1e6 + 10)
    seen: list[bool] = []

    def late(at: float) -> Step:
        def step() -> list[str]:
            seen.append(Played.all[0].stopped)
            return send(7, at=at)()

        return step

    ran(send(1), send(2), late(1), late(5), late(10.5), late(11))
    assert seen == [False, False, False, True]


@pytest.mark.usefixtures("impatient")
def test_a_signal_ends_a_handover_and_nothing_that_was_captured_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    grown(monkeypatch, 100, 300)
    monkeypatch.setattr(capturing, "_OVERLAP_SECONDS", 2.0)
    notes = ran(send(1), send(2), signalled(signal.SIGTERM), send(3))
    old, fresh = Played.all
    assert (old.stopped, fresh.stopped) == (True, True)
    assert fresh.followed == [{"": lines(syn(SCANNER, 9999, at=2))[-1]}]
    last = statuses(notes.events)[-1]
    assert (last.state, last.packets, last.packets_dropped) == ("stopped", 4, 10)


@pytest.mark.usefixtures("impatient")
def test_the_status_is_told_however_often_a_fresh_capture_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    grown(monkeypatch, *range(100, 100_000, 200))
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])

    def pass_time() -> list[str]:
        clock[0] += 10
        return send(1)()

    notes = ran(*[pass_time] * 30)
    assert statuses(notes.events)[-1].renewals > 5
    assert states(notes).count(("running", "none")) >= 3
