"""What the drill found."""

from dataclasses import dataclass, field

from portsentry_py.checks.drill.addresses import Target
from portsentry_py.checks.drill.row import Row
from portsentry_py.checks.drill.sensor_view import SensorView

GOOD, UNPROVED, BROKEN = 0, 1, 2


@dataclass(slots=True)
class Found:
    """What the drill found.

    Attributes:
        armed: whether bans were looked at, and not the log alone.
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

    @property
    def tried(self) -> list[Row]:
        """The techniques that this host allows."""
        return [row for row in self.rows if not row.why_not]

    @property
    def exit_code(self) -> int:
        """0, or 1 if a step could not be tried, or 2 if one failed."""
        failed = any(fault for row in self.rows for fault in row.faults(armed=self.armed))
        if failed or self.left or not self.sensor.pids:
            return BROKEN
        unproved = any(row.is_unproved(armed=self.armed) for row in self.tried)
        return UNPROVED if unproved or not self.tried else GOOD
