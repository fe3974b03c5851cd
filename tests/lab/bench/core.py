"""What the core costs for a packet of each pattern: CPU time, and calls, which do not depend on the machine's load."""

import dataclasses
import gc
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_network
from itertools import chain
from pathlib import Path
from types import MappingProxyType

from portsentry_py.capture.file import replay_lines
from portsentry_py.capture.toolchain import find_tools
from portsentry_py.config.settings import Settings
from portsentry_py.core.host_state import HostState
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.sensor.cycles import look_rarely
from tests.lab.attacks.wire.ip import DESTINATION, Packet, behind, ethernet, experiment, options_header
from tests.lab.attacks.wire.upper import syn
from tests.lab.bench import costliest
from tests.lab.bench.both import checkout
from tests.lab.bench.costliest import PROTOCOLS, TARGET6, source, source6
from tests.lab.support.tables import count, shown, table
from tests.support import frames
from tests.support.frames import Link
from tests.support.running import run
from tests.support.workloads import REPLAYED, TARGET, Frames, mixed, resets, unseen_visitors

_PER_SECOND = 50_000
_COUNTED = 10_000
"""So many packets, and as many before them, are enough to count calls."""
_COSTLIEST, _TRIED_AGAIN = 3, 10
# Patterns that take the same code cost the same but for chance.
_ALIKE = 0.95
_SEARCHED, _ROUNDS = 4_000, 5  # of fewer packets, another pattern is the costliest in each run


def _of(made: Callable[[int], Packet]) -> Frames:
    def pattern(packets: int, _link: Link) -> Iterator[bytes]:
        return (ethernet(made(number)) for number in range(packets))

    return pattern


def _forged(protocol: str) -> Frames:
    """One packet from each source, to one port."""
    return _of(lambda number: PROTOCOLS[protocol](source(number), TARGET, 0))


def _behind_options(number: int) -> Packet:
    probe = syn(source6(number), TARGET6, 600)
    return behind(probe, (DESTINATION, lambda upper: options_header(upper, experiment(4))))


PATTERNS: Mapping[str, Frames] = MappingProxyType(
    {
        **REPLAYED,
        "the four above in turn": mixed,
        "visitors whose first segments stay in the kernel": unseen_visitors,
        "our resets of forged plain ACKs": resets,
        "forged, IPv6 behind an option header": _of(_behind_options),
        **{f"forged, {name}": _forged(name) for name in ("SCTP INIT", "echo request", "IP protocol 99", "IP in IP")},
    }
)


@dataclass(frozen=True)
class Cost:
    """What one core takes for all packets: the CPU time of each round, and its calls for a packet."""

    seconds: Sequence[float]
    calls: float
    lines: int


@dataclass(frozen=True)
class Row:
    """One pattern: the CPU time of each round of either core, and the calls of the interpreted one, for a packet.

    Without a compiled core, `compiled` is empty.
    """

    name: str
    packets: int
    interpreted: Sequence[float]
    compiled: Sequence[float]
    calls: float
    lines: int

    @property
    def least(self) -> float:
        """The least that any round of the core of this process took."""
        return min(self.compiled or self.interpreted)

    def cells(self) -> list[str]:
        both = chain(self._micros(self.compiled), self._micros(self.interpreted))
        return [self.name, *both, f"{self.calls:.1f}", count(self.lines)]

    def _micros(self, seconds: Sequence[float]) -> list[str]:
        """Median, least and most for a packet."""
        if not seconds:
            return ["", ""]
        found = (min(seconds), statistics.median(seconds), max(seconds))
        least, middle, most = (f"{one / self.packets * 1e6:.1f}" for one in found)
        return [middle, f"{least} to {most}"]


def lines_of(packets: Iterable[bytes], per_second: int = _PER_SECOND) -> list[str]:
    """What tshark prints of the packets."""
    with tempfile.TemporaryDirectory(prefix="portsentry-py-") as folder:
        capture = frames.write(Path(folder) / "capture.pcap", packets, per_second)
        return list(chain.from_iterable(replay_lines(find_tools(), capture)))


def measure(packets: int, rounds: int, patterns: Mapping[str, Frames] = PATTERNS) -> list[Row]:
    """Let a new core read each pattern, again and again."""
    return [shown(_row(name, lines_of(kind(packets, Link())), rounds)) for name, kind in patterns.items()]


@cache
def found() -> list[Row]:
    """What a search has found, the same for every part of a run."""
    return search(_SEARCHED, _ROUNDS)


def search(packets: int, rounds: int) -> list[Row]:
    """The combinations that cost most, measured again one by one, the costliest first."""
    names = [name for name, _ in costliest.patterns()]
    lines = lines_of(costliest.all_frames(packets, costliest.brief()), costliest.PER_SECOND)
    lines += lines_of(costliest.all_frames(packets, costliest.lasting()), costliest.LASTING_PER_SECOND)
    parts = {name: lines[at * packets : (at + 1) * packets] for at, name in enumerate(names)}
    # Twice, because what was never used before costs more.
    cost = {name: min(_timed(part)[0] for _ in range(2)) for name, part in parts.items()}
    worst = sorted(names, key=lambda name: -cost[name])[:_TRIED_AGAIN]
    rows = sorted((_row(name, parts[name], rounds) for name in worst), key=lambda row: -row.least)
    alike = [row for row in rows if row.least >= _ALIKE * rows[0].least]
    # Of those that are alike, the same one is the first in every run.
    first = min(alike, key=lambda row: names.index(row.name))
    return [shown(row) for row in [first, *(row for row in rows if row is not first)][:_COSTLIEST]]


def _row(name: str, lines: Sequence[str], rounds: int) -> Row:
    here = _cost(lines, rounds)
    folder = checkout()
    if folder is None:
        return Row(name, len(lines), here.seconds, (), here.calls, here.lines)
    words = (sys.executable, "-m", __spec__.name, str(rounds))
    interpreted = Cost(**json.loads(run(*words, folder=folder, text="\n".join(lines), seconds=600)))
    if interpreted.lines != here.lines:
        raise AssertionError(f"{name}: {here.lines} lines of the compiled core, {interpreted.lines} of the other")
    return Row(name, len(lines), interpreted.seconds, here.seconds, interpreted.calls, here.lines)


def _cost(lines: Sequence[str], rounds: int) -> Cost:
    found = [_timed(lines) for _ in range(rounds)]
    return Cost([seconds for seconds, _ in found], _calls(lines), found[0][1])


def _core() -> Pipeline:
    home = (ip_network(f"{TARGET}/32"), ip_network(f"{TARGET6}/128"))
    return Pipeline(Settings(), HostState(home=home, peers_known=False))


def _timed(lines: Sequence[str]) -> tuple[float, int]:
    pipeline = _core()
    gc.collect()
    look_rarely()  # as the commands do
    begun = time.process_time()
    events = sum(1 for _ in pipeline.feed(lines))
    return time.process_time() - begun, events


def _calls(lines: Sequence[str]) -> float:
    """The calls for a packet, of Python's functions and of those in C, once the core has seen as many."""
    pipeline, calls = _core(), 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    some = min(_COUNTED, len(lines) // 2)
    for _ in pipeline.feed(lines[:some]):
        pass
    sys.setprofile(note)
    for _ in pipeline.feed(lines[some : 2 * some]):
        pass
    sys.setprofile(None)
    return calls / some


def section(rows: Sequence[Row], found: Sequence[Row]) -> str:
    """The two tables."""
    head = (
        *("packets", "compiled, µs/packet", "of the rounds", "interpreted, µs/packet", "of the rounds"),
        *("calls a packet", "lines"),
    )
    rounds = max(len(row.interpreted) for row in rows)
    return (
        f"{count(rows[0].packets)} packets each, {rounds} rounds.\n\n{table(head, (row.cells() for row in rows))}\n"
        f"The costliest of {len(list(costliest.patterns()))} combinations of protocol, headers and sources, of "
        f"{count(found[0].packets)} packets each, {count(costliest.PER_SECOND)} in a second, or "
        f"{count(costliest.LASTING_PER_SECOND)} of 64 from a source and of addresses that are only watched:\n\n"
        f"{table(head, (row.cells() for row in found))}"
    )


if __name__ == "__main__":
    print(json.dumps(dataclasses.asdict(_cost(sys.stdin.read().split("\n"), int(sys.argv[1])))))
