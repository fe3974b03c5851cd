"""A live capture: one or more workers, which share the packets."""

import errno
import select
import time
from collections.abc import Iterable, Sequence
from itertools import chain

from portsentry_py.capture.bpf import FilterHost
from portsentry_py.capture.commands import dumpcap_commands, only_interface, tshark_command
from portsentry_py.capture.toolchain import INSTALL, Tools
from portsentry_py.capture.worker import Worker
from portsentry_py.config.settings import Capture
from portsentry_py.core.columns import time_text
from portsentry_py.errors import CaptureError, PermissionDenied
from portsentry_py.events.model import SensorReason
from portsentry_py.host.interfaces import OTHERS, describe
from portsentry_py.privsep.client import LauncherClient

_START_SECONDS = 15.0
_START_POLL_SECONDS = 0.1
_READ_INTERVAL_SECONDS = 0.03  # the pipes hold more than tshark prints meanwhile


class LiveCapture:
    """One run of all workers; it ends when any of them does.

    Interfaces that come and go have a worker of their own. Its tshark starts with `start_others`: most hosts have no
    such interface, and do without its memory.

    Args:
        interfaces: their names, or `any` alone; `OTHERS` stands for all that come and go.
        host: what stays in the kernel because of this host.
        decode: start tshark now. Otherwise packets wait in the kernel until `start_tshark`: two captures at
            once then need no more memory than one.

    Raises (on construction):
        CaptureError: a process cannot be started.
        PermissionDenied: the user may not capture.
    """

    _others: Worker | None = None
    reads_others = False
    """Whether the worker of interfaces that come and go has its tshark."""

    def __init__(
        self,
        tools: Tools,
        launcher: LauncherClient,
        settings: Capture,
        interfaces: Sequence[str],
        host: FilterHost,
        *,
        decode: bool = True,
    ) -> None:
        self._names = " ".join(interfaces)
        self._workers: list[Worker] = []
        self._next_read = 0.0
        try:
            commands = [*dumpcap_commands(tools.dumpcap, describe(interfaces), host, settings)]
            others = len(commands) - 1 if OTHERS in interfaces and len(commands) > 1 else None
            for position, command in enumerate(commands):
                starts = decode and position != others
                only = only_interface(command)
                tshark = tshark_command(tools.tshark, "-", interface=not only)
                worker = Worker(command, tshark, starter=launcher.capture, decode=starts, interface=only)
                self._workers.append(worker)
            self._others = None if others is None else self._workers[others]
            self.reads_others = [*interfaces] == [OTHERS]
        except OSError as error:
            self.stop()
            raise _not_started(error, self._names) from error
        self._deadline = time.monotonic() + _START_SECONDS
        self._starting = list(self._workers)
        self._readable = select.poll()
        for worker in self._workers:
            self._readable.register(worker, select.POLLIN)

    def has_started(self) -> bool:
        """Whether every dumpcap captures. Does not wait; a capture that is refused is killed.

        Raises:
            CaptureError: dumpcap refused an interface or the filter; the message quotes its reason.
            PermissionDenied: the user may not capture.
        """
        states = {worker: worker.check_start() for worker in self._starting}
        self._starting = [worker for worker, is_capturing in states.items() if not is_capturing]
        for worker in self._starting:
            if states[worker] is None or time.monotonic() > self._deadline:
                self.kill()
                raise _refused(worker, self._names)
        return not self._starting

    def wait_until_started(self) -> None:
        """Wait for that.

        Raises:
            CaptureError: as above.
            PermissionDenied: as above.
        """
        while not self.has_started():
            self._starting[0].wait(_START_POLL_SECONDS)

    def start_tshark(self) -> None:
        """Start every tshark that was not started; if one does not start, the capture has ended."""
        for worker in self._workers:
            if worker is not self._others:
                worker.start_tshark()

    def start_others(self) -> bool:
        """Start the tshark for interfaces that come and go; False if it was started, or there is none."""
        if self._others is None or self.reads_others:
            return False
        self._others.start_tshark()
        self.reads_others = True
        return True

    def wait(self, timeout_seconds: float) -> None:
        """Wait until there is something to read, or the time is over.

        A busy capture is read 33 times a second at most, because each read costs as much as many packets.
        """
        deadline = time.monotonic() + timeout_seconds
        time.sleep(max(0.0, min(self._next_read, deadline) - time.monotonic()))
        self._readable.poll(max(0.0, deadline - time.monotonic()) * 1000)

    def read(self) -> list[str]:
        """The lines of columns since the last call, in the order of their packets. Does not wait."""
        lines = _in_order(worker.read() for worker in self._workers)
        if lines:
            self._next_read = time.monotonic() + _READ_INTERVAL_SECONDS
        return lines

    def stop(self) -> list[str]:
        """Stop capturing; returns the lines of all that was captured before."""
        if self._others is not None and not self.reads_others:
            self._others.kill()  # nothing came
        for worker in self._workers:
            worker.terminate()
        return _in_order(worker.stop() for worker in self._workers)

    def kill(self) -> None:
        """End at once; what was captured and not read is lost."""
        for worker in self._workers:
            worker.kill()

    @property
    def complete_until(self) -> float:
        """The time before which every packet was delivered, since 1970; 0 if that cannot be told from the lines.

        Only packets of one interface come in the order in which they passed.
        """
        read = (worker for worker in self._workers if worker is not self._others or self.reads_others)
        return min(worker.newest_seconds if worker.interface else 0.0 for worker in read)

    @property
    def lag(self) -> float | None:
        """How many seconds the slowest worker is behind; None if no line came lately."""
        return max((worker.lag for worker in self._workers if worker.lag is not None), default=None)

    def record_last_lines(self) -> list[dict[str, str]]:
        """From now on, keep the last lines in the result, for the capture that takes over."""
        return [worker.record_last_lines() for worker in self._workers]

    def skip_until(self, last_lines: list[dict[str, str]]) -> None:
        """Skip what another capture of as many workers has delivered, up to these lines."""
        for worker, lines in zip(self._workers, last_lines, strict=True):
            worker.skip_until(lines)

    @property
    def tshark_bytes(self) -> int:
        """The memory that all tsharks occupy."""
        return sum(worker.tshark_bytes for worker in self._workers)

    @property
    def tshark_growth_bytes(self) -> int:
        """What all tsharks have grown by since their first lines."""
        return sum(worker.tshark_growth_bytes for worker in self._workers)

    @property
    def ended(self) -> SensorReason | None:
        """`dumpcap_ended` or `tshark_ended` when `read` has noticed an end, None before."""
        return next(filter(None, (worker.ended for worker in self._workers)), None)

    @property
    def end_reason(self) -> str:
        """Why it ended, in the words of dumpcap or tshark."""
        reasons = (worker.end_reason for worker in self._workers if worker.ended)
        return next(filter(None, reasons), "no reason given")

    @property
    def dropped(self) -> int:
        """Packets that the kernel dropped; dumpcap reports them only when it ends."""
        return sum(worker.dropped for worker in self._workers)


def _in_order(batches: Iterable[list[str]]) -> list[str]:
    """The lines of all workers in the order of their times; those of a single worker as they are."""
    filled = [lines for lines in batches if lines]
    if len(filled) <= 1:
        return filled[0] if filled else []
    return sorted(chain(*filled), key=time_text)


def _not_started(error: OSError, names: str) -> CaptureError | PermissionDenied:
    """What it means that a process could not be started."""
    if isinstance(error, PermissionError):
        return _no_permission(names)
    if error.errno == errno.EINVAL:
        return CaptureError(f"cannot capture on {names}: no interface has such a name; see `tshark -D`.")
    if error.errno in {errno.ENOENT, errno.ENOEXEC}:
        return CaptureError(f"cannot start {error.filename}: {error.strerror}; re{INSTALL}")
    reason = f"cannot start a capture: {error.strerror}"
    return CaptureError(f"{reason}; raise the limit (ulimit, LimitNOFILE=, MemoryMax=).")


def _refused(worker: Worker, names: str) -> CaptureError | PermissionDenied:
    """What it means that dumpcap does not capture."""
    if worker.lacks_permission:
        return _no_permission(names)
    reason = worker.end_reason or "it gave no reason"
    return CaptureError(f"cannot capture on {names}: {reason}; see `tshark -D` for the interfaces.")


def _no_permission(names: str) -> PermissionDenied:
    return PermissionDenied(
        f"you may not capture on {names}; run as root, or give dumpcap the capabilities with "
        "`dpkg-reconfigure wireshark-common` and join the group wireshark."
    )
