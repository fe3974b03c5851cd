"""Measures `portsentry-py scan` beside nmap over all ports of a host; writes docs/measurements/scan.md.

    python -m tests.lab.scan_speed [--rounds 3] [-o DIR]

Scanner and target are network namespaces. The target refuses all TCP ports, or drops what comes to them. In each round
both programs scan once, one after the other; the ratio of a round is our time by nmap's. Needs root.
"""

import json
import os
import re
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from portsentry_py.checks.scan.model import Method
from portsentry_py.checks.scan.ports import port_list
from tests.lab.support import page, program
from tests.lab.support.machine import described
from tests.lab.support.tables import count, shown, table
from tests.lab.support.whole_run import Cost, cost_of
from tests.support.namespaces import Lab, opened

_ALL_PORTS, _FEW_PORTS = range(81, 65_536), range(81, 1081)  # above the ports that the target serves
_DROPPED_PORTS = range(81, 281)  # without an answer, nmap sends ten probes a second
_ROUNDS = 3
_UNLIMITED = ("--rate", "1000000")
_DROP = "table inet silent { chain input { type filter hook input priority 0; meta l4proto tcp drop; }; }"


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of scan."""

    method: Method
    nmap: str
    state: str
    ports: range

    @property
    def words(self) -> str:
        """The ports as `-p` reads them."""
        return f"{self.ports[0]}-{self.ports[-1]}"


CASES = (
    Case("connect", "-sT", "closed", _ALL_PORTS),
    Case("syn", "-sS", "closed", _ALL_PORTS),
    Case("fin", "-sF", "closed", _ALL_PORTS),
    Case("connect", "-sT", "filtered", _DROPPED_PORTS),
    Case("syn", "-sS", "filtered", _DROPPED_PORTS),
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The rounds of one case: our cost and nmap's."""

    case: Case
    rounds: Sequence[tuple[Cost, Cost]]

    def cells(self) -> list[str]:
        """The row of the table."""
        ratios = sorted(ours.seconds / theirs.seconds for ours, theirs in self.rounds)
        ours, theirs = (_middle([pair[which] for pair in self.rounds]) for which in (0, 1))
        return [
            f"`{self.case.method}`",
            f"{count(len(self.case.ports))} {self.case.state}",
            *ours.cells(),
            *theirs.cells(),
            f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})",
        ]


def _middle(costs: Sequence[Cost]) -> Cost:
    return sorted(costs, key=lambda cost: cost.seconds)[len(costs) // 2]


def scanned_by_us(lab: Lab, method: Method, ports: str, state: str) -> Cost:
    """Our scan, without its own limit of the rate.

    Raises:
        AssertionError: a port has another state.
    """
    words = (sys.executable, "-m", "portsentry_py", "scan", "--i-own-this", "--json", "--method", method, *_UNLIMITED)
    cost = cost_of(*words, "-p", ports, lab.target.ipv4[0], prefix=lab.scanner.inside())
    (host,) = json.loads(cost.output)["hosts"]
    found = host["states"].get(state)
    _must_be_all(ports, len(port_list(found)) if found else 0, "portsentry-py scan")
    return cost


def scanned_by_nmap(lab: Lab, method: str, ports: str, state: str) -> Cost:
    """The same scan by nmap.

    Raises:
        AssertionError: a port has another state.
    """
    cost = cost_of(
        "nmap", "-n", "-Pn", method, "-oG", "-", "-p", ports, lab.target.ipv4[0], prefix=lab.scanner.inside()
    )
    crowd = re.search(rf"Ignored State: {state} \((\d+)\)", cost.output)
    named = re.findall(rf"\d+/{state}/", cost.output)
    _must_be_all(ports, len(named) + int(crowd[1]) if crowd else len(named), "nmap")
    return cost


def _must_be_all(ports: str, found: int, scanner: str) -> None:
    wanted = len(port_list(ports))
    if found != wanted:
        raise AssertionError(f"{scanner} finds the state of {found} ports out of {wanted}")


def compared(lab: Lab, case: Case, rounds: int) -> Comparison:
    """Both scanners, by turns."""
    pairs = [
        (
            scanned_by_us(lab, case.method, case.words, case.state),
            scanned_by_nmap(lab, case.nmap, case.words, case.state),
        )
        for _ in range(rounds)
    ]
    return shown(Comparison(case, pairs))


def memory(lab: Lab, method: Method) -> list[str]:
    """The row about memory: peaks in MB for few and for all ports, all of them closed."""
    peaks = [
        scanned_by_us(lab, method, f"{ports[0]}-{ports[-1]}", "closed").peak_bytes / 1e6
        for ports in (_FEW_PORTS, _ALL_PORTS)
    ]
    return [f"`{method}`", *(f"{peak:.1f}" for peak in peaks), f"{peaks[1] - peaks[0]:.1f}"]


def measured(lab: Lab, rounds: int, cases: Sequence[Case] = CASES) -> str:
    """The part of the page."""
    load = os.getloadavg()[0]
    lab.target.set_kernel("echo 0 >/proc/sys/net/ipv4/icmp_ratelimit")
    peaks = [memory(lab, method) for method in ("connect", "syn")]
    comparisons = [compared(lab, case, rounds) for case in cases if case.state == "closed"]
    rules = lab.target.run("nft", "-f", "-", text=_DROP)
    if rules.returncode:
        raise AssertionError(rules.stderr)
    comparisons += [compared(lab, case, rounds) for case in cases if case.state == "filtered"]
    version = lab.scanner.run("nmap", "--version").stdout.split()[2]
    head = ("method", "ports", *("s", "CPU s", "MB"), *(f"nmap {what}" for what in ("s", "CPU s", "MB")), "ours / nmap")
    few, all_ports = (f"MB, {count(len(ports))} ports" for ports in (_FEW_PORTS, _ALL_PORTS))
    return (
        f"{described().partition('; ')[0]}; other programs had a load of {load:.1f}. nmap {version}; {rounds} rounds, "
        "medians, and the smallest and the largest ratio.\n\n"
        f"{table(head, (one.cells() for one in comparisons))}\n"
        f"Peak memory of a scan:\n\n{table(('method', few, all_ports, 'MB more'), peaks)}"
    )


def main(words: Sequence[str]) -> int:
    """Measure, and write the page."""
    made = program.parser("scan_speed", __doc__ or "")
    made.add_argument("--rounds", type=int, default=_ROUNDS, help=f"default: {_ROUNDS}")
    program.need_root(made)
    arguments = program.begin(made, words)
    with opened() as lab:
        text = measured(lab, arguments.rounds)
    print(text)
    if arguments.output:
        page.put(arguments.output / "scan.md", "figures", text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
