"""A pipeline of two child processes, dumpcap into tshark, watched so that none outlives us or dies unseen."""

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence

# Also the size of the pipes: a burst waits in them, and is read with few calls.
_READ_BYTES = 1 << 20
_STDERR_BYTES = 16_384
_REST_SECONDS = 0.03  # the pipe holds more than tshark writes meanwhile
_STOP_SECONDS = 10.0
_TELL_SECONDS = 1.0
# A line that never ends is not tshark's.
_MAX_LINE_BYTES = 1 << 20
# Kills the processes whose numbers it was last told when its standard input closes, as it does when we die,
# SIGKILL included. An empty last line means that all is well.
_GUARD = 'pids=; while read -r line; do pids=$line; done; [ -z "$pids" ] || kill -KILL $pids'


class Pipeline:
    """`first | second`, or `second` alone reading a file; lines of the last one's output are read here.

    Args:
        commands: one or two argument lists.
        environment: the children's environment.
        hold_back: the last one is not started before `start_last`.
    """

    def __init__(
        self, commands: Sequence[Sequence[str]], environment: dict[str, str], *, hold_back: bool = False
    ) -> None:
        self._selector = selectors.EpollSelector()
        self._said = [b""] * len(commands)
        self._rest = b""
        self._rest_until = 0.0
        self.at_end = False
        self._killed = False
        self._told = float("-inf")
        # Only the guard's input is a pipe of ours; all descriptors of ours are closed in children.
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD], stdin=subprocess.PIPE, start_new_session=True, env=environment
        )
        self._environment = environment
        self._processes: list[subprocess.Popen[bytes]] = []
        *others, last = commands
        self._last: Sequence[str] | None = last
        try:
            for command in others:
                self._start(command, environment, last=False)
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
            self._start(last, self._environment, last=True)

    def _start(self, command: Sequence[str], environment: dict[str, str], *, last: bool) -> None:
        before = self._processes[-1].stdout if self._processes else None
        process = subprocess.Popen(
            command,
            stdin=before or subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pipesize=_READ_BYTES,
            env=environment,
            # Ctrl-C in a terminal must reach us alone: the children drain when we tell them to.
            start_new_session=True,
        )
        self._processes.append(process)
        if before is not None:
            before.close()  # or the reader would never see the writer's end
        self._tell_guard(" ".join(str(child.pid) for child in self._processes))
        assert process.stderr is not None  # noqa: S101 - a pipe was asked for
        os.set_blocking(process.stderr.fileno(), False)
        self._selector.register(process.stderr, selectors.EVENT_READ, len(self._processes) - 1)
        if last:
            assert process.stdout is not None  # noqa: S101 - a pipe was asked for
            os.set_blocking(process.stdout.fileno(), False)
            self._selector.register(process.stdout, selectors.EVENT_READ, None)

    def _tell_guard(self, pids: str) -> None:
        assert self._guard.stdin is not None  # noqa: S101 - a pipe was asked for
        try:
            self._guard.stdin.write(pids.encode() + b"\n")
            self._guard.stdin.flush()
        except OSError:
            return  # somebody killed the guard; the children are still watched from here

    def said(self, position: int) -> list[str]:
        """The last lines that the child wrote to stderr."""
        return self._said[position].decode("utf-8", "replace").splitlines()

    def pid(self, position: int) -> int:
        """The child's process number."""
        return self._processes[position].pid

    def fileno(self) -> int:
        """A descriptor that is readable when there is something to read."""
        return self._selector.fileno()

    def exit_code(self, position: int) -> int | None:
        """The child's exit code, None while it runs."""
        return self._processes[position].poll()

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
        self._killed = True
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        self._selector.close()
        self._tell_guard("")
        self._guard.communicate()
