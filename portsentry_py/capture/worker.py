"""One `dumpcap | tshark`: when it captures, what it delivers, and why it ended."""

import os
import re
import time
from collections.abc import Sequence

from portsentry_py.capture.process_pipe import ProcessPipe, Starter
from portsentry_py.core.columns import interface_of, time_of, without_time
from portsentry_py.events.model import SensorReason

# A capture stops within ten seconds, and may have been this far behind.
_MAX_OVERLAP_SECONDS = 60.0
# The kernel gives a packet a time for each capture, so the two differ a little.
_SAME_SECONDS = 0.001
_SILENT_SECONDS = 1.0
# dumpcap prints this when it captures on every interface.
_READY = "File: -"
_DROPPED = re.compile(r"Packets received/dropped on interface .*?: \d+/(\d+) ")
_NOISE = re.compile(
    r"^(Running as user|Capturing on|File: |Packets |tshark: *$|$|\("
    # dumpcap prints these when tshark reads no more; the reason is tshark's.
    r"|dumpcap: The file to which the capture|Please report this|https?://\S*$)"
)
# tshark's exit codes when dumpcap has ended: after a whole packet, and within one. None: it still runs.
_ENDS_OF_INPUT = (None, 0, 2)
# dumpcap's end shows late, because the kernel first frees its buffers.
_BOTH_END_SECONDS = 0.2
_DUMPCAP, _TSHARK = 0, 1


class Worker:
    """One run of dumpcap and tshark, which ends when either does.

    `starter` starts dumpcap. Without `decode`, tshark starts with `start_tshark`. `interface` is the one that all
    packets are from, if tshark does not print it.
    """

    def __init__(
        self,
        dumpcap: Sequence[str],
        tshark: Sequence[str],
        *,
        starter: Starter | None = None,
        decode: bool = True,
        interface: str = "",
    ) -> None:
        self.interface = interface
        """The one that all packets are from; empty if there are several."""
        cell = os.fsencode(f"\t{interface}") if interface else b""
        self._pipe = ProcessPipe([dumpcap, tshark], starter=starter, hold_back=not decode, line_end=cell)
        self._early: list[str] = []
        self._received, self._lag = float("-inf"), 0.0
        self.newest_seconds = 0.0
        """The time of the newest packet that was delivered, since 1970; 0 before the first."""
        self._last_lines: dict[str, str] | None = None
        self._bytes_at_first = 0
        self._overlap = _Overlap({})
        self._end_noticed: float | None = None
        self._start_error = ""
        self.ended: SensorReason | None = None
        """`dumpcap_ended` or `tshark_ended` when `read` has noticed an end, None before."""

    def check_start(self) -> bool | None:
        """Whether dumpcap captures; None once a process has ended before. Does not wait."""
        has_ended = self._pipe.has_ended  # what it said is in the pipe by now
        self._early += self._pipe.read()
        if any(_READY in line for line in self._pipe.error_lines(_DUMPCAP)):
            return True
        return None if has_ended else False

    def wait(self, timeout_seconds: float) -> None:
        """Wait until a process says something, or the time is over."""
        self._pipe.wait(timeout_seconds)

    def start_tshark(self) -> None:
        """Start tshark, unless it was started; if it does not start, the worker has ended."""
        try:
            self._pipe.start_last()
        except OSError as error:
            self._start_error = f"tshark does not start: {error.strerror}"
            self.ended = "tshark_ended"
            self._pipe.kill()

    def fileno(self) -> int:
        """A descriptor that is readable when there is something to read."""
        return self._pipe.fileno()

    def read(self) -> list[str]:
        """The lines of columns since the last call. Does not wait."""
        lines = self._delivered(self._pipe.read())
        self._notice_end()
        return lines

    def terminate(self) -> None:
        """Tell dumpcap to end; tshark ends after it."""
        self._pipe.terminate()

    def stop(self) -> list[str]:
        """Terminate and wait for the end; returns the lines of all that was captured."""
        return self._delivered(self._pipe.stop())

    def kill(self) -> None:
        """End at once; what was captured and not read is lost."""
        self._pipe.kill()

    def record_last_lines(self) -> dict[str, str]:
        """From now on, keep the last line of each interface in the result, for the worker that takes over."""
        self._last_lines = {}
        return self._last_lines

    def skip_until(self, last_lines: dict[str, str]) -> None:
        """Skip what another worker with the same share of the packets has delivered, up to these lines."""
        self._overlap = _Overlap(last_lines)

    def _delivered(self, lines: list[str]) -> list[str]:
        lines, self._early = self._early + lines, []
        if lines:
            self._bytes_at_first = self._bytes_at_first or self.tshark_bytes
            self.newest_seconds = time_of(lines[-1])
            self._received, self._lag = time.monotonic(), time.time() - self.newest_seconds
        if self._last_lines is not None:
            self._last_lines.update((interface_of(line), line) for line in lines)
        return self._overlap.skip(lines)

    @property
    def lag(self) -> float | None:
        """How old the newest line was when it was read, in seconds; None if no line came lately."""
        return self._lag if time.monotonic() - self._received < _SILENT_SECONDS else None

    @property
    def tshark_bytes(self) -> int:
        """The memory that tshark occupies."""
        return self._pipe.resident_bytes(_TSHARK)

    @property
    def tshark_growth_bytes(self) -> int:
        """What tshark has grown by since its first line, when it had loaded what it needs."""
        return max(0, self.tshark_bytes - self._bytes_at_first) if self._bytes_at_first else 0

    def _notice_end(self) -> None:
        """The end of one process causes that of the other: give both a moment, to see which ended first."""
        if self.ended is not None or not (self._pipe.has_ended or self._pipe.at_end):
            return
        dumpcap, tshark = map(self._pipe.exit_code, (_DUMPCAP, _TSHARK))
        now = time.monotonic()
        if self._end_noticed is None:
            self._end_noticed = now
        if None in (dumpcap, tshark) and now - self._end_noticed < _BOTH_END_SECONDS:
            return
        caused_by_dumpcap = dumpcap is not None and tshark in _ENDS_OF_INPUT
        self.ended = "dumpcap_ended" if caused_by_dumpcap else "tshark_ended"

    @property
    def end_reason(self) -> str:
        """Why it ended, in the words of a process; empty if none gave a reason."""
        dumpcap, tshark = map(self._pipe.error_lines, (_DUMPCAP, _TSHARK))
        return self._start_error or reason_in(dumpcap) or reason_in(tshark)

    @property
    def lacks_permission(self) -> bool:
        """Whether dumpcap says that the user may not capture."""
        return "permission" in " ".join(self._pipe.error_lines(_DUMPCAP)).lower()

    @property
    def dropped(self) -> int:
        """Packets that the kernel dropped; dumpcap reports them only when it ends."""
        found = (_DROPPED.search(line) for line in self._pipe.error_lines(_DUMPCAP))
        return sum(int(match[1]) for match in found if match)


class _Overlap:
    """Two captures have received the same packets for a while: skips those that the old one has delivered."""

    def __init__(self, last_lines: dict[str, str]) -> None:
        self._last_lines = dict(last_lines)
        self._until = time.monotonic() + _MAX_OVERLAP_SECONDS

    def skip(self, lines: list[str]) -> list[str]:
        """The lines that are new."""
        if not self._last_lines:
            return lines
        if time.monotonic() > self._until:
            self._last_lines.clear()  # of interfaces that are silent since
        return [line for line in lines if not self._was_delivered(line)]

    def _was_delivered(self, line: str) -> bool:
        """Both captures have the packets of an interface in the same order."""
        interface = interface_of(line)
        last = self._last_lines.get(interface)
        if last is None:
            return False
        ahead = time_of(last) - time_of(line)
        is_last = abs(ahead) < _SAME_SECONDS and without_time(line) == without_time(last)
        # Further ahead, the clock was set back.
        was_before = 0 <= ahead < _MAX_OVERLAP_SECONDS
        if is_last or not was_before:
            del self._last_lines[interface]
        return is_last or was_before


def reason_in(error_lines: list[str]) -> str:
    """The reason that a program gave on standard error, in one line; empty if it gave none."""
    lines = [line.strip() for line in error_lines]
    kept = [line.removeprefix("dumpcap: ").removeprefix("tshark: ") for line in lines if not _NOISE.match(line)]
    return " ".join(kept[:2]).rstrip(".")
