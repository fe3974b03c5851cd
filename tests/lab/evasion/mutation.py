"""SYN scans whose headers and pauses are changed at random, one scanner for each seed, in simulated time.

The idea is that of the SECRYPT 2023 study of scan detectors: a detector that knows tools by their headers loses them.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from portsentry_py.config.settings import Settings
from portsentry_py.core.packet import SYN
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.events.model import EvidenceEvent
from tests.lab.ordinary.day import seeded
from tests.support.build import HOST, STACK_OPTIONS, US, Sent, icmp_unreachable, rst, tcp, visit, watch

SEEDS = 1000
_PORTS = 40
_SCANNER, _GUEST = "203.0.113.9", "198.51.100.7"
_OPTIONS = (
    bytes.fromhex("020405b4"),
    bytes.fromhex("01030307"),
    bytes.fromhex("04020101"),
    bytes.fromhex("080a0000000100000000") + b"\1\1",
    b"\1\1\1\1",
    bytes.fromhex("1e04abcd"),
)
_LONGEST_PAUSES = (0.0, 0.05, 1.0, 5.0, 30.0, 300.0)


@dataclass(frozen=True)
class Mutant:
    """What was said about one scanner.

    Attributes:
        seed: its number.
        pause: the longest pause between two probes, in seconds.
        verdict: `ban`, `watch`, or empty.
        probes: until the first line.
        seconds: likewise.
    """

    seed: int
    pause: float
    verdict: str
    probes: int = 0
    seconds: float = 0.0


def scanned(seed: int) -> Mutant:
    """Let one mutant scan forty ports of a host that has visitors, and see what is said."""
    chances = seeded(f"mutant {seed}")
    pause = chances.choice(_LONGEST_PAUSES)
    probes = _probes(chances, pause)
    answer = chances.choice((rst, icmp_unreachable, None))
    packets = [one for probe in probes for one in ((probe, answer(probe)) if answer else (probe,))]
    length = (probes[-1].time_us - probes[0].time_us) / 1e6
    packets += visit(_GUEST, *[80] * 20, every=max(0.05, length / 20))
    packets.sort(key=lambda sent: sent.time_us)
    pipeline = Pipeline(Settings(), US)
    events = [*watch(pipeline, packets), *pipeline.finish()]
    lines = [one for one in events if isinstance(one, EvidenceEvent) and one.src_ip == _SCANNER]
    return _judged(seed, pause, probes, lines)


def _judged(seed: int, pause: float, probes: Sequence[Sent], lines: Sequence[EvidenceEvent]) -> Mutant:
    worst = next((word for word in ("ban", "watch") if any(line.verdict == word for line in lines)), "")
    first = next((line for line in lines if line.verdict == worst), None)
    if first is None:
        return Mutant(seed, pause, "")
    count = first.attempts - first.open
    begin, end = (probes[nth].time_us for nth in (0, min(count, len(probes)) - 1))
    return Mutant(seed, pause, worst, count, round((end - begin) / 1e6, 1))


def _probes(chances: Random, pause: float) -> list[Sent]:
    """TTL, window, options, sequence, source port and identification of each probe, and the order, by chance."""
    ports = [port for port in chances.sample(range(1, 65_535), _PORTS + 1) if port != 80][:_PORTS]
    if chances.random() < 0.3:
        ports.sort()
    is_same = {name: chances.random() < 0.4 for name in ("ttl", "window", "options", "source")}
    kept = _headers(chances)
    found, at = [], 0.0
    for port in ports:
        fresh = _headers(chances)
        ttl, window, options, source = (kept[name] if is_same[name] else fresh[name] for name in is_same)
        assert isinstance(options, bytes)
        probe = tcp(
            _SCANNER, HOST, int(source), port, SYN, at=at, seq=chances.getrandbits(32), options=options, ttl=int(ttl)
        )
        payload = probe.payload[:14] + struct.pack("!H", int(window)) + probe.payload[16:]
        found.append(replace(probe, payload=payload, ip_id=chances.getrandbits(16)))
        at += 0.002 + chances.uniform(0, pause)
    return found


def _headers(chances: Random) -> dict[str, int | bytes]:
    chosen = chances.sample(_OPTIONS, chances.randint(0, len(_OPTIONS)))
    options = STACK_OPTIONS if chances.random() < 0.2 else b"".join(chosen)
    return {
        "ttl": chances.randint(5, 255),
        "window": chances.randint(0, 65_535),
        "options": options[:40],
        "source": chances.randint(1, 65_535),
    }
