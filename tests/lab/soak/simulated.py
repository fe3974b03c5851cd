"""A day of mixed traffic for the running sensor, at full speed: visitors, scanners, floods, noise."""

import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from heapq import merge
from ipaddress import IPv4Address
from itertools import count as numbers
from pathlib import Path
from typing import Any

from tests.lab.bench import memory
from tests.lab.soak import stream
from tests.lab.soak.quarters import QUARTERS, Quarter
from tests.lab.support.cost import metered, spent
from tests.support import pcap
from tests.support.frames import SYN, Link, segment
from tests.support.waiting import wait_for
from tests.support.workloads import TARGET, strangers, visitors

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
_PATIENCE_SECONDS = 120.0
_LOOK_SECONDS = 0.05


def day(hours: int) -> Timed:
    """So many hours of traffic, in the order of time; every three hours are alike."""
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
    for number, at in enumerate(range(begin, end, _SLOW_GAP_US)):
        yield at, segment(Link(), (source, 50_000 + number, _TARGET, 2_000 + number), SYN, number)


def _floods(end: int) -> Timed:
    packets = _FLOOD_SECONDS * _FLOOD_PER_SECOND
    for number, begin in zip(numbers(), range(_HOUR_US, end, _FLOOD_EVERY_US), strict=False):
        frames = strangers((number + 1) * packets, Link(), number * packets)
        yield from _evenly(frames, _FLOOD_PER_SECOND, begin)


def _write(hours: int, path: Path) -> int:
    """Write the capture, dated from now on; returns the number of its packets."""
    begin_us, packets = time.time_ns() // 1000, 0

    def dated() -> Timed:
        nonlocal packets
        for time_us, frame in day(hours):
            packets += 1
            yield begin_us + time_us, frame

    pcap.write(path, dated())
    return packets


def measure(hours: int) -> tuple[list[Quarter], dict[str, Any], dict[str, int]]:
    """Let the sensor have such a time at once; gives the quarters, the last status and the lines by kind.

    The packets are dated from now on: the sensor's own clock, which is behind them, then changes nothing.
    """
    with tempfile.TemporaryDirectory(prefix="portsentry-py-") as name:
        folder = Path(name)
        packets = _write(hours, folder / "day.pcap")
        progress = folder / "progress"
        with memory.sensor(folder, [stream.__name__, folder / "day.pcap"]) as process:
            evidence = (folder / "stderr").read_text
            wait_for(progress.exists, "the first packets", evidence=evidence)
            quarters, begun = [], 0
            with metered([process.pid], memory.is_stand_in) as meter:
                cpu = meter.cpu()
                for number in range(1, QUARTERS + 1):
                    meter.weigh_anew()
                    _wait_for(progress, packets * number // QUARTERS)
                    if number == QUARTERS:
                        meter.wait_until_quiet(_PATIENCE_SECONDS, 1.0)
                    now, before, cpu = stream.through(progress)[1], cpu, meter.cpu()
                    used = sum(spent(before, cpu).values())
                    quarters.append(Quarter(now - begun, used, dict(meter.peak_of)))
                    begun = now
            process.terminate()
            process.wait(_PATIENCE_SECONDS)
            lines = [json.loads(line) for line in (folder / "log").read_text().splitlines()]
        kinds = Counter(f"{line['event_type']} {line.get('technique', '')}".strip() for line in lines)
        if lines[-1]["packets"] != packets:
            raise AssertionError(f"{packets} packets were sent and {lines[-1]['packets']} came\n{evidence()}")
        return quarters, lines[-1], dict(kinds)


def _wait_for(progress: Path, packets: int) -> None:
    before, end = 0, time.monotonic() + _PATIENCE_SECONDS
    while (now := stream.through(progress)[1]) < packets:
        if now > before:
            before, end = now, time.monotonic() + _PATIENCE_SECONDS
        if time.monotonic() > end:
            raise AssertionError(f"{now} packets went through, and no more in {_PATIENCE_SECONDS:.0f} s")
        time.sleep(_LOOK_SECONDS)
