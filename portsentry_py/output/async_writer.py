"""A queue and a thread before whatever may be slow: a stalled disk or full pipe must not stop the capture."""

import logging
import threading
import time
from collections import deque
from typing import Generic, Protocol, TypeVar

from portsentry_py.errors import PortsentryError

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

_MAX_WAITING = 10_000
_RETRY_SECONDS = 0.25
_STILL_SECONDS = 5.0
_CLOSE_SECONDS = 3.0
_GRACE_SECONDS = 0.005
_BACK_OFF_SECONDS = 0.1
_diagnostics = logging.getLogger(__name__)


class Writer(Protocol[T_contra]):
    """Writes items, and waits as long as that takes."""

    def write(self, item: T_contra, /) -> None:
        """Write one item; a PortsentryError says that it may be tried again later, anything else is final."""
        ...

    def close(self) -> None:
        """Let go of what is open."""
        ...


class AsyncWriter(Generic[T]):
    """Hands items to a writer in a thread of its own, in order, and never waits for it for long.

    At most 10,000 items wait, those that the writer refuses for now included; an event takes about 1.5 KB,
    so that is 15 MB. When the queue is full, the oldest goes and is counted in `lost`. What the writer raises
    for good is raised here, at the next call.

    Args:
        writer: what may be slow. It is used, and closed, by the thread alone.
        name: what to call it in diagnostics.
    """

    def __init__(self, writer: Writer[T], name: str) -> None:
        self._writer = writer
        self._name = name
        self._waiting: deque[T] = deque()  # the first is the one that is being written
        self._written = 0
        self._writes_since: float | None = None
        self._stands_still = False
        self._ends = False
        self._failure: BaseException | None = None
        self._raised = False
        self._no_grace_until = 0.0
        self._changed = threading.Condition()
        self.lost = 0
        self._thread = threading.Thread(target=self._run, name=f"writer of {name}", daemon=True)
        self._thread.start()

    def write(self, item: T) -> None:
        """Take one item."""
        with self._changed:
            if len(self._waiting) >= _MAX_WAITING:
                del self._waiting[1]  # the oldest that is not being written
                self.lost += 1
            self._waiting.append(item)
            self._changed.notify_all()
        self.flush()

    def flush(self) -> None:
        """Give the thread a moment for what waits, and tell if it stands still."""
        self._tell_if_it_stands_still()
        self._give_way()
        if self._failure is not None:
            self._raised = True
            raise self._failure

    def _give_way(self) -> None:
        """Wait until all is written, for some milliseconds at most.

        A thread that computes without a pause leaves the interpreter's lock to another only every few
        milliseconds, or hardly ever if it reads now and then, and the writer needs it some times for each
        line: in a flood, a ban would wait for seconds. A writer that has done nothing with the moment that it
        was given is left alone for a while.
        """
        now = time.monotonic()
        if now < self._no_grace_until:
            return
        with self._changed:
            before = self._written
            self._changed.wait_for(lambda: not self._waiting or self._failure is not None, _GRACE_SECONDS)
            if self._waiting and self._written == before:
                self._no_grace_until = now + _BACK_OFF_SECONDS

    def _tell_if_it_stands_still(self) -> None:
        with self._changed:
            since = self._writes_since
            if self._stands_still or since is None or time.monotonic() - since < _STILL_SECONDS:
                return
            self._stands_still = True
        _diagnostics.error(
            "%s: has stood still for %d seconds; the sensor goes on and up to %d lines wait: "
            "look at its file system, or at whoever reads it.",
            self._name,
            _STILL_SECONDS,
            _MAX_WAITING,
        )

    def close(self) -> None:
        """Let the thread write what waits, for some seconds; what is left then is counted in `lost`."""
        with self._changed:
            self._ends = True
            self._changed.notify_all()
        self._thread.join(_CLOSE_SECONDS)
        with self._changed:
            left = len(self._waiting)
            self._waiting.clear()
            self.lost += left
        if left:
            _diagnostics.error("%s: %d lines could not be written before the end.", self._name, left)
        if self._failure is not None and not self._raised:
            raise self._failure

    def _run(self) -> None:
        try:
            try:
                while (item := self._next()) is not None and self._write(item):
                    self._drop_written()
            finally:
                self._writer.close()
        except BaseException as error:  # noqa: BLE001 - raised again in the other thread
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _next(self) -> T | None:
        """The oldest item, None at the end; it stays in the queue until it is written."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ends)
            return self._waiting[0] if self._waiting else None

    def _drop_written(self) -> None:
        with self._changed:
            self._written += 1
            if self._waiting:  # else close() has given up meanwhile
                self._waiting.popleft()
            if not self._waiting:
                self._changed.notify_all()

    def _write(self, item: T) -> bool:
        """Write one item, however long that takes; False if it could not be done before the end."""
        told, again = "", False
        while True:
            last = self._ends
            error = self._attempt(item)
            if error is None:
                if told:
                    _diagnostics.warning("%s: can be written again.", self._name)
                return True
            # What a rotation leaves for a moment, a file that is not ours yet, is over at the second look.
            if again and str(error) != told:
                told = str(error)
                _diagnostics.error("%s Lines wait until then.", told)
            again = True
            if last:
                return False
            with self._changed:
                self._changed.wait_for(lambda: self._ends, _RETRY_SECONDS)

    def _attempt(self, item: T) -> PortsentryError | None:
        """Write one item once; gives why it must be tried again."""
        begun = time.monotonic()
        with self._changed:
            self._writes_since = begun
        try:
            self._writer.write(item)
        except PortsentryError as error:
            return error
        finally:
            with self._changed:
                self._writes_since = None
                stood_still, self._stands_still = self._stands_still, False
        if stood_still:
            _diagnostics.warning("%s: goes on after %d seconds.", self._name, time.monotonic() - begun)
        return None
