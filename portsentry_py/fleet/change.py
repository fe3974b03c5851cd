"""What changes at this host because of what others report: it becomes a line of the log."""

from dataclasses import dataclass

from portsentry_py.fleet.messages import Ban


@dataclass(frozen=True, slots=True)
class Change:
    """A source that is to be banned, or no longer.

    Attributes:
        bans: False if it was banned and nothing asks for that any more.
        ban: the strongest of the reports.
        hosts: the hosts that report it, sorted.
        port: of a source that swept the fleet, what it asked for last; None for a source that others ban.
        is_doubtful: somebody can have forged the source, so that it is only watched.
    """

    bans: bool
    ban: Ban
    hosts: tuple[str, ...]
    until_us: int
    port: int | None = None
    is_doubtful: bool = False
