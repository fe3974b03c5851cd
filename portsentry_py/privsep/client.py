"""The client of the launcher: requests dumpcaps and packet sockets from it."""

import contextlib
import errno
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence

from portsentry_py.errors import PermissionDenied, RightsLost
from portsentry_py.privsep import launcher, sandbox

# A busy machine is slow to start the launcher, and one that holds the right to capture is never replaced.
_ANSWER_SECONDS = 10.0
_END_SECONDS = 2.0


class Launched:
    """A process that the launcher started, watched and ended through its pidfd.

    It is no child of ours, so its exit code is unknown: `poll` and `wait` return 0 once it has ended.
    """

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid = pid
        self._pidfd = pidfd
        self._ended = False

    def poll(self) -> int | None:
        """Return 0 if it has ended, None while it runs."""
        return self._wait(0)

    def wait(self) -> int:
        """Wait until it has ended."""
        self._wait(None)
        return 0

    def _wait(self, milliseconds: int | None) -> int | None:
        if not self._ended:
            ready = select.poll()
            ready.register(self._pidfd, select.POLLIN)
            if not ready.poll(milliseconds):
                return None
            self._ended = True
            os.close(self._pidfd)
        return 0

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it has ended since
                signal.pidfd_send_signal(self._pidfd, number)

    def kill(self) -> None:
        """Send SIGKILL, unless it has ended."""
        self.send_signal(signal.SIGKILL)


class LauncherClient:
    """Runs the launcher, and starts another one if it has ended.

    Args:
        dumpcap: the program that it may start.

    Raises (on each request):
        OSError: the request failed.
        RightsLost: the launcher has ended, and this process has no rights left to start another one.
    """

    def __init__(self, dumpcap: str) -> None:
        self._dumpcap = dumpcap
        self._replaceable = True
        self._lock = threading.Lock()  # a question and its answer belong together
        self._start()

    def drop_privileges(self) -> None:
        """Give up every capability of this process for good, unless it is root; only the launcher keeps them.

        Call it before any thread starts: capabilities belong to a thread.

        Raises:
            PermissionDenied: the kernel refuses.
        """
        try:
            if os.geteuid() == 0 or not sandbox.has_capabilities():
                return
            sandbox.drop_capabilities()
        except OSError as error:
            reason = f"cannot give up capabilities ({error.strerror})"
            raise PermissionDenied(f"{reason}; start portsentry-py without them, or as root.") from error
        self._replaceable = False

    def _start(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(_ANSWER_SECONDS)
        with theirs:
            command = [sys.executable, "-I", "-S", launcher.__file__, self._dumpcap, str(theirs.fileno())]
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], start_new_session=True
            )

    @property
    def pid(self) -> int:
        """The launcher's process number."""
        return self._process.pid

    def capture(self, command: Sequence[str], stdout: int, stderr: int) -> Launched:
        """Start dumpcap with this command line, which must write to standard output."""
        program, *options = command
        if program != self._dumpcap or options[-2:] != ["-w", "-"]:
            raise ValueError(command)
        answer, descriptor = self._request({"do": "capture", "options": options[:-2]}, stdout, stderr)
        return Launched(int(answer["pid"]), descriptor)

    def counter(self) -> socket.socket:
        """Open a packet socket that is not bound yet."""
        _, descriptor = self._request({"do": "count"})
        return socket.socket(fileno=descriptor)

    def _request(self, request: dict[str, object], *descriptors: int) -> tuple[dict[str, int | str], int]:
        with self._lock:
            answer = self._answer(request, descriptors)
        if answer is None:
            raise OSError(errno.ESRCH, "the launcher has ended", launcher.__file__)
        fields, given = answer
        if "errno" in fields:
            raise OSError(fields["errno"], os.strerror(int(fields["errno"])), fields["what"])
        if not given:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), launcher.__file__)
        return fields, given[0]

    def _answer(
        self, request: dict[str, object], descriptors: Sequence[int]
    ) -> tuple[dict[str, int | str], list[int]] | None:
        """The answer, from another launcher if the running one has ended."""
        answer = self._exchange(request, descriptors)
        if answer is None:
            if not self._replaceable:
                raise RightsLost("the launcher has ended, and with it the right to capture; restart portsentry-py.")
            self._start()
            answer = self._exchange(request, descriptors)
        return answer

    def _exchange(
        self, request: dict[str, object], descriptors: Sequence[int]
    ) -> tuple[dict[str, int | str], list[int]] | None:
        """Send a request and receive the answer; None if the launcher has ended, or is ended now."""
        if self._socket.fileno() < 0:
            return None  # closed when the launcher ended
        with contextlib.suppress(ConnectionError, TimeoutError):
            socket.send_fds(self._socket, [json.dumps(request).encode()], descriptors)
            message, given, _, _ = socket.recv_fds(self._socket, launcher.MAX_MESSAGE, 1)
            if message:
                return json.loads(message), given
        # A late answer would pass for the answer to the next request.
        self._process.kill()  # it may be stopped
        self.close()
        return None

    def close(self) -> None:
        """End the launcher, and with it every dumpcap."""
        self._socket.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:  # it is stopped, or hangs
            self._process.kill()
            self._process.wait()
