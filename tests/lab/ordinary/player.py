"""Plays the recordings on the switch."""

import threading
import time
from pathlib import Path

from tests.lab.ordinary.day import Day
from tests.lab.ordinary.network import Network
from tests.support.namespaces import IFACE

_PCAP_HEAD_BYTES = 24


class Player:
    def __init__(self, network: Network, day: Day, recording: Path) -> None:
        self._town = network
        self._day = day
        self._tape = recording
        self.played = 0
        self.failed = ""
        self._thread = threading.Thread(target=self._play, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wait(self, seconds: float) -> None:
        self._thread.join(seconds)
        if self._thread.is_alive():
            self.failed = "tcpreplay did not come to an end"

    def _play(self) -> None:
        # The first frame is sent at once, whatever its time.
        first = _first_moment(self._tape)
        time.sleep(max(0.0, self._day.start + first - time.time()))
        # Its usual timer keeps a core busy between two packets.
        words = ("tcpreplay", "--quiet", "--timer=nano", "-i", IFACE, self._tape)
        done = self._town.recording.run(*words, seconds=self._day.seconds(30) + 120)
        for line in done.stdout.splitlines():
            name, _, count = line.partition(":")
            if name.strip() == "Successful packets":
                self.played = int(count)
        if done.returncode != 0:
            self.failed = done.stderr


def _first_moment(recording: Path) -> float:
    with recording.open("rb") as file:
        file.seek(_PCAP_HEAD_BYTES)
        return float(int.from_bytes(file.read(4), "little"))
