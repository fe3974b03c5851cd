"""A queue and a writer thread, so that an output that is slow or fails never blocks the capture."""

import logging
import threading
import time
from collections import deque
from typing import Generic, Protocol, TypeVar

from portsentry_py.errors import OutputEnded, PortsentryError

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

_MAX_WAITING = 10_000
_RETRY_SECONDS = 0.25
_STALL_SECONDS = 5.0
_CLOSE_SECONDS = 3.0
_GRACE_SECONDS = 0.005
_BACK_OFF_SECONDS = 0.1
_REPORT_SECONDS = 3600.0
_diagnostics = logging.getLogger(__name__)


class Writer(Protocol[T_contra]):
    """One output. Its own thread writes and closes it, so it may block."""

    def write(self, item: T_contra, /) -> None:
        """Write one item, whole or not at all.

        Raises:
            PortsentryError: not now; the same item is tried again, and later items wait.
            OutputEnded: never again; the sensor ends with it.
            Exception: this item is lost and counted; the next one is tried.
        """
        ...

    def close(self) -> None:
        """Release what is open."""
        ...


class AsyncWriter(Generic[T]):
    """Hands items to a writer in a thread of its own, in order, and hardly ever waits for it.

    At most 10,000 items wait; an event takes about 1.5 KB, so that is 15 MB. When the queue is full, the
    oldest item is dropped. `lost` counts every item that was not written. What ends the thread, OutputEnded
    mostly, is raised by each later call. Diagnostics call the writer by its `name`.
    """

    def __init__(self, writer: Writer[T], name: str) -> None:
        self._writer = writer
        self._name = name
        self._waiting: deque[T] = deque()  # the first is the one that is being written
        self._finished = 0
        self._write_began: float | None = None
        self._is_stalled = False
        self._is_closing = False
        self._ended: BaseException | None = None
        self._ended_is_raised = False
        self._no_grace_until = 0.0
        self._failures = 0
        self._failure_reported = 0.0
        self._changed = threading.Condition()
        self.written = 0
        """Items that the writer took."""
        self.lost = 0
        self._thread = threading.Thread(target=self._run, name=f"writer of {name}", daemon=True)
        self._thread.start()

    def write(self, item: T) -> None:
        """Queue one item."""
        with self._changed:
            if len(self._waiting) >= _MAX_WAITING:
                del self._waiting[1]  # the oldest that is not being written
                self.lost += 1
            self._waiting.append(item)
            self._changed.notify_all()
        self.flush()

    def flush(self) -> None:
        """Give the thread a moment for what waits, and report a stall."""
        self._report_stall()
        self._yield_to_thread()
        if self._ended is not None:
            self._ended_is_raised = True
            raise self._ended

    def _yield_to_thread(self) -> None:
        """Wait until the queue is empty, for some milliseconds at most.

        A thread that computes without a pause releases the interpreter's lock only every few milliseconds,
        and a writer needs it several times for each line: in a flood, a ban would wait for seconds. A writer
        that wrote nothing in its moment gets none for a while.
        """
        now = time.monotonic()
        if now < self._no_grace_until:
            return
        with self._changed:
            before = self._finished
            self._changed.wait_for(lambda: not self._waiting or self._ended is not None, _GRACE_SECONDS)
            if self._waiting and self._finished == before:
                self._no_grace_until = now + _BACK_OFF_SECONDS

    def _report_stall(self) -> None:
        with self._changed:
            began = self._write_began
            if self._is_stalled or began is None or time.monotonic() - began < _STALL_SECONDS:
                return
            self._is_stalled = True
        _diagnostics.error(
            "%s: has stood still for %d seconds; the sensor goes on and up to %d lines wait: "
            "check its file system or its reader.",
            *(self._name, _STALL_SECONDS, _MAX_WAITING),
        )

    def close(self) -> None:
        """Let the thread write what waits, for some seconds; what is left then is lost."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join(_CLOSE_SECONDS)
        with self._changed:
            left = len(self._waiting)
            self._waiting.clear()
            self.lost += left
        if left:
            _diagnostics.error("%s: %d lines could not be written before the end.", self._name, left)
        if self._ended is not None and not self._ended_is_raised:
            raise self._ended

    def _run(self) -> None:
        try:
            while (item := self._next()) is not None and self._deliver(item):
                self._remove_first()
        except BaseException as error:  # noqa: BLE001 - raised again in the other thread
            with self._changed:
                self._ended = error
                self._changed.notify_all()
        try:
            self._writer.close()
        except Exception as error:  # noqa: BLE001 - all of it is written, or counted
            _diagnostics.error("%s: cannot be closed (%s).", self._name, error)

    def _next(self) -> T | None:
        """The oldest item, which stays in the queue until it is written; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closing)
            return self._waiting[0] if self._waiting else None

    def _remove_first(self) -> None:
        with self._changed:
            self._finished += 1
            if self._waiting:  # else close() has given up meanwhile
                self._waiting.popleft()
            if not self._waiting:
                self._changed.notify_all()

    def _deliver(self, item: T) -> bool:
        """Try until the item is written or lost; False if it is still refused at the end."""
        reported, is_retry = "", False
        while True:
            is_last = self._is_closing
            refusal = self._attempt(item)
            if refusal is None:
                if reported:
                    _diagnostics.warning("%s: can be written again.", self._name)
                return True
            # A rotation leaves a file for a moment that is not ours yet: the second attempt finds it good.
            if is_retry and str(refusal) != reported:
                reported = str(refusal)
                _diagnostics.error("%s Lines wait until then.", reported)
            is_retry = True
            if is_last:
                return False
            with self._changed:
                self._changed.wait_for(lambda: self._is_closing, _RETRY_SECONDS)

    def _attempt(self, item: T) -> PortsentryError | None:
        """Write one item once; returns why it must be tried again."""
        began = time.monotonic()
        with self._changed:
            self._write_began = began
        try:
            self._writer.write(item)
        except OutputEnded:
            raise
        except PortsentryError as error:
            return error
        except BaseException as error:  # noqa: BLE001 - no output may end the sensor, not even by SystemExit
            self._lose(error)
        else:
            self.written += 1
        finally:
            with self._changed:
                self._write_began = None
                was_stalled, self._is_stalled = self._is_stalled, False
        if was_stalled:
            _diagnostics.warning("%s: goes on after %d seconds.", self._name, time.monotonic() - began)
        return None

    def _lose(self, error: BaseException) -> None:
        """Count an item that failed; the first failure is reported, later ones once an hour."""
        with self._changed:
            self.lost += 1
        self._failures += 1
        now = time.monotonic()
        if self._failures > 1 and now - self._failure_reported < _REPORT_SECONDS:
            return
        self._failure_reported = now
        _diagnostics.error(
            "%s: failed %d times, and as many lines are lost there (%s: %s); "
            "the sensor and its other outputs go on. Please report this.",
            *(self._name, self._failures, type(error).__name__, error),
            exc_info=None if isinstance(error, OSError) else error,
        )
