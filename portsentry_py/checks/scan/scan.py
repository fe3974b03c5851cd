"""A scan of one's own hosts, from the words of the user to the state of each port."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from portsentry_py.checks.scan.connect import ConnectProber, most_connections
from portsentry_py.checks.scan.engine import Engine
from portsentry_py.checks.scan.model import DEFAULT_OPTIONS, HostResult, Method, Options, Target, protocol_of
from portsentry_py.checks.scan.ports import shuffled
from portsentry_py.checks.scan.prober import Prober
from portsentry_py.checks.scan.rules import silence
from portsentry_py.checks.scan.schedule import Schedule
from portsentry_py.checks.scan.targets import find_targets

_MOST_WAITING = 2048


@dataclass(slots=True)
class Scan:
    """A scan that is prepared; `results` can be read at any time, also after an interrupted `run`.

    Attributes:
        method: how to scan.
        targets: whom.
        ports: which ports of each.
        options: how fast, how often.
        results: one for each target.
        sent: probes so far.
        complete: whether every port has its state.
    """

    method: Method
    targets: Sequence[Target]
    ports: Sequence[int]
    options: Options
    results: list[HostResult] = field(init=False)
    sent: int = field(default=0, init=False)
    complete: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.results = [HostResult(target, silence(self.method)) for target in self.targets]

    def announcement(self) -> str:
        """What `run` sends, in one sentence."""
        hosts = [target.address for target in self.targets]
        to = hosts[0] if len(hosts) == 1 else f"{len(hosts)} hosts ({hosts[0]}-{hosts[-1]})"
        sources = " and ".join(sorted({target.source for target in self.targets}))
        attempts = self.options.retries + 1
        probes = len(hosts) * len(self.ports)
        return (
            f"{self.method}: {probes:,} {protocol_of(self.method)} probes from {sources} to {to}, each up to "
            f"{attempts} times, at most {self.options.rate:,.0f} a second"
        )

    def run(self, progress: Callable[[int], None] = lambda _decided: None) -> None:
        """Scan.

        Args:
            progress: gets the number of ports that have a state, over all hosts.

        Raises:
            PermissionDenied: the method needs raw sockets.
            LibraryMissing: the method needs scapy.
            ScanError: the sockets cannot be used.
        """
        window = min(_MOST_WAITING, most_connections()) if self.method == "connect" else _MOST_WAITING
        ports = shuffled(self.ports)
        schedules = (
            Schedule(result, ports, self.options.retries + 1, window, errors_matter=self.method == "udp")
            for result in self.results
        )
        prober = _prober(self.method, self.targets)
        engine = Engine(prober, self.options.rate, time.monotonic, progress)
        try:
            engine.run(schedules)
            self.complete = True
        finally:
            self.sent = engine.sent
            prober.close()


def scan(
    targets: Iterable[str], ports: Sequence[int], method: Method, options: Options = DEFAULT_OPTIONS
) -> list[HostResult]:
    """Scan hosts.

    Args:
        targets: addresses, names, networks of at most 256 addresses.
        ports: from 1 to 65535.
        method: how.
        options: how fast, how often, and what is allowed.

    Raises:
        PortsentryError: a target is refused, or the scan is unavailable; see `find_targets` and `Scan.run`.
    """
    prepared = Scan(method, find_targets(targets, options), ports, options)
    prepared.run()
    return prepared.results


def _prober(method: Method, targets: Sequence[Target]) -> Prober:
    if method == "connect":
        return ConnectProber()
    # Else a connect scan would need scapy.
    from portsentry_py.checks.scan.raw import RawProber  # noqa: PLC0415 - said above

    return RawProber(method, targets)
