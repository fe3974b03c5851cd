"""Two processes joined by a pipe, `dumpcap | tshark`: what they print, and how they end."""

import contextlib
import fcntl
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Sequence

import psutil

from portsentry_py.capture.commands import environment
from portsentry_py.privsep.client import Launched

# Also the size of the pipes: they hold a burst, and few reads empty them.
_READ_BYTES = 1 << 20
_ERROR_BYTES = 16_384
_STOP_SECONDS = 10.0
_TERMINATE_AGAIN_SECONDS = 1.0
# tshark prints no such line.
_MAX_LINE_BYTES = 1 << 20


Child = subprocess.Popen[bytes] | Launched
Starter = Callable[[Sequence[str], int, int], Child]
"""Starts a command whose standard output and standard error are these descriptors."""


class ProcessPipe:
    """`first | last`, or `last` alone; delivers the lines that the last one prints.

    Args:
        starter: starts the first one instead of us.
        hold_back: do not start the last one before `start_last`.
        line_end: what each line gets at its end.

    Raises (on construction):
        OSError: a process cannot be started.
    """

    def __init__(
        self,
        commands: Sequence[Sequence[str]],
        *,
        starter: Starter | None = None,
        hold_back: bool = False,
        line_end: bytes = b"",
    ) -> None:
        self._selector = selectors.EpollSelector()
        self._errors = [b""] * len(commands)
        self._line_end = line_end
        self._rest = b""
        self.at_end = False
        """Whether the last one has closed its output, and all of it was read."""
        self._killed = False
        self._terminated = float("-inf")
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
        """Start the last process, unless it was started; what the first one wrote waits in the pipe.

        Raises:
            OSError: it cannot be started.
        """
        last, self._last = self._last, None
        if last is not None:
            self._watch(self._start(last, self._start_here), None)

    def _start(self, command: Sequence[str], starter: Starter) -> int:
        """Start a process that reads the output of the one before; returns a descriptor of its own output."""
        with contextlib.ExitStack() as theirs:  # if we kept these open, the reader would never see an end
            theirs.callback(self._close, self._input)
            output, its_output = self._pipe(theirs)
            errors, its_errors = self._pipe(theirs)
            fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, _READ_BYTES)
            self._processes.append(starter(command, its_output, its_errors))
        self._watch(errors, len(self._processes) - 1)
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
        """Read this stream from now on: the errors of the process at a position, or the output (None)."""
        os.set_blocking(stream, False)
        self._selector.register(stream, selectors.EVENT_READ, position)

    def _start_here(self, command: Sequence[str], output: int, errors: int) -> Child:
        return subprocess.Popen(
            command,
            stdin=self._input,
            stdout=output,
            stderr=errors,
            env=environment(),
            # Ctrl-C in a terminal must not reach it: it ends when we say so, after it has printed all.
            start_new_session=True,
        )

    def error_lines(self, position: int) -> list[str]:
        """The last lines that a process wrote to standard error."""
        return self._errors[position].decode("utf-8", "replace").splitlines()

    def resident_bytes(self, position: int) -> int:
        """The memory that a process occupies; 0 if it was not started, has ended, or cannot be seen now."""
        if position >= len(self._processes):
            return 0
        try:
            return int(psutil.Process(self._processes[position].pid).memory_info().rss)
        except (psutil.Error, OSError):
            return 0

    def exit_code(self, position: int) -> int | None:
        """The exit code of a process; None while it runs, or if it was not started."""
        return self._processes[position].poll() if position < len(self._processes) else None

    @property
    def has_ended(self) -> bool:
        """Whether any of the processes has ended."""
        return any(process.poll() is not None for process in self._processes)

    def fileno(self) -> int:
        """A descriptor that is readable when `read` has something to read."""
        return self._selector.fileno()

    def wait(self, timeout_seconds: float) -> None:
        """Wait until there is something to read, or the time is over."""
        self._selector.select(timeout_seconds)

    def read(self) -> list[str]:
        """The complete lines that the last process has printed since the last call. Does not wait."""
        lines: list[str] = []
        for key, _ in () if self._killed else self._selector.select(0):
            chunk = os.read(key.fd, _READ_BYTES)
            if not chunk:
                self._selector.unregister(key.fileobj)
            if key.data is None:
                self.at_end = not chunk
                lines = self._lines(chunk)
            else:
                self._errors[key.data] = (self._errors[key.data] + chunk)[-_ERROR_BYTES:]
        return lines

    def _lines(self, chunk: bytes) -> list[str]:
        whole, newline, self._rest = (self._rest + chunk).rpartition(b"\n")
        if len(self._rest) > _MAX_LINE_BYTES:
            self._rest = b""
        if self._line_end:
            whole = whole.replace(b"\n", self._line_end + b"\n") + self._line_end
        # All lines at once, because a flood comes this way. As Latin-1, because tshark marks a cut with an
        # ellipsis, and one character beyond Latin-1 would double the memory of the whole text.
        return whole.decode("latin-1").split("\n") if newline else []

    def terminate(self) -> None:
        """Send SIGTERM to the first process; the last one ends when it has read all."""
        self._terminated = time.monotonic()
        if self._processes[0].poll() is None:
            self._processes[0].send_signal(signal.SIGTERM)

    def stop(self) -> list[str]:
        """Terminate, and wait for the end, ten seconds at most; returns the lines printed until then."""
        deadline = time.monotonic() + _STOP_SECONDS
        lines: list[str] = []
        with contextlib.suppress(OSError):
            self.start_last()
        # Until every pipe is closed: the output, and the errors of both.
        while self._selector.get_map() and time.monotonic() < deadline:
            # dumpcap sometimes misses the signal on an idle interface.
            if time.monotonic() - self._terminated > _TERMINATE_AGAIN_SECONDS:
                self.terminate()
            self.wait(_TERMINATE_AGAIN_SECONDS)
            lines += self.read()
        self.kill()
        return lines

    def kill(self) -> None:
        """Kill every process and collect it; a second call does nothing."""
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
