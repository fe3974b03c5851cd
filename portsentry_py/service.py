"""The running sensor: capture → engine → sinks, until a signal says stop."""

import contextlib
import logging
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from types import FrameType
from typing import Any

from portsentry_py.capture import LiveCapture, Tools
from portsentry_py.engine import Engine
from portsentry_py.errors import PortsentryError
from portsentry_py.events import Event
from portsentry_py.listener import TrapListener
from portsentry_py.machine import default_interfaces, describe, host_state, memory_of
from portsentry_py.memory import Memory
from portsentry_py.renewal import Renewals
from portsentry_py.settings import Settings
from portsentry_py.sinks import Sink
from portsentry_py.status import status_event

_diagnostics = logging.getLogger(__name__)

_READ_SECONDS = 0.25  # how soon a dead child or a signal is noticed
_TICK_SECONDS = 1.0
_HOST_SECONDS = 10.0
_STATUS_SECONDS = 60.0
_OVERLAP_SECONDS = 1.0  # four times dumpcap's read timer
_LONGEST_OVERLAP_SECONDS = 30.0
# Packets reach us up to half a second after the clock that ticks here; a tick must not overtake them.
_TICK_LAG_US = 3_000_000
_MANY_PACKETS = 100
_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 30.0
_STABLE_SECONDS = 60.0
_MIB = 1 << 20


class Service:
    """Runs until SIGTERM or SIGINT.

    Args:
        settings: the configuration.
        tools: tshark and dumpcap.
        sinks: the event log first, then others; each gets every event.
        announce: called with the interfaces once the capture runs.
        reload: reads the configuration again, at SIGHUP.
    """

    def __init__(
        self,
        settings: Settings,
        tools: Tools,
        sinks: Iterable[Sink],
        announce: Callable[[list[str]], None],
        reload: Callable[[], Settings],
    ) -> None:
        self._settings = settings
        self._tools = tools
        self._sinks = tuple(sinks)
        self._announce = announce
        self._listener = TrapListener(
            settings.traps.tcp if settings.traps.listen else (), settings.traps.banner
        )
        self._host = host_state(settings.home, self._listener.ports)
        self._engine = Engine(settings, self._host)
        self._memory = Memory(self._engine, settings.state)
        self._read_settings = reload
        self._stop = False
        self._hang_up = False
        self._restarts = 0
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._started = 0.0
        self._watched: frozenset[str] = frozenset()
        self._dropped = 0
        self._renewals = Renewals(settings.capture.tshark_growth_mib * _MIB)
        self._renewed = 0
        self._told: dict[str, int] = {}
        self._tick_is_due = _Every(_TICK_SECONDS)
        self._host_is_due = _Every(_HOST_SECONDS)
        self._status_is_due = _Every(_STATUS_SECONDS)

    def run(self) -> None:
        """Capture until a signal comes.

        Raises:
            PortsentryError: the capture cannot start.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_hang_up)
        capture: LiveCapture | None = self._start()
        try:
            self._memory.recall(_now_us())  # what comes meanwhile waits in the capture
            self._status("started", "none")
            while capture is not None and not self._stop:
                capture = self._watch(capture)
        finally:
            self._listener.close()
            if capture is not None:
                self._end(capture)
        self._memory.close()  # before what is not answered yet counts as unanswered
        for event in self._engine.finish():
            self._publish(event)
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
        if replace(settings, **_fixed(self._settings)) != settings:
            _diagnostics.warning(
                "interfaces, log, state, capture, limits and lines change only at a restart."
            )
        if settings.served.udp != self._settings.served.udp:
            self._renewals.named_anew()
        self._settings = replace(settings, **_fixed(self._settings))
        self._engine.set_settings(self._settings)
        self._refresh_host()
        self._status("reloaded", "signal")

    def _renew(self, capture: LiveCapture, reason: str) -> LiveCapture:
        """Let a fresh capture take over: it runs before the old one stops, so no packet is missed."""
        try:
            fresh = self._start(takes_over=True)
        except PortsentryError as error:
            _diagnostics.error("%s, and a fresh capture does not start: %s", reason, error)
            return capture
        # What dumpcap has not fetched from the kernel when it is told to end is lost: the old one goes on
        # until it has given what came before the fresh one's beginning. Only then is there another tshark.
        begun, last = time.monotonic(), capture.hand_over()
        while not self._stop and capture.ended is None:
            self._read(capture)
            if self._tick_is_due():
                self._tick()
            overlap = time.monotonic() - begun
            behind = (capture.lag or 0.0) > overlap
            if overlap >= (_LONGEST_OVERLAP_SECONDS if behind else _OVERLAP_SECONDS):
                break
        self._end(capture)
        fresh.decode()
        fresh.follow(last)
        self._renewals.decodes(time.monotonic())
        self._renewed += 1
        return fresh

    def _end(self, capture: LiveCapture) -> None:
        """Stop a capture: what was on its way is still said, and what the kernel dropped is known now."""
        self._publish_lines(capture.stop())
        self._dropped += capture.dropped

    def _start(self, *, takes_over: bool = False) -> LiveCapture:
        names = list(self._settings.interfaces) or default_interfaces() or ["any"]
        served_udp = self._host.listening_udp | self._settings.served.udp
        capture = LiveCapture(
            self._tools, describe(names), served_udp, self._settings.capture, decode=not takes_over
        )
        if not takes_over:
            self._announce(names)
        self._watched = frozenset(names)
        self._started = time.monotonic()
        self._renewals.begin(self._started, served_udp)
        return capture

    def _watch(self, capture: LiveCapture) -> LiveCapture | None:
        """Read once and do what is due; returns the capture that runs on, None if a signal came first."""
        self._read(capture)
        now = time.monotonic()
        self._renewals.read(now, capture.lag)
        ended = capture.ended
        if ended is not None:
            return self._restart(capture, ended)
        if self._hang_up:
            self._reload()
        if self._tick_is_due():
            self._tick()
            reason = self._renewals.due(now, sum(map(memory_of, capture.tshark_pids)))
            if reason is not None:
                return self._renew(capture, reason)
        if self._host_is_due():
            self._refresh_host()
            self._renewals.listening(self._host.listening_udp)
            if self._unwatched():
                return self._restart(capture, "interfaces_changed")
        if self._status_is_due():
            self._status_if_changed()
        self._memory.tick()
        return capture

    def _read(self, capture: LiveCapture) -> None:
        """Take what comes from the wire and to the open decoys."""
        self._publish_lines(capture.read(_READ_SECONDS))
        self._listener.poll()

    def _unwatched(self) -> frozenset[str]:
        """Interfaces that came up after the start, where all that are up shall be watched."""
        if self._settings.interfaces or "any" in self._watched:
            return frozenset()
        return frozenset(default_interfaces()) - self._watched

    def _restart(self, capture: LiveCapture, reason: str) -> LiveCapture | None:
        """The capture must be another: say so, then try until it runs again or a signal comes."""
        why = ", ".join(sorted(self._unwatched())) or capture.last_words
        _diagnostics.error("%s (%s); restarting the capture.", reason.replace("_", " "), why)
        self._end(capture)
        self._status("interrupted", reason)
        if time.monotonic() - self._started > _STABLE_SECONDS:
            self._pause_seconds = _FIRST_PAUSE_SECONDS
        while not self._stop:
            self._sleep(self._pause_seconds)
            # Longer each time until a capture has run for a while: what ends at once must not spin.
            self._pause_seconds = min(2 * self._pause_seconds, _LONGEST_PAUSE_SECONDS)
            try:
                again = self._start()
            except PortsentryError as error:
                _diagnostics.error("%s", error)
                continue
            self._restarts += 1
            self._status("restarted", reason)
            return again
        return None

    def _sleep(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._stop and time.monotonic() < deadline:
            time.sleep(min(_READ_SECONDS, seconds))
            self._tick()

    def _tick(self) -> None:
        for event in self._engine.advance(_now_us() - _TICK_LAG_US):
            self._publish(event)
        for sink in self._sinks:
            sink.flush()

    def _refresh_host(self) -> None:
        # psutil reads /proc while it changes; the next refresh will see what this one missed.
        with contextlib.suppress(OSError):
            self._host = host_state(self._settings.home, self._listener.ports)
            self._engine.set_host(self._host)

    def _publish_lines(self, lines: list[str]) -> None:
        for event in self._engine.feed(lines):
            self._publish(event)

    def _publish(self, event: Event) -> None:
        for sink in self._sinks:
            sink.write(event)

    def _status_if_changed(self) -> None:
        counts = {
            **self._engine.counts(),
            "restarts": self._restarts,
            "renewals": self._renewed,
            "lost": self._lost,
        }
        if counts != self._told:
            self._warn_if_blind(counts)
            self._told = counts
            self._status("running", "none")

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
                self._tools.version,
            )

    @property
    def _lost(self) -> int:
        """Lines that the log could not take; a terminal's do not matter."""
        return self._sinks[0].lost

    def _status(self, state: str, reason: str) -> None:
        self._publish(
            status_event(
                self._engine,
                _now_us(),
                state,
                reason,
                dropped=self._dropped,
                restarts=self._restarts,
                renewals=self._renewed,
                lost=self._lost,
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


def _fixed(settings: Settings) -> dict[str, Any]:
    """What only a restart changes."""
    return {
        name: getattr(settings, name) for name in ("interfaces", "log", "state", "capture", "limits", "lines")
    }


def _now_us() -> int:
    return time.time_ns() // 1000
