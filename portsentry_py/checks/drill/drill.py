"""The drill: scans as a stranger, looks for line, ban and block, unbans, and removes all that it made."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

from portsentry_py.checks.drill import record, wire
from portsentry_py.checks.drill.addresses import Sources, Target, routed, targets
from portsentry_py.checks.drill.lines import DrillLines
from portsentry_py.checks.drill.responder import Ports, responding
from portsentry_py.checks.drill.row import Row
from portsentry_py.checks.drill.sensor_view import SensorView, view_sensor
from portsentry_py.checks.drill.techniques import Technique, closed_ports, trap_touches
from portsentry_py.checks.forwarded import forwarded_ports, kernel_rules
from portsentry_py.config.settings import Network, Settings
from portsentry_py.errors import Fail2banError, PermissionDenied
from portsentry_py.fail2ban.ban_test import rules_about
from portsentry_py.fail2ban.client import Fail2banClient
from portsentry_py.fail2ban.unban import JailEntry, bans_of, lift
from portsentry_py.host.interfaces import own_addresses
from portsentry_py.host.sockets import Sockets, read_sockets

_PAUSE_SECONDS = 0.2
_LINE_SECONDS = 10.0
# A line that bans can follow one that watches.
_SECOND_LINE_SECONDS = 3.0
_BAN_SECONDS = 15.0
_REACH_SECONDS = 1.5
# fail2ban looks once a second; a line of the last moment becomes a ban this much later at most.
_SETTLE_SECONDS, _LATE_SECONDS, _LONGEST_SETTLE_SECONDS = 1.0, 5.0, 20.0
_MOST_FORWARDED = 16

Say = Callable[[str], None]


@dataclass(slots=True)
class Found:
    """What the drill found.

    Attributes:
        sensor: the sensor that runs here.
        targets: what was scanned.
        arrived: whether packets arrived as those of other strangers do.
        fail2ban: why fail2ban was not asked; empty if it was.
        reached: the transports over which an unbanned stranger got an answer, by IP version.
        rules: the kernel's rules about a banned source that was not blocked.
        strange: whether another program writes about the sources into the log.
        left: what could not be removed.
    """

    rows: list[Row]
    armed: bool
    sensor: SensorView = field(default_factory=SensorView)
    targets: tuple[Target, ...] = ()
    arrived: bool = False
    fail2ban: str = ""
    reached: set[tuple[int, str]] = field(default_factory=set)
    rules: tuple[str, ...] = ()
    strange: bool = False
    left: tuple[str, ...] = ()


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
        _clear(kept, client)
        return _Drill(settings, techniques, client, kept, armed=armed, say=say).run()


def clean(client: Fail2banClient) -> bool:
    """Remove what a killed drill left; whether there was anything.

    Raises:
        PortsentryError: it cannot be removed, or a drill runs.
    """
    with record.recording() as kept:
        found = bool(kept.left) or wire.remains()
        _clear(kept, client)
        return found


def _clear(kept: record.Record, client: Fail2banClient) -> None:
    wire.clear()
    networks = _networks(kept.left)
    # A line that the killed drill caused can become a ban once more.
    deadline = time.monotonic() + (_LATE_SECONDS if networks else 0)
    while networks:
        lift(client, bans_of(client, networks))
        if time.monotonic() > deadline:
            break
        time.sleep(_PAUSE_SECONDS)
    kept.forget()


def _networks(addresses: Sequence[str]) -> list[Network]:
    return [ip_network(f"{one}/64" if ":" in one else one, strict=False) for one in addresses]


class _Drill:
    """One run; each step writes into the rows."""

    def __init__(
        self,
        settings: Settings,
        techniques: Sequence[Technique],
        client: Fail2banClient,
        kept: record.Record,
        *,
        armed: bool,
        say: Say,
    ) -> None:
        self._settings = settings
        self._client = client
        self._kept = kept
        self._say = say
        self._sensor = view_sensor()
        self._targets = {one.version: one for one in targets()}
        sources = Sources(routed(own_addresses()))
        self._controls = {version: sources.one(version) for version in self._targets}
        sockets = read_sockets(frozenset())
        self._served = sockets.tcp
        self._rows = [self._row(technique, sources, sockets) for technique in techniques]
        self._found = Found(self._rows, armed, self._sensor, tuple(self._targets.values()))

    def _row(self, technique: Technique, sources: Sources, sockets: Sockets) -> Row:
        target = self._targets.get(technique.version)
        if target is None:
            return Row(technique, "", "", f"this host has no IPv{technique.version} address")
        row = Row(technique, sources.one(technique.version), target.address)
        if technique.is_trap and not trap_touches(self._settings, sockets.tcp):
            row.why_not = "no TCP trap is configured"
        return row

    @property
    def _tried(self) -> list[Row]:
        return [row for row in self._rows if not row.why_not]

    def run(self) -> Found:
        """Scan, look, and clean up.

        Raises:
            PortsentryError: a step is impossible.
        """
        if not self._sensor.pids or not self._tried:
            return self._found
        lines = DrillLines(Path(self._settings.log), self._tried)
        with _ended_by_signals():
            self._kept.write([*self._controls.values(), *(row.source for row in self._tried)])
            try:
                with wire.stranger() as stranger:
                    self._scan(stranger, lines)
            finally:
                with _not_interrupted():
                    self._clean(lines)
                    lines.close()
        return self._found

    def _scan(self, stranger: wire.Stranger, lines: DrillLines) -> None:
        addresses = [*self._controls.values(), *(row.source for row in self._tried)]
        self._found.arrived = wire.lay(
            stranger.pid, addresses, self._found.targets, arrive=not self._sensor.watches_all
        )
        if self._found.arrived:
            for row in self._tried:
                if row.technique.needs_answers:
                    row.why_not = "the sensor knows it by answers, which do not pass the interface that it watches"
        self._probe(stranger)
        self._wait_for_lines_and_bans(lines)
        self._found.strange = lines.strange
        if any(row.jail for row in self._tried):
            with responding(self._found.targets) as ports:
                self._try_block(stranger, ports)
                self._try_unban(stranger, ports)

    def _probe(self, stranger: wire.Stranger) -> None:
        sockets = read_sockets(frozenset())
        closed = closed_ports(self._settings, sockets.tcp | sockets.udp)
        touches = trap_touches(self._settings, sockets.tcp)
        for row in self._tried:
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
            wanted = [row for row in self._tried if row.verdict == "ban" and not row.jail]
            if wanted and self._found.armed and not self._found.fail2ban:
                self._note_bans(wanted)
            now = time.monotonic()
            return not any(self._is_awaited(row, now) for row in self._tried)

        _wait(are_there, _LINE_SECONDS + _BAN_SECONDS)

    def _is_awaited(self, row: Row, now: float) -> bool:
        """Whether the next thing about the technique can still come."""
        if row.line_seconds is None:
            return now - row.begun < _LINE_SECONDS
        waited = now - row.begun - row.line_seconds
        if row.verdict != "ban":
            return waited < _SECOND_LINE_SECONDS
        return self._found.armed and not self._found.fail2ban and not row.jail and waited < _BAN_SECONDS

    def _note_bans(self, wanted: Sequence[Row]) -> None:
        try:
            for row, entry in self._bans(wanted):
                if not row.jail:
                    row.jail, row.ban_seconds = entry.jail, round(time.monotonic() - row.begun, 2)
        except (Fail2banError, PermissionDenied) as error:
            self._found.fail2ban = str(error)

    def _bans(self, rows: Sequence[Row]) -> Iterator[tuple[Row, JailEntry]]:
        for entry in bans_of(self._client, [row.network for row in rows]):
            banned = ip_network(entry.address)
            yield from (
                (row, entry) for row in rows if banned.version == row.network.version and row.network.overlaps(banned)
            )

    def _try_block(self, stranger: wire.Stranger, ports: Ports) -> None:
        """Ask as the banned and as a stranger who did nothing: only the ban can be the difference."""
        self._say("tries whether the bans hold")
        banned = [row for row in self._tried if row.jail]
        self._choose(stranger, ports)
        for transport in ("tcp", "udp"):
            rows = [row for row in banned if (row.technique.version, transport) in self._found.reached]
            asks = [(transport, row.source, row.target, ports[row.technique.version, transport]) for row in rows]
            for row, answered in zip(rows, self._ask(stranger, asks), strict=True):
                setattr(row, transport, not answered)
        self._try_forwarded(stranger, banned)
        open_rows = [row for row in banned if row.tcp is False or row.udp is False]
        if open_rows:
            name = open_rows[0].network
            self._found.rules = rules_about(str(name.network_address if name.prefixlen == name.max_prefixlen else name))

    def _choose(self, stranger: wire.Stranger, ports: Ports) -> None:
        """The ports that answer a stranger: ours, else one that is served, where a firewall closes ours."""
        keys = [(version, transport) for version in self._controls for transport in ("tcp", "udp")]
        asks = [
            (name, self._controls[version], self._targets[version].address, ports[version, name])
            for version, name in keys
        ]
        self._found.reached = {key for key, answered in zip(keys, self._ask(stranger, asks), strict=True) if answered}
        for version, target in self._targets.items():
            if (version, "tcp") not in self._found.reached:
                served = sorted(self._served)[:_MOST_FORWARDED]
                answers = self._ask(
                    stranger, [("tcp", self._controls[version], target.address, port) for port in served]
                )
                for port in [port for port, answered in zip(served, answers, strict=True) if answered][:1]:
                    ports[version, "tcp"] = port
                    self._found.reached.add((version, "tcp"))

    def _try_forwarded(self, stranger: wire.Stranger, banned: Sequence[Row]) -> None:
        listed = [
            int(port) for word in forwarded_ports(kernel_rules()) for port in word.split(",") if port.strip().isdigit()
        ]
        ports = sorted(set(listed))[:_MOST_FORWARDED]
        for version, control in self._controls.items():
            row = next((row for row in banned if row.technique.version == version and row.tcp), None)
            if row is None or not ports:
                continue
            free = self._ask(stranger, [("tcp", control, row.target, port) for port in ports])
            answering = [port for port, answered in zip(ports, free, strict=True) if answered]
            still = self._ask(stranger, [("tcp", row.source, row.target, port) for port in answering])
            row.forwarded = tuple(port for port, answered in zip(answering, still, strict=True) if answered)

    def _try_unban(self, stranger: wire.Stranger, ports: Ports) -> None:
        self._say("lifts the bans, and tries whether the stranger is let back in")
        banned = [row for row in self._tried if row.jail]
        try:
            lift(self._client, dict.fromkeys(entry for _, entry in self._bans(banned)))
            held = {id(row) for row, _ in self._bans(banned)}
        except (Fail2banError, PermissionDenied) as error:
            self._found.fail2ban = str(error)
            return
        for row in banned:
            row.unbanned = id(row) not in held
        rows = [row for row in banned if (row.technique.version, "tcp") in self._found.reached]

        def are_in() -> bool:
            asks = [("tcp", row.source, row.target, ports[row.technique.version, "tcp"]) for row in rows]
            for row, answered in zip(rows, self._ask(stranger, asks), strict=True):
                row.let_in = answered
            return all(row.let_in for row in rows)

        _wait(are_in, _REACH_SECONDS)

    @staticmethod
    def _ask(stranger: wire.Stranger, asks: Sequence[tuple[str, str, str, int]]) -> list[bool]:
        return stranger.reach(asks, _REACH_SECONDS) if asks else []

    def _clean(self, lines: DrillLines) -> None:
        """Lift every ban of our addresses, those that come late too. The stranger is gone, so no line follows them."""
        self._say("removes what it made")
        wire.clear()
        networks = _networks([*self._controls.values(), *(row.source for row in self._tried)])
        now = time.monotonic()
        latest = now + _LONGEST_SETTLE_SECONDS
        missing = any(row.begun and not row.jail for row in self._tried) and not self._found.fail2ban
        end = now + (_LATE_SECONDS if missing else _SETTLE_SECONDS)
        known = lines.bans
        try:
            while True:
                lines.poll()
                if lines.bans > known:
                    known, end = lines.bans, time.monotonic() + _LATE_SECONDS
                lift(self._client, bans_of(self._client, networks))
                if time.monotonic() > min(end, latest):
                    break
                time.sleep(_PAUSE_SECONDS)
        except (Fail2banError, PermissionDenied) as error:
            self._found.fail2ban = self._found.fail2ban or str(error)
            if any(row.jail for row in self._tried):
                self._found.left = tuple(str(network) for network in networks)
                return
        self._kept.forget()


def _wait(look: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not look() and time.monotonic() < deadline:
        time.sleep(_PAUSE_SECONDS)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the drill as Ctrl-C does."""

    def end(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    with _signals(end, signal.SIGTERM, signal.SIGHUP):
        yield


@contextmanager
def _not_interrupted() -> Iterator[None]:
    with _signals(signal.SIG_IGN, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        yield


@contextmanager
def _signals(handler: Callable[[int, object], None] | signal.Handlers, *numbers: signal.Signals) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
