"""What sends probes and returns answers, whichever method it uses."""

from collections.abc import Iterable
from typing import Protocol

from portsentry_py.checks.scan.model import Answer, Target


class Prober(Protocol):
    """Sends probes of one method."""

    def send(self, target: Target, port: int, attempt: int) -> None:
        """Send one probe."""
        ...

    def answers(self, seconds: float) -> Iterable[Answer]:
        """Wait so long for answers at most, and return those that came."""
        ...

    def forget(self, target: Target, port: int) -> None:
        """The last probe of this port needs no answer any more."""
        ...

    def close(self) -> None:
        """Close every socket."""
        ...
