"""The running sensor: capture → pipeline → outputs, until a signal stops it."""

import contextlib
import logging
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import FrameType

from portsentry_py.capture.bpf import FilterHost
from portsentry_py.capture.supervisor import CaptureSupervisor
from portsentry_py.config.settings import RESTART_KEYS, Settings
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.errors import CaptureError, PortsentryError, RightsLost
from portsentry_py.events.model import Event, EvidenceEvent, SensorReason
from portsentry_py.host.trap_listener import TrapListener
from portsentry_py.output.sink import Dispatcher
from portsentry_py.sensor.clock import Clock, Interval
from portsentry_py.sensor.host_view import HostView
from portsentry_py.sensor.status_reporter import StatusReporter
from portsentry_py.sensor.systemd import SystemdNotifier
from portsentry_py.state.checkpoint import Checkpoint

_diagnostics = logging.getLogger(__name__)

_READ_SECONDS = 0.25  # how soon a dead child or a signal is noticed
_TICK_SECONDS = 1.0
_HOST_SECONDS = 10.0
# Packets arrive up to half a second later than the clock that ticks here; a tick must not overtake them.
_TICK_LAG_US = 3_000_000
_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 30.0
_STABLE_SECONDS = 5.0


class Daemon:
    """Runs until SIGTERM or SIGINT; SIGHUP reloads the configuration.

    Args:
        settings: the configuration.
        pipeline: the core.
        captures: the source of packets.
        outputs: every event goes there.
        host: this host, as the core knows it.
        traps: the TCP traps that are open.
        checkpoint: restores what an earlier run learned, and saves it.
        notifier: the service manager.
        announce: called with the interfaces when the capture runs.
        reload: reads the configuration again.
        clock: the time.
    """

    def __init__(
        self,
        settings: Settings,
        pipeline: Pipeline,
        captures: CaptureSupervisor,
        outputs: Dispatcher,
        *,
        host: HostView,
        traps: TrapListener,
        checkpoint: Checkpoint,
        notifier: SystemdNotifier,
        announce: Callable[[list[str]], None],
        reload: Callable[[], Settings],
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self._captures = captures
        self._outputs = outputs
        self._host = host
        self._traps = traps
        self._checkpoint = checkpoint
        self._notifier = notifier
        self._announce = announce
        self._read_settings = reload
        self._clock = clock
        self._status = StatusReporter(pipeline, captures, outputs, clock)
        self._tick_interval = Interval(clock, _TICK_SECONDS)
        self._host_interval = Interval(clock, _HOST_SECONDS)
        self._stops = self._reloads = False
        self._faults = 0
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._started = 0.0
        self._watched: list[str] = []

    def run(self) -> None:
        """Capture until a signal comes.

        Raises:
            PortsentryError: the capture cannot start, has lost its rights, or nobody reads the event log.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_hang_up)
        self._start_capture()
        self._notifier.ready()
        self._checkpoint.restore(self._clock.now_us())  # packets wait in the capture meanwhile
        with contextlib.ExitStack() as ending:
            # Whatever ends the loop, what was learned in days is saved, before `finish` settles what waits.
            ending.callback(self._checkpoint.close)
            ending.push(self._drain)
            self._status.report("started", "none")
            while not self._stops:
                self._step()
        for event in self._pipeline.finish():
            self._outputs.write(event)
        self._status.report("stopped", "signal")

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stops = True

    def _on_hang_up(self, _number: int, _frame: FrameType | None) -> None:
        self._reloads = True

    def _drain(self, failure: type[BaseException] | None, *_: object) -> None:
        """End the capture and take its last lines. The first failure is the one to report."""
        with contextlib.suppress(Exception) if failure else contextlib.nullcontext():
            self._notifier.stopping()
            self._traps.close()
            self._feed(self._captures.finish())

    def _step(self) -> None:
        """Read once, and do what is due."""
        self._feed(self._captures.read(_READ_SECONDS))
        self._traps.poll(self._on_accepted)
        ended = self._captures.ended
        if ended is not None:
            self._restart(ended)
            return
        if self._reloads:
            self._notifier.reloading()
            self._reload()
            self._notifier.ready()
        if self._tick_interval.is_over():
            self._tick()
            # Within a second: packets to an address that is not known as ours are ignored, and whom the operator lets
            # back in must not be banned again.
            if self._host.has_changed():
                self._refresh_host()
            self._captures.tick()
            if not self._captures.loss.stalled:
                self._notifier.watchdog()
        if self._host_interval.is_over():
            self._refresh_host()
            self._captures.set_host(self._filter_host(self._watched))
        self._status.tick()
        self._checkpoint.step()

    def _on_accepted(self, visitor: str, port: int, trap: str, trap_port: int) -> None:
        self._publish(self._pipeline.accepted(visitor, port, trap, trap_port, self._clock.now_us()))

    def _tick(self) -> None:
        self._publish(self._pipeline.advance(self._clock.now_us() - _TICK_LAG_US))
        self._outputs.flush()

    def _feed(self, lines: list[str]) -> None:
        while lines:
            packets, faults = self._pipeline.packets, self._faults
            self._publish(self._pipeline.feed(lines))
            self._pipeline.count_faults(self._faults - faults)
            # All of them, unless the pipeline failed at one.
            lines = lines[max(1, self._pipeline.packets - packets) :]

    def _publish(self, events: Iterator[Event]) -> None:
        for event in self._survive(events):
            self._outputs.write(event)
            if isinstance(event, EvidenceEvent) and event.direction == "outbound" and event.state != "ended":
                self._name_senders(event)

    def _name_senders(self, line: EvidenceEvent) -> None:
        """A scan by this host is the first sign of a server that was broken into: say which process it is."""
        what = f"{line.hosts} hosts, last {line.dest_ip} port {line.dest_port}/{line.proto}"
        _diagnostics.warning("this host scans others (%s); it comes from %s.", what, self._host.senders(line))

    def _survive(self, events: Iterator[Event]) -> Iterator[Event]:
        """Last resort: a packet that crashes the core must not stop the sensor."""
        try:
            yield from events
        except Exception:  # noqa: BLE001 - whatever it is
            self._faults += 1
            if self._faults == 1:
                _diagnostics.exception("a packet crashed the core; please report this. The sensor goes on.")

    def _reload(self) -> None:
        """Apply the configuration as it is now, or keep the old one and say why. No packet is lost."""
        self._reloads = False
        try:
            settings = self._read_settings()
        except PortsentryError as error:
            _diagnostics.error("the old configuration stays in force: %s", error)
            return
        kept = {name: getattr(self._settings, name) for name in RESTART_KEYS}
        changed = [name for name in RESTART_KEYS if getattr(settings, name) != kept[name]]
        if changed:
            _diagnostics.warning("%s: a reload does not change these; restart the sensor.", ", ".join(changed))
        before = self._settings
        self._settings = replace(settings, **kept)
        self._pipeline.set_settings(self._settings)
        self._refresh_host()
        if _in_filter(self._settings) != _in_filter(before):
            self._captures.set_host(self._filter_host(self._watched), at_once=True)
        self._status.report("reloaded", "signal")

    def _refresh_host(self) -> None:
        if self._host.refresh(self._settings.home):
            self._pipeline.set_host(self._host.state)

    def _filter_host(self, watched: Sequence[str]) -> FilterHost:
        state = self._host.state
        served = self._settings.served
        return FilterHost(
            state.own,
            state.listening_udp | served.udp,
            self._host.home_elsewhere(state.home),
            self._host.heard_twice(watched),
            (state.listening_tcp | served.tcp) - state.open_traps,
            wants_visits=_wants_visits(self._settings),
        )

    def _start_capture(self) -> None:
        try:
            names = list(self._settings.interfaces) or self._host.interfaces()
        except OSError as error:
            raise CaptureError(f"cannot see the interfaces: {error.strerror}; raise the limit.") from error
        self._captures.start(names, self._filter_host(names))
        self._announce(names)
        self._watched = names
        self._started = self._clock.monotonic()

    def _restart(self, reason: SensorReason) -> None:
        """Start the capture again, and try until it runs or a signal comes."""
        why = self._captures.end_reason
        _diagnostics.error("%s (%s); restarting the capture.", reason.replace("_", " "), why)
        self._feed(self._captures.stop())
        self._status.report("interrupted", reason)
        if self._clock.monotonic() - self._started > _STABLE_SECONDS:
            self._pause_seconds = _FIRST_PAUSE_SECONDS
        while not self._stops:
            self._wait(self._pause_seconds)
            # Longer each time, until a capture has run for a while: one that ends at once must not spin.
            self._pause_seconds = min(2 * self._pause_seconds, _LONGEST_PAUSE_SECONDS)
            self._refresh_host()
            try:
                self._start_capture()
            except RightsLost:
                raise
            except PortsentryError as error:
                _diagnostics.error("%s", error)
                continue
            self._status.report("restarted", reason)
            return

    def _wait(self, seconds: float) -> None:
        """Wait until a signal or an interface comes, or one goes, but no longer than this."""
        deadline, links = self._clock.monotonic() + seconds, self._host.links_up()
        while not self._stops and self._clock.monotonic() < deadline and self._host.links_up() == links:
            self._clock.sleep(min(_READ_SECONDS, seconds))
            self._tick()


def _wants_visits(settings: Settings) -> bool:
    """Whether there is a line for each visit, about its first segment."""
    return settings.connections == "all"


def _in_filter(settings: Settings) -> object:
    """The settings that the capture's filter uses, but for TCP ports that are served: these may be known later."""
    return settings.served.udp, _wants_visits(settings)
