"""The running sensor: capture → engine → sinks, until a signal says stop."""

import contextlib
import logging
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import FrameType

from portsentry_py.capture.supervisor import CaptureSupervisor
from portsentry_py.config.settings import RESTART_KEYS, Settings
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.errors import CaptureError, PortsentryError, RightsLost
from portsentry_py.events.model import Event
from portsentry_py.host.host_state import host_state
from portsentry_py.host.interfaces import default_interfaces, links_up, own_addresses
from portsentry_py.host.trap_listener import TrapListener
from portsentry_py.output.sink import Dispatcher
from portsentry_py.sensor.status_reporter import status_event
from portsentry_py.sensor.systemd import SystemdNotifier
from portsentry_py.state.checkpoint import Checkpoint

_diagnostics = logging.getLogger(__name__)

_READ_SECONDS = 0.25  # how soon a dead child or a signal is noticed
_TICK_SECONDS = 1.0
_HOST_SECONDS = 10.0
_STATUS_SECONDS = 60.0
_NEWS_SECONDS = 10.0
# Packets reach us up to half a second after the clock that ticks here; a tick must not overtake them.
_TICK_LAG_US = 3_000_000
_MANY_PACKETS = 100
_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 30.0
_STABLE_SECONDS = 60.0


class Daemon:
    """Runs until SIGTERM or SIGINT.

    Args:
        settings: the configuration.
        captures: where packets come from.
        outputs: every event goes there.
        manager: is told how we are.
        announce: called with the interfaces once the capture runs.
        reload: reads the configuration again, at SIGHUP.
    """

    def __init__(
        self,
        settings: Settings,
        captures: CaptureSupervisor,
        outputs: Dispatcher,
        *,
        manager: SystemdNotifier,
        announce: Callable[[list[str]], None],
        reload: Callable[[], Settings],
    ) -> None:
        self._settings = settings
        self._outputs = outputs
        self._announce = announce
        self._listener = TrapListener(
            settings.traps.tcp if settings.traps.listen else (), settings.traps.banner
        )
        self._host = host_state(settings.home, self._listener.ports)
        self._engine = Pipeline(settings, self._host)
        self._checkpoint = Checkpoint(self._engine, settings.state)
        self._read_settings = reload
        self._stop = False
        self._hang_up = False
        self._restarts = self._faults = 0
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._started = 0.0
        self._watched: frozenset[str] = frozenset()
        self._captures = captures
        self._manager = manager
        self._told: dict[str, int] = {}
        self._tick_is_due = _Every(_TICK_SECONDS)
        self._host_is_due = _Every(_HOST_SECONDS)
        self._status_is_due = _Every(_STATUS_SECONDS)
        self._news_are_due = _Every(_NEWS_SECONDS)
        self._told_lost = self._told_self_tests = 0

    def run(self) -> None:
        """Capture until a signal comes.

        Raises:
            PortsentryError: the capture cannot start.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_hang_up)
        self._start()
        self._manager.is_ready()
        try:
            self._checkpoint.restore(_now_us())  # what comes meanwhile waits in the capture
            self._status("started", "none")
            while not self._stop:
                self._watch()
        finally:
            self._manager.is_stopping()
            self._listener.close()
            self._publish_lines(self._captures.finish())
        self._checkpoint.close()  # before what is not answered yet counts as unanswered
        for event in self._engine.finish():
            self._outputs.write(event)
        self._status("stopped", "signal")

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stop = True

    def _on_hang_up(self, _number: int, _frame: FrameType | None) -> None:
        self._hang_up = True

    def _reload(self) -> None:
        """Take the configuration as it is now, or keep the old one and say why. No packet is lost."""
        self._hang_up = False
        try:
            settings = self._read_settings()
        except PortsentryError as error:
            _diagnostics.error("the old configuration stays in force: %s", error)
            return
        kept = {name: getattr(self._settings, name) for name in RESTART_KEYS}
        changed = [name for name in RESTART_KEYS if getattr(settings, name) != kept[name]]
        if changed:
            _diagnostics.warning(
                "%s: a reload does not change these; restart the sensor.", ", ".join(changed)
            )
        named_anew = settings.served.udp != self._settings.served.udp
        self._settings = replace(settings, **kept)
        self._engine.set_settings(self._settings)
        self._refresh_host()
        if named_anew:
            self._captures.set_served_udp(self._served_udp, at_once=True)
        self._status("reloaded", "signal")

    def _start(self) -> None:
        try:
            names = list(self._settings.interfaces) or default_interfaces() or ["any"]
        except OSError as error:
            raise CaptureError(f"cannot see the interfaces: {error.strerror}; raise the limit.") from error
        self._captures.start(names, self._served_udp)
        self._announce(names)
        self._watched = frozenset(names)
        self._started = time.monotonic()

    @property
    def _served_udp(self) -> frozenset[int]:
        return self._host.listening_udp | self._settings.served.udp

    def _watch(self) -> None:
        """Read once and do what is due."""
        self._publish_lines(self._captures.read(_READ_SECONDS))
        self._listener.poll()
        ended = self._captures.ended
        if ended is not None:
            self._restart(ended)
            return
        if self._hang_up:
            self._manager.is_reloading()
            self._reload()
            self._manager.is_ready()
        if self._tick_is_due():
            self._tick()
            self._note_addresses()
            self._captures.tick()
            if not self._captures.loss.stalled:
                self._manager.is_well()
        if self._host_is_due():
            self._refresh_host()
            self._captures.set_served_udp(self._served_udp)
            if self._unwatched():
                self._restart("interfaces_changed")
        if self._status_is_due():
            self._status_if_changed()
        elif self._news_are_due():
            self._tell_news()
        self._checkpoint.step()

    def _note_addresses(self) -> None:
        """Not after ten seconds: what is sent to an address that is not known to be ours is not looked at."""
        with contextlib.suppress(OSError):  # no descriptors left, say
            if own_addresses() != self._host.own:
                self._refresh_host()

    def _unwatched(self) -> frozenset[str]:
        """Interfaces that came up after the start, where all that are up shall be watched."""
        if self._settings.interfaces or "any" in self._watched:
            return frozenset()
        with contextlib.suppress(OSError):
            return frozenset(default_interfaces()) - self._watched
        return frozenset()

    def _restart(self, reason: str) -> None:
        """The capture must be another: say so, then try until it runs again or a signal comes."""
        why = ", ".join(sorted(self._unwatched())) or self._captures.end_reason
        _diagnostics.error("%s (%s); restarting the capture.", reason.replace("_", " "), why)
        self._publish_lines(self._captures.stop())
        self._status("interrupted", reason)
        if time.monotonic() - self._started > _STABLE_SECONDS:
            self._pause_seconds = _FIRST_PAUSE_SECONDS
        while not self._stop:
            self._sleep(self._pause_seconds)
            # Longer each time until a capture has run for a while: what ends at once must not spin.
            self._pause_seconds = min(2 * self._pause_seconds, _LONGEST_PAUSE_SECONDS)
            self._refresh_host()
            try:
                self._start()
            except RightsLost:
                raise
            except PortsentryError as error:
                _diagnostics.error("%s", error)
                continue
            self._restarts += 1
            self._status("restarted", reason)
            return

    def _sleep(self, seconds: float) -> None:
        """Pause, but not when an interface comes or goes: that may be what the capture waits for."""
        deadline, links = time.monotonic() + seconds, links_up()
        while not self._stop and time.monotonic() < deadline and links_up() == links:
            time.sleep(min(_READ_SECONDS, seconds))
            self._tick()

    def _tick(self) -> None:
        for event in self._told_of_faults(self._engine.advance(_now_us() - _TICK_LAG_US)):
            self._outputs.write(event)
        self._outputs.flush()

    def _refresh_host(self) -> None:
        # psutil reads /proc while it changes; the next refresh will see what this one missed.
        with contextlib.suppress(OSError):
            self._host = host_state(self._settings.home, self._listener.ports)
            self._engine.set_host(self._host)

    def _publish_lines(self, lines: list[str]) -> None:
        while lines:
            taken, faults = self._engine.packets, self._faults
            for event in self._told_of_faults(self._engine.feed(lines)):
                self._outputs.write(event)
            self._engine.faults += self._faults - faults
            # All, unless one of them was too much.
            lines = lines[max(1, self._engine.packets - taken) :]

    def _told_of_faults(self, events: Iterator[Event]) -> Iterator[Event]:
        """The last line of defence: whoever finds a packet that we do not survive must not have us blind."""
        try:
            yield from events
        except Exception:  # noqa: BLE001 - whatever it is
            self._faults += 1
            if self._faults == 1:
                _diagnostics.exception("a packet was too much; please report this. The sensor goes on.")

    def _status_if_changed(self) -> None:
        counts = {
            **self._engine.counts(),
            "dropped": self._captures.loss.dropped,
            "missed": self._captures.loss.missed,
            "restarts": self._restarts,
            "renewals": self._captures.handovers,
            "lost": self._outputs.lines_lost,
        }
        if counts != self._told:
            self._warn_if_blind(counts)
            self._told = counts
            self._status("running", "none")

    def _tell_news(self) -> None:
        """What nobody should have to wait a minute for: that something was lost, that a test packet came."""
        accounts, tests = self._captures.loss, self._engine.self_tests
        lost = accounts.dropped + accounts.missed + self._outputs.lines_lost
        if lost != self._told_lost:
            self._told_lost = lost
            self._status("running", "none")
        if tests != self._told_self_tests:
            self._told_self_tests = tests
            self._status("running", "self_test")

    def _warn_if_blind(self, counts: dict[str, int]) -> None:
        """A tshark whose columns look different would leave us running and blind: say so."""
        seen, malformed = (
            counts[name] - self._told.get(name, 0) for name in ("packets", "packets_malformed")
        )
        if malformed > _MANY_PACKETS and 2 * malformed > seen:
            _diagnostics.error(
                "%d of %d packets of the last minute could not be understood: is tshark %s supported? "
                "Please report it with the output of `tshark -v`.",
                malformed,
                seen,
                self._captures.tshark_version,
            )

    def _status(self, state: str, reason: str) -> None:
        self._captures.read_counter()
        self._outputs.write(
            status_event(
                self._engine,
                _now_us(),
                state,
                reason,
                accounts=self._captures.loss,
                restarts=self._restarts,
                renewals=self._captures.handovers,
                lost=self._outputs.lines_lost,
            )
        )


class _Every:
    """Says when so many seconds have passed since it said so last."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._last = seconds, time.monotonic()

    def __call__(self) -> bool:
        now = time.monotonic()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return True


def _now_us() -> int:
    return time.time_ns() // 1000
