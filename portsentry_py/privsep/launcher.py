"""Keeps the right to capture, so that the process that parses packets need not: `launcher.py DUMPCAP SOCKET`.

It starts dumpcap with checked options and opens packet sockets; it reads no packet. Standard library only.
"""

import contextlib
import ctypes
import errno
import functools
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time

MAX_MESSAGE = 200_000
_PR_SET_PDEATHSIG = 1
# dumpcap can also write files and connect to other hosts: only numbers, an interface and a filter may pass.
_NUMBER = re.compile(r"[0-9]{1,9}")
_OPTIONS = {
    "-s": _NUMBER,
    "-B": _NUMBER,
    "-C": _NUMBER,
    "-i": re.compile(r"(?!-|TCP@)[^/\s]{1,255}"),
    "-y": re.compile(r"LINUX_SLL2"),
    "-f": re.compile(r"[ -~]*"),
}
_SWITCHES = {"-q"}
_DESCRIPTORS_FOR_DUMPCAP = 2
# Eight workers, twice while a fresh capture takes over, and some that are about to end.
_MAX_DUMPCAPS = 32
# Two for each interface, whenever the capture starts.
_MAX_COUNTERS_A_MINUTE = 2000
_LONGEST_REASON = 200  # the socket would refuse a longer answer
# A signal to the whole service is meant for the client; the launcher ends when the client closes its socket.
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE)


class Launcher:
    """Answers the requests of one client.

    Requests and answers are JSON objects, some with descriptors:

        {"do": "capture", "options": [...]} + stdout, stderr   ->   {"pid": 1234} + pidfd
        {"do": "count"}                                        ->   {} + packet socket
        anything else, or a failure                            ->   {"errno": 22, "what": "..."}

    Args:
        dumpcap: the only program that it starts.
        requests: a socket of the type SOCK_SEQPACKET.
    """

    def __init__(self, dumpcap: str, requests: socket.socket) -> None:
        self._dumpcap = dumpcap
        self._requests = requests
        self._minute = self._counters = 0
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def serve(self) -> None:
        """Answer until the client closes its socket, then end every dumpcap."""
        ready = select.poll()
        ready.register(self._requests, select.POLLIN)
        try:
            while True:
                for descriptor, _ in ready.poll():
                    ended = self._running.pop(descriptor, None)
                    if ended is not None:
                        ended.wait()
                        ready.unregister(descriptor)
                        os.close(descriptor)
                    elif (pidfd := self._answer()) is None:
                        return
                    elif pidfd:
                        ready.register(pidfd, select.POLLIN)
        finally:
            for process in self._running.values():
                process.kill()
                process.wait()

    def _answer(self) -> int | None:
        """Serve one request.

        Returns:
            The pidfd of the dumpcap that was started, 0 for none, None when the client has gone.
        """
        message, given = b"", list[int]()
        with contextlib.suppress(ConnectionError):
            message, given, _, _ = socket.recv_fds(self._requests, MAX_MESSAGE, _DESCRIPTORS_FOR_DUMPCAP)
        if not message:
            return None
        pidfd = 0
        try:
            request = json.loads(message)
            if request["do"] == "count":
                self._note_counter()
                # Protocol 0: it receives nothing until the client binds it.
                with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, 0) as counter:
                    self._reply({}, counter.fileno())
            elif request["do"] == "capture":
                process, pidfd = self._capture(request["options"], given)
                self._running[pidfd] = process
                self._reply({"pid": process.pid}, pidfd)
            else:
                self._reply({"errno": errno.EINVAL, "what": "no such request"})
        except OSError as error:
            self._reply({"errno": error.errno, "what": str(error.filename or "")})
        except subprocess.SubprocessError as error:
            self._reply({"errno": errno.ECANCELED, "what": str(error)})
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            self._reply({"errno": errno.EINVAL, "what": str(error)[:_LONGEST_REASON]})
        finally:
            for descriptor in given:
                os.close(descriptor)
        return pidfd

    def _note_counter(self) -> None:
        """Refuse a packet socket beyond so many a minute: who has taken over the client can keep all that it gets."""
        minute = int(time.monotonic() // 60)
        self._counters = self._counters + 1 if minute == self._minute else 1
        self._minute = minute
        if self._counters > _MAX_COUNTERS_A_MINUTE:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), "packet socket")

    def _capture(self, options: list[str], given: list[int]) -> tuple["subprocess.Popen[bytes]", int]:
        check_options(options)
        if len(self._running) >= _MAX_DUMPCAPS:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), self._dumpcap)
        stdout, stderr = given
        process = subprocess.Popen(
            [self._dumpcap, *options, "-w", "-"],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env={**os.environ, "HOME": "/nonexistent"},  # nothing of a user is read
            cwd="/",  # dumpcap takes a name that is no interface for that of a pipe
            start_new_session=True,
            preexec_fn=functools.partial(_before_dumpcap, os.getpid()),  # noqa: PLW1509 - we have one thread
        )
        return process, os.pidfd_open(process.pid)

    def _reply(self, answer: dict[str, object], *descriptors: int) -> None:
        with contextlib.suppress(ConnectionError):  # a client that has gone is noticed at the next poll
            socket.send_fds(self._requests, [json.dumps(answer).encode()], descriptors)


def check_options(options: list[str]) -> None:
    """Compare dumpcap's options with those that are allowed.

    Raises:
        ValueError: one is not.
    """
    words = iter(options)
    for word in words:
        if word in _SWITCHES:
            continue
        allowed = _OPTIONS.get(word)
        if allowed is None or not allowed.fullmatch(next(words, "\n")):
            raise ValueError(f"dumpcap may not get the option {word}")


def _before_dumpcap(launcher: int) -> None:
    """Runs in the child; what it raises is a SubprocessError in the launcher."""
    _reset_signals()
    if ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError("dumpcap would outlive the launcher")
    if os.getppid() != launcher:  # it ended before the kernel knew that it shall end dumpcap too
        os._exit(1)


def _reset_signals() -> None:
    """Ignored and blocked signals are inherited, from nohup for example."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _main(dumpcap: str, descriptor: str) -> None:
    _reset_signals()
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(fileno=int(descriptor)) as requests:
        Launcher(dumpcap, requests).serve()


if __name__ == "__main__":
    _main(*sys.argv[1:])
