"""The drill: scans as a stranger, looks for line, ban and block, unbans, and removes all that it made."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from portsentry_py.checks.drill import record, wire
from portsentry_py.checks.drill.addresses import Sources, routed, targets
from portsentry_py.checks.drill.bans import SourceBans
from portsentry_py.checks.drill.found import Found
from portsentry_py.checks.drill.holding import BanTrial, wait
from portsentry_py.checks.drill.interruption import ended_by_signals, not_interrupted
from portsentry_py.checks.drill.lines import DrillLines
from portsentry_py.checks.drill.responder import responding
from portsentry_py.checks.drill.row import Row
from portsentry_py.checks.drill.sensor_view import view_sensor
from portsentry_py.checks.drill.techniques import Technique, closed_ports, trap_touches
from portsentry_py.checks.forwarded import forwarded_ports, kernel_rules
from portsentry_py.config.settings import Settings
from portsentry_py.errors import Fail2banError, PermissionDenied
from portsentry_py.fail2ban.ban_test import rules_about
from portsentry_py.fail2ban.client import Fail2banClient, NotInstalled
from portsentry_py.host.interfaces import DRILL_LINK, own_addresses
from portsentry_py.host.sockets import read_sockets

_LINE_SECONDS = 10.0
# A line that bans can follow one that watches.
_SECOND_LINE_SECONDS = 3.0
_BAN_SECONDS = 15.0
# fail2ban looks once a second; a line of the last moment becomes a ban this much later at most.
_SETTLE_SECONDS, _LATE_SECONDS = 1.0, 5.0

Say = Callable[[str], None]


def drill(
    settings: Settings, techniques: Sequence[Technique], client: Fail2banClient, *, armed: bool, say: Say
) -> Found:
    """Carry the drill out.

    Args:
        settings: the configuration of the sensor.
        techniques: what is tried.
        client: fail2ban.
        armed: whether bans are looked at, and not the log alone.
        say: told of each step.

    Raises:
        PortsentryError: the drill cannot begin. What it made is removed.
    """
    with record.recording() as kept:
        left = kept.left
        _clear(kept, client, _LATE_SECONDS)
        return _Drill(settings, techniques, client, kept, left, armed=armed, say=say).run()


def clean(client: Fail2banClient) -> bool:
    """Remove what a killed drill left; whether there was anything.

    Raises:
        PortsentryError: it cannot be removed, or a drill runs.
    """
    with record.recording() as kept:
        found = bool(kept.left) or wire.remains()
        _clear(kept, client, _LINE_SECONDS + _LATE_SECONDS)
        return found


def _clear(kept: record.Record, client: Fail2banClient, seconds: float) -> None:
    """Remove what is left; for so long, the packets of a killed drill can still bring a line and a ban."""
    wire.clear()
    deadline = time.monotonic() + (seconds if kept.left else 0)
    with suppress(NotInstalled):  # nothing bans
        SourceBans(client, kept.left).lift_until(lambda: time.monotonic() > deadline)
    kept.forget()


class _Drill:
    """One run; each step writes into the rows."""

    def __init__(
        self,
        settings: Settings,
        techniques: Sequence[Technique],
        client: Fail2banClient,
        kept: record.Record,
        left: Sequence[str],
        *,
        armed: bool,
        say: Say,
    ) -> None:
        self._settings = settings
        self._kept = kept
        self._say = say
        self._targets = {one.version: one for one in targets()}
        self._sockets = read_sockets(frozenset())
        sources = Sources(routed(own_addresses()))
        self._controls = {version: sources.one(version) for version in self._targets}
        rows = [self._row(technique, sources) for technique in techniques]
        self._found = Found(rows, armed, view_sensor(), tuple(self._targets.values()))
        self._addresses = [*self._controls.values(), *(row.source for row in self._found.tried)]
        # The bans of a killed drill that come late go at the end of this one.
        self._sources = [*self._addresses, *left]
        self._bans = SourceBans(client, self._sources)

    def _row(self, technique: Technique, sources: Sources) -> Row:
        target = self._targets.get(technique.version)
        if target is None:
            return Row(technique, "", "", f"this host has no IPv{technique.version} address")
        row = Row(technique, sources.one(technique.version), target.address)
        if technique.is_trap and not trap_touches(self._settings, self._sockets.tcp):
            row.why_not = "no TCP trap is configured"
        return row

    def run(self) -> Found:
        """Scan, look, and clean up.

        Raises:
            PortsentryError: a step is impossible.
        """
        if not self._found.sensor.pids or not self._found.tried:
            return self._found
        lines = DrillLines(Path(self._settings.log), self._found.tried)
        with ended_by_signals():
            self._kept.write(self._sources)
            try:
                with wire.stranger() as stranger:
                    self._scan(stranger, lines)
            finally:
                with not_interrupted():
                    self._clean(lines)
                    lines.close()
        return self._found

    def _scan(self, stranger: wire.Stranger, lines: DrillLines) -> None:
        found = self._found
        found.arrived = wire.lay(stranger.pid, self._addresses, found.targets, arrive=not found.sensor.watches_all)
        if found.arrived:
            for row in found.tried:
                if row.technique.needs_answers:
                    row.why_not = "the sensor knows it by answers, which do not pass the interface that it watches"
        self._probe(stranger)
        self._wait_for_lines_and_bans(lines)
        found.strange = lines.strange
        banned = [row for row in found.tried if row.jail]
        if banned:
            with responding(found.targets) as ports:
                at = {version: target.address for version, target in self._targets.items()}
                self._try_bans(BanTrial(stranger, self._controls, at, ports), banned)

    def _probe(self, stranger: wire.Stranger) -> None:
        closed = closed_ports(self._settings, self._sockets.tcp | self._sockets.udp)
        touches = trap_touches(self._settings, self._sockets.tcp)
        for row in self._found.tried:
            self._say(f"scans with {row.technique.name} as {row.source}")
            row.begun = time.monotonic()
            method = row.technique.method
            for port in touches if row.technique.is_trap else ():
                stranger.probe(method, row.source, row.target, [port])
            if not row.technique.is_trap:
                stranger.probe(method, row.source, row.target, closed)

    def _wait_for_lines_and_bans(self, lines: DrillLines) -> None:
        self._say("waits for the lines in the log" + (" and the bans of fail2ban" if self._found.armed else ""))

        def are_there() -> bool:
            lines.poll()
            wanted = [row for row in self._found.tried if row.verdict == "ban" and not row.jail]
            if wanted and self._asks_fail2ban:
                self._note_bans(wanted)
            now = time.monotonic()
            return not any(self._is_awaited(row, now) for row in self._found.tried)

        wait(are_there, _LINE_SECONDS + _BAN_SECONDS)

    @property
    def _asks_fail2ban(self) -> bool:
        return self._found.armed and not self._found.fail2ban

    def _is_awaited(self, row: Row, now: float) -> bool:
        """Whether the next thing about the technique can still come."""
        if row.line_seconds is None:
            return now - row.begun < _LINE_SECONDS
        waited = now - row.begun - row.line_seconds
        if row.verdict != "ban":
            return waited < _SECOND_LINE_SECONDS
        return self._asks_fail2ban and not row.jail and waited < _BAN_SECONDS

    def _note_bans(self, wanted: Sequence[Row]) -> None:
        try:
            for row, entry in self._bans.by_row(wanted):
                if not row.jail:
                    row.jail, row.ban_seconds = entry.jail, round(time.monotonic() - row.begun, 2)
        except (Fail2banError, PermissionDenied) as error:
            self._found.fail2ban = str(error)

    def _try_bans(self, trial: BanTrial, banned: Sequence[Row]) -> None:
        self._say("tries whether the bans hold")
        trial.choose(self._sockets.tcp)
        self._found.reached = trial.reached
        trial.block(banned)
        listed = (port for word in forwarded_ports(kernel_rules()) for port in word.split(","))
        trial.forwarded(banned, {int(port) for port in listed if port.strip().isdigit()})
        answered = next((row.network for row in banned if row.tcp is False or row.udp is False), None)
        if answered is not None:
            name = answered.network_address if answered.num_addresses == 1 else answered
            with suppress(NotInstalled):  # the hint names what is missing
                self._found.rules = tuple(rule for rule in rules_about(str(name)) if DRILL_LINK not in rule)
        self._say("lifts the bans, and tries whether the stranger is let back in")
        try:
            self._bans.lift()
            held = {row.source for row, _ in self._bans.by_row(banned)}
        except (Fail2banError, PermissionDenied) as error:
            self._found.fail2ban = str(error)
            return
        for row in banned:
            row.unbanned = row.source not in held
        trial.let_in(banned)

    def _clean(self, lines: DrillLines) -> None:
        """Lift every ban of our addresses, those that come late too. The stranger is gone, so no line follows them."""
        self._say("removes what it made")
        wire.clear()
        seen, last = lines.bans, time.monotonic()
        lags = [row.ban_seconds - row.line_seconds for row in self._found.tried if row.ban_seconds and row.line_seconds]
        settle = _SETTLE_SECONDS + max(lags, default=_LATE_SECONDS if lines.bans else 0)

        def is_over() -> bool:
            nonlocal seen, last
            lines.poll()
            now = time.monotonic()
            if lines.bans > seen:
                seen, last = lines.bans, now
            return now > last + settle and not (can_come and any(_comes_late(row, now) for row in self._not_lifted()))

        can_come = False
        try:
            can_come = self._bans.can_come()
            self._bans.lift_until(is_over)
        except (Fail2banError, PermissionDenied) as error:
            self._found.fail2ban = self._found.fail2ban or str(error)
            if any(row.jail for row in self._found.tried):
                self._found.left = tuple(map(str, self._bans.networks))
                return
        self._kept.forget()
        # A jail that is off now bans by these lines when it is switched on; the next drill lifts that.
        pending = [row.source for row in self._not_lifted() if row.verdict == "ban"]
        if pending and (can_come or self._found.armed):
            self._kept.write(pending)

    def _not_lifted(self) -> Iterator[Row]:
        return (row for row in self._found.tried if not self._bans.was_lifted(row))


def _comes_late(row: Row, now: float) -> bool:
    """Whether a ban can still come: its line, after a drill that was interrupted, or the ban of a line."""
    if row.line_seconds is None:
        return bool(row.begun) and now < row.begun + _LINE_SECONDS
    return row.verdict == "ban" and now < row.begun + row.line_seconds + _BAN_SECONDS + _LATE_SECONDS
