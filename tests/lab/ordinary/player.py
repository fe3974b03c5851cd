"""Plays the recordings: what others sent comes from the switch, what the host sent goes out from itself.

One program sends both, in their order: an answer that is there before its question would be another question.
"""

import ctypes
import os
import socket
import threading
import time
from contextlib import ExitStack
from heapq import merge
from pathlib import Path

from tests.lab.ordinary.day import Day
from tests.lab.ordinary.network import Network
from tests.lab.ordinary.recordings import of_host
from tests.support import pcap
from tests.support.namespaces import IFACE, NAMESPACES, Host


class Player:
    """Sends each frame at its moment of the day."""

    def __init__(self, network: Network, day: Day, recording: Path) -> None:
        self._day = day
        self._parts = ((network.recording, recording), (network.host, of_host(recording)))
        self.played = 0
        self.failed = ""
        self._thread = threading.Thread(target=self._play, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wait(self, seconds: float) -> None:
        self._thread.join(seconds)
        if self._thread.is_alive():
            self.failed = "the recordings did not come to an end"

    def _play(self) -> None:
        try:
            with ExitStack() as opened:
                tapes = []
                for sender, tape in self._parts:
                    wire = opened.enter_context(_wire(sender))
                    tapes.append([(moment, wire, frame) for moment, frame in pcap.read(tape.read_bytes())[1]])
                for moment, wire, frame in merge(*tapes, key=lambda one: one[0]):
                    time.sleep(max(0.0, self._day.start + moment - time.time()))
                    wire.send(frame)
                    self.played += 1
        except OSError as error:
            self.failed = str(error)


def _wire(host: Host) -> socket.socket:
    """A socket on the host's interface; only this thread moves into its namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with (NAMESPACES / host.namespace).open("rb") as there:
        if libc.setns(there.fileno(), 0) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    wire.bind((IFACE, 0))
    return wire
