"""A pipeline of two processes, dumpcap into tshark, watched so that none dies unseen."""

import contextlib
import fcntl
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import psutil

# Also the size of the pipes: a burst waits in them, and is read with few calls.
_READ_BYTES = 1 << 20
_STDERR_BYTES = 16_384
_REST_SECONDS = 0.03  # the pipe holds more than tshark writes meanwhile
_STOP_SECONDS = 10.0
_TELL_SECONDS = 1.0
# A line that never ends is not tshark's.
_MAX_LINE_BYTES = 1 << 20


class Child(Protocol):
    """A process: `subprocess.Popen`, or one that the launcher started."""

    pid: int

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        ...

    def wait(self) -> int:
        """Wait for its end."""
        ...

    def send_signal(self, sig: int) -> None:
        """Send it a signal."""
        ...

    def kill(self) -> None:
        """End it now."""
        ...


Starter = Callable[[Sequence[str], int, int], Child]
"""Starts a command whose standard output and standard error are these descriptors."""


class ProcessPipe:
    """`first | second`, or `second` alone reading a file; lines of the last one's output are read here.

    Args:
        commands: one or two argument lists.
        environment: the children's environment.
        starter: starts the first one, if somebody else must do that.
        hold_back: the last one is not started before `start_last`.

    Raises (on construction):
        OSError: one cannot be started.
    """

    def __init__(
        self,
        commands: Sequence[Sequence[str]],
        environment: dict[str, str],
        *,
        starter: Starter | None = None,
        hold_back: bool = False,
    ) -> None:
        self._selector = selectors.EpollSelector()
        self._said = [b""] * len(commands)
        self._rest = b""
        self._rest_until = 0.0
        self.at_end = False
        self._killed = False
        self._told = float("-inf")
        self._environment = environment
        self._processes: list[Child] = []
        self._input = os.open(os.devnull, os.O_RDONLY)
        self._streams = {self._input}
        *others, last = commands
        self._last: Sequence[str] | None = last
        try:
            for command in others:
                self._input = self._start(command, starter or self._start_here)
            if not hold_back:
                self.start_last()
        except OSError:
            self.kill()
            raise

    def start_last(self) -> None:
        """Start the last child, unless it was; what the others wrote until now waits in pipes and kernel.

        Raises:
            OSError: it cannot be started.
        """
        last, self._last = self._last, None
        if last is not None:
            self._watch(self._start(last, self._start_here), None)

    def _start(self, command: Sequence[str], starter: Starter) -> int:
        """Start a child that reads what the one before it writes; gives where its output can be read."""
        with contextlib.ExitStack() as theirs:  # or the reader would never see the writer's end
            theirs.callback(self._close, self._input)
            output, its_output = self._pipe(theirs)
            words, its_words = self._pipe(theirs)
            fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, _READ_BYTES)
            self._processes.append(starter(command, its_output, its_words))
        self._watch(words, len(self._processes) - 1)
        return output

    def _pipe(self, theirs: contextlib.ExitStack) -> tuple[int, int]:
        reader, writer = os.pipe()
        self._streams.add(reader)
        theirs.callback(os.close, writer)
        return reader, writer

    def _close(self, stream: int) -> None:
        self._streams.remove(stream)
        os.close(stream)

    def _watch(self, stream: int, position: int | None) -> None:
        os.set_blocking(stream, False)
        self._selector.register(stream, selectors.EVENT_READ, position)

    def _start_here(self, command: Sequence[str], output: int, words: int) -> Child:
        return subprocess.Popen(
            command,
            stdin=self._input,
            stdout=output,
            stderr=words,
            env=self._environment,
            # Ctrl-C in a terminal must reach us alone: the children drain when we tell them to.
            start_new_session=True,
        )

    def said(self, position: int) -> list[str]:
        """The last lines that the child wrote to stderr."""
        return self._said[position].decode("utf-8", "replace").splitlines()

    def fileno(self) -> int:
        """A descriptor that is readable when there is something to read."""
        return self._selector.fileno()

    def resident_bytes(self, position: int) -> int:
        """The memory that the child occupies; 0 if it has ended, or cannot be seen now."""
        try:
            return int(psutil.Process(self._processes[position].pid).memory_info().rss)
        except (psutil.Error, OSError):
            return 0

    def exit_code(self, position: int) -> int | None:
        """The child's exit code, None while it runs or if it was not started."""
        return self._processes[position].poll() if position < len(self._processes) else None

    @property
    def ended(self) -> int | None:
        """The position of the first child that is no longer running, None while all run."""
        return next((at for at, process in enumerate(self._processes) if process.poll() is not None), None)

    def read(self, timeout_seconds: float) -> list[str]:
        """The complete lines that the last child has written, waiting at most so long for the first."""
        # Each read costs as much as many packets: what comes without end is read in large pieces.
        time.sleep(max(0.0, self._rest_until - time.monotonic()))
        lines: list[str] = []
        for key, _ in self._selector.select(timeout_seconds):
            try:
                chunk = os.read(key.fd, _READ_BYTES)
            except BlockingIOError:
                continue
            if not chunk:
                self._selector.unregister(key.fileobj)
            if key.data is None:
                self.at_end = self.at_end or not chunk
                self._rest_until = time.monotonic() + _REST_SECONDS
                lines += self._lines(chunk)
            else:
                self._said[key.data] = (self._said[key.data] + chunk)[-_STDERR_BYTES:]
        return lines

    def _lines(self, chunk: bytes) -> list[str]:
        whole, newline, self._rest = (self._rest + chunk).rpartition(b"\n")
        if len(self._rest) > _MAX_LINE_BYTES:
            self._rest = b""
        # One conversion for all of them: this is where a flood's packets arrive. As bytes, because a single
        # ellipsis, with which tshark marks what it cuts, would double the size of all.
        return whole.decode("latin-1").split("\n") if newline else []

    def tell(self) -> None:
        """Ask the first child to end; the others end when they have read what it wrote."""
        self._told = time.monotonic()
        if self._processes[0].poll() is None:
            self._processes[0].send_signal(signal.SIGTERM)

    def stop(self) -> list[str]:
        """Ask the first child to end, and read what the last one still writes until it ends too."""
        deadline = time.monotonic() + _STOP_SECONDS
        lines: list[str] = []
        with contextlib.suppress(OSError):
            self.start_last()
        # Until every pipe is closed: the output that we want, and the last words of both.
        while self._selector.get_map() and time.monotonic() < deadline:
            # More than once: dumpcap has been seen to miss one on an idle interface.
            if time.monotonic() - self._told > _TELL_SECONDS:
                self.tell()
            lines += self.read(_TELL_SECONDS)
        self.kill()
        return lines

    def kill(self) -> None:
        """End every child now and collect them; a second call does nothing."""
        if self._killed:
            return
        self._killed, self._last = True, None
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        self._selector.close()
        for stream in tuple(self._streams):
            self._close(stream)
