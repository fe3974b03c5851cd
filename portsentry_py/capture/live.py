"""A live capture: one or more pairs of dumpcap and tshark, which share the packets."""

import errno
import select
import time
from collections.abc import Iterable
from itertools import chain

from portsentry_py.capture.commands import dumpcap_commands, environment, tshark_command
from portsentry_py.capture.toolchain import INSTALL, Tools
from portsentry_py.capture.worker import Worker
from portsentry_py.config.settings import Capture
from portsentry_py.core.columns import time_text
from portsentry_py.errors import CaptureError, PermissionDenied
from portsentry_py.host.interfaces import Interface
from portsentry_py.privsep.client import LauncherClient

_START_SECONDS = 15.0


class LiveCapture:
    """One run of one or more workers, which share the packets; ends when any of them does.

    Without `decode`, it captures, and what it captures waits in the kernel until `decode` is called: two
    captures at once then need no more memory than one.

    Raises (on construction):
        CaptureError: dumpcap refused an interface or the filter; the message quotes its reason.
        PermissionDenied: the user may not capture.
    """

    def __init__(
        self,
        tools: Tools,
        interfaces: list[Interface],
        served_udp: frozenset[int],
        settings: Capture,
        launcher: LauncherClient,
        *,
        decode: bool = True,
    ) -> None:
        names = " ".join(interface.name for interface in interfaces)
        self._workers: list[Worker] = []
        try:
            for command in dumpcap_commands(tools.dumpcap, interfaces, served_udp, settings):
                self._workers.append(
                    Worker(
                        command,
                        tshark_command(tools.tshark, "-"),
                        environment(),
                        starter=launcher.capture,
                        decode=decode,
                    )
                )
        except OSError as error:
            self.stop()
            if isinstance(error, PermissionError):
                raise _no_permission(names) from error
            if error.errno == errno.EINVAL:
                raise CaptureError(
                    f"cannot capture on {names}: no interface has such a name; see `tshark -D`."
                ) from error
            if error.errno in {errno.ENOENT, errno.ENOEXEC}:
                missing = f"cannot start {error.filename}: {error.strerror}"
                raise CaptureError(f"{missing}; re{INSTALL}") from error
            reason = f"cannot start a capture: {error.strerror}"
            raise CaptureError(f"{reason}; raise the limit (ulimit, LimitNOFILE=, MemoryMax=).") from error
        deadline = time.monotonic() + _START_SECONDS
        for worker in self._workers:
            if not worker.starts(deadline):
                self.stop()
                raise _refusal(worker, names)
        self._ready = select.poll()
        for worker in self._workers:
            self._ready.register(worker, select.POLLIN)

    def decode(self) -> None:
        """Start what decodes, if it was not; if it does not start, the capture has ended."""
        for worker in self._workers:
            worker.decode()

    def read(self, timeout_seconds: float) -> list[str]:
        """Lines of columns, waiting at most so long."""
        if len(self._workers) == 1:
            return self._workers[0].read(timeout_seconds)
        self._ready.poll(timeout_seconds * 1000)
        return _in_order(worker.read(0) for worker in self._workers)

    def stop(self) -> list[str]:
        """Stop capturing; returns the lines of what was captured before."""
        for worker in self._workers:
            worker.tell()
        return _in_order(worker.stop() for worker in self._workers)

    def kill(self) -> None:
        """End it now, with all that is on its way."""
        for worker in self._workers:
            worker.kill()

    @property
    def lag(self) -> float | None:
        """How many seconds the worker that is furthest behind is behind; None if nothing came of late."""
        return max((worker.lag for worker in self._workers if worker.lag is not None), default=None)

    def hand_over(self) -> list[dict[str, str]]:
        """Remember, from now on, the last lines, for the capture that takes over."""
        return [worker.hand_over() for worker in self._workers]

    def follow(self, last: list[dict[str, str]]) -> None:
        """Another capture of the same has ended with these lines: what it gave is not given again."""
        for worker, lines in zip(self._workers, last, strict=True):
            worker.follow(lines)

    @property
    def tshark_bytes(self) -> int:
        """The memory that all tsharks occupy."""
        return sum(worker.tshark_bytes for worker in self._workers)

    @property
    def ended(self) -> str | None:
        """`dumpcap_ended` or `tshark_ended` once a child has ended, None while all run."""
        return next(filter(None, (worker.ended for worker in self._workers)), None)

    @property
    def last_words(self) -> str:
        """What the children said last, for our own diagnostics."""
        words = (worker.last_words for worker in self._workers if worker.ended)
        return next(filter(None, words), "no reason given")

    @property
    def dropped(self) -> int:
        """Packets that the kernel dropped; dumpcap tells only when it ends."""
        return sum(worker.dropped for worker in self._workers)


def _in_order(batches: Iterable[list[str]]) -> list[str]:
    """The lines of all workers as the packets came; of one worker, as they are."""
    filled = [lines for lines in batches if lines]
    if len(filled) < 2:  # noqa: PLR2004 - nothing to merge
        return filled[0] if filled else []
    return sorted(chain(*filled), key=time_text)


def _refusal(worker: Worker, names: str) -> CaptureError | PermissionDenied:
    if worker.lacks_permission:
        return _no_permission(names)
    reason = worker.last_words or "it gave no reason"
    return CaptureError(f"cannot capture on {names}: {reason}; see `tshark -D` for the interfaces.")


def _no_permission(names: str) -> PermissionDenied:
    return PermissionDenied(
        f"you may not capture on {names}; run as root, or give dumpcap the capabilities with "
        "`dpkg-reconfigure wireshark-common` and join the group wireshark."
    )
