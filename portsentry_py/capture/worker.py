"""One dumpcap into one tshark: when it is ready, what it says, how it ended."""

import re
import time
from collections.abc import Sequence

from portsentry_py.capture.process_pipe import ProcessPipe, Starter
from portsentry_py.core.columns import interface_of, time_of, without_time

# A capture stops within ten seconds, and may have been that far behind.
_MOST_BEHIND_SECONDS = 60.0
# The kernel stamps a packet for each capture by itself.
_SAME_SECONDS = 0.001
_SILENT_SECONDS = 1.0
# dumpcap says this once it captures on every interface.
_READY = "File: -"
_DROPPED = re.compile(r"Packets received/dropped on interface .*?: \d+/(\d+) ")
_NOISE = re.compile(
    r"^(Running as user|Capturing on|File: |Packets |tshark: *$|$|\("
    # dumpcap, when tshark reads no more: the reason is tshark's.
    r"|dumpcap: The file to which the capture|Please report this|https?://\S*$)"
)
# tshark's exit codes when dumpcap has ended: with a whole packet, and in the middle of one. None: it runs.
_ENDS_OF_INPUT = (None, 0, 2)
# The kernel takes down a dumpcap's buffers before it tells of its end.
_BURIAL_SECONDS = 0.2


class Worker:
    """One run of both; ends when either does.

    Args:
        dumpcap: its command line, which writes to its standard output.
        tshark: its command line, which reads from its standard input.
        environment: of both.
        starter: starts dumpcap, if somebody else must do that.
        decode: start tshark now; else `decode` does it.
    """

    def __init__(
        self,
        dumpcap: Sequence[str],
        tshark: Sequence[str],
        environment: dict[str, str],
        *,
        starter: Starter | None = None,
        decode: bool = True,
    ) -> None:
        self._pipeline = ProcessPipe([dumpcap, tshark], environment, starter=starter, hold_back=not decode)
        self._early: list[str] = []
        self._ended: str | None = None
        self._heard, self._lag = float("-inf"), 0.0
        self._last: dict[str, str] | None = None
        self._follows: dict[str, str] = {}
        self._follows_until = 0.0

    def starts(self, deadline: float) -> bool:
        """Wait until dumpcap captures; False if a child ends or the (monotonic) time is over."""
        while not any(_READY in line for line in self._pipeline.said(0)):
            self._early += self._pipeline.read(0.1)
            if self._pipeline.ended is not None or time.monotonic() > deadline:
                return False
        return True

    def decode(self) -> None:
        """Start tshark, if it was not; if it does not start, the worker has ended."""
        try:
            self._pipeline.start_last()
        except OSError:
            self._pipeline.kill()

    def fileno(self) -> int:
        """A descriptor that is readable when there is something to read."""
        return self._pipeline.fileno()

    def read(self, timeout_seconds: float) -> list[str]:
        """Lines of columns, waiting at most so long."""
        early, self._early = self._early, []
        return self._given(early + self._pipeline.read(0 if early else timeout_seconds))

    def tell(self) -> None:
        """Ask it to end."""
        self._pipeline.tell()

    def stop(self) -> list[str]:
        """Stop it; returns the lines of what was captured before."""
        early, self._early = self._early, []
        return self._given(early + self._pipeline.stop())

    def kill(self) -> None:
        """End it now, with all that is on its way."""
        self._pipeline.kill()

    def hand_over(self) -> dict[str, str]:
        """Remember, from now on, the last line of each interface for the worker that takes over."""
        self._last = {}
        return self._last

    def follow(self, last: dict[str, str]) -> None:
        """Another worker of the same has ended with these lines: what it gave is not given again."""
        self._follows = dict(last)
        self._follows_until = time.monotonic() + _MOST_BEHIND_SECONDS

    def _given(self, lines: list[str]) -> list[str]:
        if lines:
            self._heard, self._lag = time.monotonic(), time.time() - time_of(lines[-1])
        if self._last is not None:
            self._last.update((interface_of(line), line) for line in lines)
        if not self._follows:
            return lines
        if time.monotonic() > self._follows_until:
            self._follows.clear()  # an interface that has been silent since
        return [line for line in lines if not self._was_given(line)]

    def _was_given(self, line: str) -> bool:
        """Both heard the same packets while both ran, each interface in its order."""
        interface = interface_of(line)
        last = self._follows.get(interface)
        if last is None:
            return False
        ahead = time_of(last) - time_of(line)
        if abs(ahead) < _SAME_SECONDS and without_time(line) == without_time(last):
            del self._follows[interface]
            return True
        # A clock that was set back is not waited for.
        if 0 <= ahead < _MOST_BEHIND_SECONDS:
            return True
        del self._follows[interface]
        return False

    @property
    def lag(self) -> float | None:
        """How many seconds old its newest line was when it was read; None if none came of late."""
        return self._lag if time.monotonic() - self._heard < _SILENT_SECONDS else None

    @property
    def tshark_bytes(self) -> int:
        """The memory that tshark occupies."""
        return self._pipeline.resident_bytes(1)

    @property
    def ended(self) -> str | None:
        """`dumpcap_ended` or `tshark_ended` once a child has ended, None while both run."""
        if self._ended is None and (self._pipeline.ended is not None or self._pipeline.at_end):
            self._ended = self._who_ended()
        return self._ended

    def _who_ended(self) -> str:
        """The end of either brings that of the other, and may be seen later."""
        deadline = time.monotonic() + _BURIAL_SECONDS
        while time.monotonic() < deadline and None in map(self._pipeline.exit_code, (0, 1)):
            time.sleep(_BURIAL_SECONDS / 10)
        dumpcap = not self._tshark_failed and self._pipeline.exit_code(0) is not None
        return "dumpcap_ended" if dumpcap else "tshark_ended"

    @property
    def _tshark_failed(self) -> bool:
        return self._pipeline.exit_code(1) not in _ENDS_OF_INPUT

    @property
    def last_words(self) -> str:
        """The reason that a child gave last; empty if none did."""
        return reason_in(self._pipeline.said(0)) or reason_in(self._pipeline.said(1))

    @property
    def lacks_permission(self) -> bool:
        """Whether dumpcap says that the user may not capture."""
        return "permission" in " ".join(self._pipeline.said(0)).lower()

    @property
    def dropped(self) -> int:
        """Packets that the kernel dropped; dumpcap tells only when it ends."""
        found = (_DROPPED.search(line) for line in self._pipeline.said(0))
        return sum(int(match[1]) for match in found if match)


def reason_in(said: list[str]) -> str:
    """A program's own reason, in one line."""
    lines = [line.strip() for line in said]
    kept = [
        line.removeprefix("dumpcap: ").removeprefix("tshark: ") for line in lines if not _NOISE.match(line)
    ]
    return " ".join(kept[:2]).rstrip(".")
