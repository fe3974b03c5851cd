"""From a scanner's first packet to its line in the log, and to the rule in the kernel."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from tests.lab.ban_time import NMAP, address, bench
from tests.lab.bench.tail import first_bans
from tests.lab.support.tables import table
from tests.lab.support.wiretap import sent
from tests.support.waiting import wait_for

# nmap's options for its speed: slow enough that the ban comes in the middle, and its own choice.
SPEEDS = {"nmap at 200 ports a second": ("--max-rate", "200"), "nmap -T4": ("-T4",)}
_PORTS = ("-p", "1-2000")


@dataclass(frozen=True)
class Delay:
    """One scan: seconds since its first packet, and the ports that it had tried by then."""

    line_seconds: float
    line_probes: int
    ban_seconds: float
    ban_probes: int


def measure(scans: int) -> dict[str, list[Delay]]:
    """Let nmap scan this often at each speed, from one address after the other."""
    found: dict[str, list[Delay]] = {}
    with bench(scans * len(SPEEDS)) as made, first_bans(made.tap.with_name("portsentry.log")) as lines:
        for turn, (name, speed) in enumerate(SPEEDS.items()):
            sources = [address(turn * scans + number) for number in range(scans)]
            for source in sources:
                words = (*NMAP, *speed, *_PORTS, "-S", source, made.lab.target.ipv4[0])
                nmap = made.lab.scanner.start(*words)
                wait_for(partial(made.ruled.get, source), f"a rule about {source}", evidence=made.jail.evidence)
                nmap.kill()
                nmap.wait()
            made.bans(sources)  # waits until the capture has them all
            moments = sent(made.tap)
            found[name] = [_delay(moments[one], lines[one], made.ruled[one]) for one in sources]
            print(*_cells(name, found[name]), sep="  ", flush=True)
    return found


def _delay(moments: Sequence[float], line: float, rule: float) -> Delay:
    first = moments[0]
    return Delay(
        line - first, sum(moment < line for moment in moments), rule - first, sum(moment < rule for moment in moments)
    )


def _cells(name: str, delays: Sequence[Delay]) -> list[str]:
    columns: list[str] = [name, str(len(delays))]
    for seconds, probes in (
        ([one.line_seconds for one in delays], [one.line_probes for one in delays]),
        ([one.ban_seconds for one in delays], [one.ban_probes for one in delays]),
    ):
        columns += [f"{statistics.median(seconds):.2f}", f"{_ninth(seconds):.2f}"]
        columns.append(f"{statistics.median(probes):.0f}")
    return columns


def _ninth(values: Sequence[float]) -> float:
    """Nine tenths are not above it."""
    return sorted(values)[-(-9 * len(values) // 10) - 1]


def section(found: dict[str, list[Delay]]) -> str:
    head = (
        *("scanner", "scans", "line: median, s", "90 %, s", "ports by then"),
        *("ban: median, s", "90 %, s", "ports by then"),
    )
    return table(head, (_cells(name, delays) for name, delays in found.items()))
