"""Keeps the right to capture, so that the process that reads packets need not: `launcher.py DUMPCAP SOCKET`.

It does two things when it is asked through its socket: start dumpcap, with arguments that it has checked, and
open a packet socket. It reads no packet and no file. When whoever asks has ended, it ends every dumpcap.

A request is a JSON object with the descriptors that it needs, an answer likewise:

    {"do": "capture", "options": [...]} + stdout, stderr   ->   {"pid": 1234} + pidfd
    {"do": "count"}                                        ->   {} + packet socket
    anything else, or what fails                           ->   {"errno": 22, "what": "..."}

Standard library only: it is run as a script, before any other code.
"""

import contextlib
import ctypes
import errno
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys

MAX_MESSAGE = 200_000
_PR_SET_PDEATHSIG = 1
# What dumpcap may be told: numbers, an interface and a filter. It could open files and connect to others.
_NUMBER = re.compile(r"[0-9]{1,9}")
_OPTIONS = {
    "-s": _NUMBER,
    "-B": _NUMBER,
    "-C": _NUMBER,
    "-i": re.compile(r"(?!-|TCP@)[^/\s]{1,255}"),
    "-f": re.compile(r"[ -~]*"),
}
_SWITCHES = {"-q"}
_DESCRIPTORS_FOR_DUMPCAP = 2
_LONGEST_REASON = 200  # an answer that no socket takes would be our end
# Whoever asks decides when it is over: a signal to all, from systemd say, is for them.
_OURS_TO_IGNORE = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Launcher:
    """Answers one asker.

    Args:
        dumpcap: the only program that it starts.
        asker: the other end of its socket.
    """

    def __init__(self, dumpcap: str, asker: socket.socket) -> None:
        self._dumpcap = dumpcap
        self._asker = asker
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def serve(self) -> None:
        """Answer until the asker has ended."""
        ready = select.poll()
        ready.register(self._asker, select.POLLIN)
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
        """Do what is asked for; None when nobody asks any more, the pidfd if a dumpcap was started."""
        message, given = b"", list[int]()
        with contextlib.suppress(ConnectionError):
            message, given, _, _ = socket.recv_fds(self._asker, MAX_MESSAGE, _DESCRIPTORS_FOR_DUMPCAP)
        if not message:
            return None
        pidfd = 0
        try:
            request = json.loads(message)
            if request["do"] == "count":
                # Bound to no protocol: it hears nothing before it is told what.
                with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, 0) as counter:
                    self._say({}, counter.fileno())
            else:
                process, pidfd = self._capture(request["options"], given)
                self._running[pidfd] = process
                self._say({"pid": process.pid}, pidfd)
        except OSError as error:
            self._say({"errno": error.errno, "what": str(error.filename or "")})
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            self._say({"errno": errno.EINVAL, "what": str(error)[:_LONGEST_REASON]})
        finally:
            for descriptor in given:
                os.close(descriptor)
        return pidfd

    def _capture(self, options: list[str], given: list[int]) -> tuple["subprocess.Popen[bytes]", int]:
        check(options)
        stdout, stderr = given
        process = subprocess.Popen(
            [self._dumpcap, *options, "-w", "-"],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            cwd="/",  # what is no interface's name, dumpcap takes for a pipe's
            start_new_session=True,
            preexec_fn=_before_dumpcap,  # noqa: PLW1509 - there is one thread here
        )
        return process, os.pidfd_open(process.pid)

    def _say(self, answer: dict[str, object], *descriptors: int) -> None:
        with contextlib.suppress(ConnectionError):  # whoever has ended is noticed at the next look
            socket.send_fds(self._asker, [json.dumps(answer).encode()], descriptors)


def check(options: list[str]) -> None:
    """Hold dumpcap's options against what it may be told.

    Raises:
        ValueError: there is another.
    """
    words = iter(options)
    for word in words:
        if word in _SWITCHES:
            continue
        allowed = _OPTIONS.get(word)
        if allowed is None or not allowed.fullmatch(next(words, "\n")):
            raise ValueError(f"dumpcap is not told {word}")


def _before_dumpcap() -> None:
    for number in _OURS_TO_IGNORE:  # what is ignored is inherited
        signal.signal(number, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _main(dumpcap: str, descriptor: str) -> None:
    for number in _OURS_TO_IGNORE:
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(fileno=int(descriptor)) as asker:
        Launcher(dumpcap, asker).serve()


if __name__ == "__main__":
    _main(*sys.argv[1:])
