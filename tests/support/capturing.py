"""A dumpcap of the tests' own, beside the sensor's."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.namespaces import IFACE, Host
from tests.support.needs import require_tool
from tests.support.running import ran
from tests.support.waiting import wait_for

# A frame of a type that is free for experiments (IEEE 802.3): no filter for IP lets it through.
_MARK = """
import socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as link:
    link.bind((sys.argv[1], 0))
    link.send(bytes(12) + bytes.fromhex("88b5" + sys.argv[2]))
"""


class Capture:
    """A running capture on a host, with more options of dumpcap."""

    def __init__(self, host: Host, path: Path, *options: str, iface: str = IFACE) -> None:
        self.path = path
        self._host, self._iface = host, iface
        self._said = path.with_suffix(".stderr")
        with self._said.open("w") as stderr:
            words = (require_tool("dumpcap"), "-q", "-i", iface, *options, "-w")
            self._process = host.start(*words, path, stderr=stderr)
        wait_for(lambda: "File: " in self._said.read_text(), "a capture", evidence=self._said.read_text)

    def settle(self) -> None:
        """Wait until the file holds all that was on the wire before; not for a capture with a filter."""
        mark = os.urandom(46)
        done = self._host.run(sys.executable, "-c", _MARK, self._iface, mark.hex())
        assert done.returncode == 0, done.stderr
        wait_for(lambda: mark in self.path.read_bytes(), "the mark in the capture")

    def stop(self) -> str:
        """End it; returns what it said."""
        self._process.terminate()
        self._process.wait(60)
        return self._said.read_text()


@contextmanager
def capturing(host: Host, path: Path, *options: str, iface: str = IFACE) -> Iterator[Capture]:
    capture = Capture(host, path, *options, iface=iface)
    try:
        yield capture
    finally:
        capture.stop()


def packets_in(path: Path) -> int:
    """How many packets a capture holds; it may still be written."""
    return int(ran(require_tool("capinfos"), "-M", "-T", "-r", "-c", path).stdout.split("\t")[-1])
