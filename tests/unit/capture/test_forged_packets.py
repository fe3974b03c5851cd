"""Packets that somebody forged in our name are counted, and each episode is reported once."""

from collections import Counter
from collections.abc import Sequence

import pytest

from portsentry_py.capture.bpf import PLAIN, FilterHost
from portsentry_py.capture.forged_packets import ForgedPackets
from portsentry_py.capture.kernel_counter import KernelCounter


class PlayedCounter(KernelCounter):
    """A counter that the test moves."""

    def __init__(self) -> None:
        self.counts = Counter[str]()
        self.error: OSError | None = None
        self.is_closed = False

    def watch(self, names: Sequence[str], host: FilterHost = PLAIN) -> None:  # noqa: ARG002 - as in the class
        """Fail, if the test says so."""
        if self.error is not None:
            raise self.error

    def read(self) -> int:
        """All packets until now."""
        return self.counts.total()

    def by_interface(self) -> Counter[str]:
        """The same by interface."""
        return self.counts.copy()

    def close(self) -> None:
        """Remember it."""
        self.is_closed = True


def reports(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return found


def test_each_episode_is_reported_once_some_seconds_after_its_begin(caplog: pytest.LogCaptureFixture) -> None:
    counter = PlayedCounter()
    forged = ForgedPackets(counter)
    forged.tick(0)
    counter.counts["eth0"] += 1
    forged.tick(1)
    counter.counts["eth0"] += 6
    counter.counts["eth1"] += 2
    forged.tick(10)
    assert reports(caplog) == []
    forged.tick(11)
    (report,) = reports(caplog)
    assert report.startswith("9 packets with a source address of ours came in on eth0, eth1; somebody forges us")
    counter.counts["eth0"] += 1000
    for now in range(12, 611):
        forged.tick(now)
    assert reports(caplog) == [], "the episode is not over"
    forged.tick(612)
    counter.counts["eth1"] += 5
    forged.tick(700)
    forged.tick(710)
    (report,) = reports(caplog)
    assert report.startswith("5 packets with a source address of ours came in on eth1; ")
    assert forged.count == 1014
    forged.close()
    assert counter.is_closed


def test_where_nothing_can_be_counted_nothing_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    counter = PlayedCounter()
    counter.error = PermissionError(1, "may not")
    forged = ForgedPackets(counter)
    forged.watch(["eth0"], PLAIN)
    forged.tick(100)
    assert reports(caplog) == []
    assert forged.count == 0
