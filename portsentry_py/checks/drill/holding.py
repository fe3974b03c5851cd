"""Whether bans hold: ports are asked as the banned, and as a stranger who did nothing. Only the ban differs."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from portsentry_py.checks.drill.bans import PAUSE_SECONDS
from portsentry_py.checks.drill.responder import Ports
from portsentry_py.checks.drill.row import Row
from portsentry_py.checks.drill.wire import Stranger

_REACH_SECONDS = 1.5
_RULE_SECONDS = 10.0
_MOST_PORTS = 16
_TRANSPORTS = ("tcp", "udp")

Ask = tuple[str, str, str, int]


class BanTrial:
    """Asks ports of this host.

    Args:
        stranger: who asks.
        controls: the address of the stranger who did nothing, by IP version.
        targets: the address of this host, by IP version.
        ports: what answers at each address.
    """

    def __init__(
        self, stranger: Stranger, controls: Mapping[int, str], targets: Mapping[int, str], ports: Ports
    ) -> None:
        self._stranger = stranger
        self._controls = controls
        self._targets = targets
        self._ports = ports
        self.reached: set[tuple[int, str]] = set()

    def choose(self, served: Iterable[int]) -> None:
        """Find the ports that answer a stranger: the drill's own, or served ones behind a firewall."""
        keys = [(version, transport) for version in self._controls for transport in _TRANSPORTS]
        answers = self._answers((name, self._control(version, self._ports[version, name])) for version, name in keys)
        self.reached = {key for key, answered in zip(keys, answers, strict=True) if answered}
        for version in self._controls:
            if (version, "tcp") not in self.reached:
                for port in self._open_to_control(version, sorted(served)[:_MOST_PORTS])[:1]:
                    self._ports[version, "tcp"] = port
                    self.reached.add((version, "tcp"))

    def block(self, banned: Sequence[Row]) -> None:
        """Note for each row and transport whether its packets get no answer. The rule can follow fail2ban's list."""
        for transport in _TRANSPORTS:
            rows = self._reached(banned, transport)
            wait(partial(self._are_refused, rows, transport), _RULE_SECONDS)

    def _are_refused(self, rows: Sequence[Row], transport: str) -> bool:
        answers = self._as_banned(rows, transport)
        for row, answered in zip(rows, answers, strict=True):
            setattr(row, transport, not answered)
        return not any(answers)

    def forwarded(self, banned: Sequence[Row], ports: Iterable[int]) -> None:
        """Note which forwarded ports a banned source still reaches, one for each IP version."""
        for version in self._controls:
            row = next((row for row in banned if row.technique.version == version and row.tcp), None)
            if row is not None:
                found = self._open_to_control(version, sorted(ports)[:_MOST_PORTS])
                answers = self._answers(("tcp", (row.source, row.target, port)) for port in found)
                row.forwarded = tuple(port for port, answered in zip(found, answers, strict=True) if answered)

    def let_in(self, unbanned: Sequence[Row]) -> None:
        """Note for each row whether it gets answers again; the kernel may take a moment."""
        rows = self._reached(unbanned, "tcp")

        def are_in() -> bool:
            for row, answered in zip(rows, self._as_banned(rows, "tcp"), strict=True):
                row.let_in = answered
            return all(row.let_in for row in rows)

        wait(are_in, _RULE_SECONDS)

    def _reached(self, rows: Sequence[Row], transport: str) -> list[Row]:
        return [row for row in rows if (row.technique.version, transport) in self.reached]

    def _as_banned(self, rows: Iterable[Row], transport: str) -> list[bool]:
        return self._answers(
            (transport, (row.source, row.target, self._ports[row.technique.version, transport])) for row in rows
        )

    def _control(self, version: int, port: int) -> tuple[str, str, int]:
        return self._controls[version], self._targets[version], port

    def _open_to_control(self, version: int, ports: Sequence[int]) -> list[int]:
        answers = self._answers(("tcp", self._control(version, port)) for port in ports)
        return [port for port, answered in zip(ports, answers, strict=True) if answered]

    def _answers(self, asks: Iterable[tuple[str, tuple[str, str, int]]]) -> list[bool]:
        listed: list[Ask] = [(transport, *ends) for transport, ends in asks]
        return self._stranger.reach(listed, _REACH_SECONDS) if listed else []


def wait(look: Callable[[], bool], seconds: float) -> None:
    """Look again and again until it is so, or the time is over."""
    deadline = time.monotonic() + seconds
    while not look() and time.monotonic() < deadline:
        time.sleep(PAUSE_SECONDS)
