"""Measures the sensor beside other programs, all in one run, and writes the tables of performance.md.

    python -m tests.lab.bench [--only core,replay,rates,memory,entries,state,delay,bulk,visits,flood,banned,worst]
        [--quick] [--interpreted] [-o DIR] [--portsentry BINARY] [--peer NAME=CMD]...

A time alone says little on somebody else's machine: compare within one run. The core is compiled first, with gcc and
python3-dev, as it is in what is installed; `core` and `replay` have the interpreted one beside it. Needs root, but for
`core`, `replay`, `memory`, `entries` and `state`. A peer's CMD is run by `sh -c` on the watched host, in an empty
folder: $IFACE is the interface to watch, $LOG a file whose lines are counted, its standard output included.
"""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.lab.bench import banned, bulk, core, delay, entries, hidden, memory, rates, replay, state, visits, worst
from tests.lab.bench.both import checkout, run_compiled
from tests.lab.bench.programs import Program, given_peer, given_portsentry
from tests.lab.support import machine, page, program

PAGE = "performance.md"
_WITHOUT_ROOT = {"core", "replay", "memory", "entries", "state"}

Part = Callable[[bool, Sequence[Program]], str]


def _core(quick: bool, _peers: Sequence[Program]) -> str:
    return core.section(core.measure(20_000, 1) if quick else core.measure(200_000, 5), core.found())


def _replay(quick: bool, _peers: Sequence[Program]) -> str:
    rows = replay.measure(100_000, 1) if quick else replay.measure(1_000_000, 3)
    return replay.section(rows, replay.pyshark(200 if quick else 2_000))


def _rates(quick: bool, peers: Sequence[Program]) -> str:
    return rates.section(rates.measure(rates.QUICK if quick else rates.FULL, [*rates.installed(), *peers]))


def _memory(quick: bool, _peers: Sequence[Program]) -> str:
    return memory.section(memory.measure(300_000 if quick else 10_000_000))


def _entries(quick: bool, _peers: Sequence[Program]) -> str:
    return entries.section(entries.measure(64, 64) if quick else entries.measure())


def _state(quick: bool, _peers: Sequence[Program]) -> str:
    return state.section(state.measure(state.SHARES[:1] if quick else state.SHARES))


def _delay(quick: bool, _peers: Sequence[Program]) -> str:
    return delay.section(delay.measure(3 if quick else 20))


def _bulk(quick: bool, _peers: Sequence[Program]) -> str:
    return bulk.section(bulk.measure(5 if quick else 15))


def _visits(quick: bool, _peers: Sequence[Program]) -> str:
    return visits.section(visits.measure(99 if quick else 999))


def _flood(quick: bool, _peers: Sequence[Program]) -> str:
    return hidden.section(hidden.measure(50_000, 5 if quick else 30))


def _banned(quick: bool, _peers: Sequence[Program]) -> str:
    return banned.section(banned.measure(4 if quick else 20, 1 if quick else 5))


def _worst(quick: bool, _peers: Sequence[Program]) -> str:
    return worst.section(worst.measure(10_000, 4 if quick else 60))


PARTS: dict[str, Part] = {
    "core": _core,
    "replay": _replay,
    "rates": _rates,
    "memory": _memory,
    "entries": _entries,
    "state": _state,
    "delay": _delay,
    "bulk": _bulk,
    "visits": _visits,
    "flood": _flood,
    "banned": _banned,
    "worst": _worst,
}


def main(words: Sequence[str]) -> int:
    """Measure part by part; each is written as soon as it is known."""
    parser = program.parser("bench", __doc__)
    parser.add_argument("--only", metavar="PART,PART", help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="small sizes: a look, not a measurement")
    parser.add_argument("--interpreted", action="store_true", help="compile nothing: a sensor as the checkout has it")
    parser.add_argument("--peer", metavar="NAME=CMD", type=given_peer, action="append", default=[])
    parser.add_argument("--portsentry", metavar="BINARY", type=Path, help="portsentry 2.x, to take part")
    arguments = program.begin(parser, words)
    names = arguments.only.split(",") if arguments.only else list(PARTS)
    unknown = sorted(set(names) - set(PARTS))
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}")
    if set(names) - _WITHOUT_ROOT:
        program.need_root(parser)
    if arguments.portsentry and not os.access(arguments.portsentry, os.X_OK):
        parser.error(f"{arguments.portsentry} is not a program")
    if not arguments.interpreted and checkout() is None:
        places = {"--output": arguments.output, "--portsentry": arguments.portsentry}
        absolute = [f"{option}={place.resolve()}" for option, place in places.items() if place]
        return run_compiled([*words, *absolute])
    peers: list[Program] = list(arguments.peer)
    if arguments.portsentry:
        peers.insert(0, given_portsentry(arguments.portsentry.resolve()))
    parts = {"machine": machine.described, **{name: _bound(name, arguments.quick, peers) for name in names}}
    for name, part in parts.items():
        text = part()
        print(f"\n== {name}\n\n{text}", flush=True)
        if arguments.output:
            page.put(arguments.output / PAGE, f"bench {name}", text)
    return 0


def _bound(name: str, quick: bool, peers: Sequence[Program]) -> Callable[[], str]:
    return lambda: PARTS[name](quick, peers)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
