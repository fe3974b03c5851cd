"""A day of mixed traffic as a capture file, read at full speed: visitors, scanners, floods, noise."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator
from heapq import merge
from ipaddress import IPv4Address, ip_network
from itertools import count as numbers
from pathlib import Path

import psutil

from portsentry_py.capture import find_tools
from portsentry_py.replay import Replay
from portsentry_py.settings import Settings
from tests.bench.captures import TARGET, strangers, visitors
from tests.bench.frames import EPOCH_US, FILE_HEAD, SYN, Link, record, segment
from tests.soak.quarters import QUARTERS, Quarter

Timed = Iterator[tuple[int, bytes]]

_HOUR_US = 3_600_000_000
_SECOND_US = 1_000_000
_TARGET = int(IPv4Address(TARGET))
_VISITORS_PER_SECOND = 32
_NOISE_PER_SECOND = 2
_SCANS_PER_HOUR, _SCANNED_PORTS, _SCAN_GAP_US = 8, 200, 50_000
_SCANNERS = int(IPv4Address("198.51.0.0"))
_SLOW, _SLOW_GAP_US = 20, 600 * _SECOND_US
_SLOW_SCANNERS = int(IPv4Address("192.0.2.0"))
_FLOOD_EVERY_US, _FLOOD_SECONDS, _FLOOD_PER_SECOND = 3 * _HOUR_US, 60, 2_000
_SAMPLES = 25  # of memory, in each quarter


def day(hours: int) -> Timed:
    """Give so many hours of traffic, in the order of time; every three hours are alike."""
    end = hours * _HOUR_US
    return merge(
        _evenly(visitors(hours * 3_600 * _VISITORS_PER_SECOND, Link()), _VISITORS_PER_SECOND),
        _evenly(strangers(hours * 3_600 * _NOISE_PER_SECOND, Link()), _NOISE_PER_SECOND),
        _scans(end),
        *(_slowly(_SLOW_SCANNERS + number, number * _SECOND_US, end) for number in range(_SLOW)),
        _floods(end),
    )


def _evenly(frames: Iterator[bytes], per_second: int, begin_us: int = 0) -> Timed:
    for number, frame in enumerate(frames):
        yield begin_us + number * _SECOND_US // per_second, frame


def _scans(end: int) -> Timed:
    for number, begin in enumerate(range(0, end, _HOUR_US // _SCANS_PER_HOUR)):
        for place in range(_SCANNED_PORTS):
            ends = (_SCANNERS + number, 40_000, _TARGET, 1_024 + place)
            yield begin + place * _SCAN_GAP_US, segment(Link(), ends, SYN, place)


def _slowly(source: int, begin: int, end: int) -> Timed:
    for number, time in enumerate(range(begin, end, _SLOW_GAP_US)):
        yield time, segment(Link(), (source, 50_000 + number, _TARGET, 2_000 + number), SYN, number)


def _floods(end: int) -> Timed:
    packets = _FLOOD_SECONDS * _FLOOD_PER_SECOND
    for number, begin in zip(numbers(), range(_HOUR_US, end, _FLOOD_EVERY_US), strict=False):
        frames = strangers((number + 1) * packets, Link(), number * packets)
        yield from _evenly(frames, _FLOOD_PER_SECOND, begin)


class Sampler:
    """Told of the replay's progress, it looks at memory now and then, and at the cost of each quarter."""

    def __init__(self, packets: int) -> None:
        self._packets = packets
        self._us = psutil.Process()
        self._next = self._step = max(1, packets // (QUARTERS * _SAMPLES))
        self._begun_at, self._begun_cpu = 0, self._cpu()
        self._peaks: defaultdict[str, int] = defaultdict(int)
        self.quarters: list[Quarter] = []

    def __call__(self, _path: Path, packets: int) -> None:
        """The replay has read so many."""
        if packets < self._next:
            return
        self._next += self._step
        self._peaks["python"] = max(self._peaks["python"], self._us.memory_full_info().uss)
        for child in self._us.children():
            self._peaks["tshark"] = max(self._peaks["tshark"], child.memory_full_info().uss)
        if packets * QUARTERS >= self._packets * (len(self.quarters) + 1):
            cpu = self._cpu()
            peaks = dict(self._peaks)
            self.quarters.append(Quarter(packets - self._begun_at, cpu - self._begun_cpu, peaks))
            self._begun_at, self._begun_cpu = packets, cpu
            self._peaks.clear()

    def _cpu(self) -> float:
        """Of this process and of the tshark that it reads from."""
        times = [process.cpu_times() for process in (self._us, *self._us.children())]
        return sum(each.user + each.system for each in times)


def measure(hours: int) -> tuple[list[Quarter], dict[str, int]]:
    """Make the capture, read it, and give the quarters with the counts of the last status line."""
    with tempfile.TemporaryDirectory(prefix="portsentry-py-") as name:
        path, packets = Path(name) / "day.pcap", 0
        with path.open("wb", buffering=1 << 20) as file:
            file.write(FILE_HEAD)
            for time, frame in day(hours):
                file.write(record(frame, EPOCH_US + time))
                packets += 1
        sampler = Sampler(packets)
        replay = Replay(Settings(), (ip_network(TARGET),), find_tools(), sampler)
        verdicts: defaultdict[str, int] = defaultdict(int)
        for event in replay.events([path]):
            verdicts[f"{event.event_type} {getattr(event, 'technique', '')}".strip()] += 1
        if replay.summary.packets != packets:
            raise AssertionError(f"{packets} packets were written and {replay.summary.packets} read")
        return sampler.quarters, dict(verdicts)
