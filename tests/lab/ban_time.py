"""Measures how long a ban takes, from a scanner's first packet to the kernel's rule; writes into fail2ban.md.

    python -m tests.lab.ban_time [--scans 40] [--swarm 200] [--minutes 10] [-o DIR]

The sensor watches live and Debian's own fail2ban bans in nftables. First come scans by nmap, one after the
other, then many scanners at once, then one scanner that goes on for minutes after its ban. The budget of bans is
larger than the default one, because all scanners share two networks. Needs root.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.lab.support import page, program
from tests.lab.support.kernel_rules import watched
from tests.lab.support.tables import table
from tests.lab.support.wiretap import sent, tapped
from tests.support.fail2ban_server import NFTABLES, Fail2banServer
from tests.support.namespaces import IFACE, Host, Lab, opened
from tests.support.sensor import Sensor
from tests.support.waiting import wait_for

PAGE = "fail2ban.md"
NETWORK = "198.18.0.0/15"
NMAP = ("nmap", "-n", "-Pn", "-sS", "-e", IFACE)
# So slow that the ban comes in the middle of the scan, as it does on the internet.
ORDINARY = ("--max-rate", "200", "-p", "1-2000")
SWARM_PORTS = 30
# The scanners prove nothing and share two networks: the budget of bans would spare most of them.
_SETTINGS = {"bans": {"unverified_per_minute": 1000, "network_per_minute": 1000}}


@dataclass(frozen=True)
class Ban:
    """One scanner: seconds from its first packet to the rule, and the probes that it had sent by then."""

    seconds: float
    probes: int


@dataclass(frozen=True)
class Bench:
    """A target with the sensor and fail2ban; `ruled` and the capture `tap` watch them from outside."""

    lab: Lab
    jail: Fail2banServer
    ruled: dict[str, float]
    tap: Path

    def bans(self, addresses: list[str]) -> list[Ban]:
        """Wait until all are banned, then give each ban."""
        wanted = set(addresses)
        wait_for(
            lambda: wanted <= set(self.ruled),
            f"rules about {len(addresses)} scanners",
            seconds=120,
            evidence=self.jail.evidence,
        )
        wait_for(lambda: wanted <= set(sent(self.tap)), "the tap to have all of them")
        moments = sent(self.tap)
        return [_ban(moments[address], self.ruled[address]) for address in addresses]


def _ban(moments: list[float], ruled: float) -> Ban:
    return Ban(ruled - moments[0], sum(moment < ruled for moment in moments))


@contextmanager
def bench(addresses: int) -> Iterator[Bench]:
    """Build everything; the scanner's host gets this many addresses."""
    with opened() as lab, tempfile.TemporaryDirectory(prefix="portsentry-py-") as name:
        folder = Path(name)
        _settle(lab.scanner, addresses)
        lab.target.run("ip", "route", "add", NETWORK, "dev", IFACE)
        tap = folder / "sent.pcapng"
        with ExitStack() as stack:
            sensor = Sensor(lab.target, folder, _SETTINGS)
            stack.callback(sensor.stop)
            sensor.wait_until_ready()
            jail = Fail2banServer(lab.target, folder, NFTABLES, log=sensor.log)
            stack.callback(jail.stop)
            ruled = stack.enter_context(watched(lab.target))
            stack.enter_context(tapped(lab.scanner, tap, f"src net {NETWORK} and tcp"))
            yield Bench(lab, jail, ruled, tap)


def address(number: int) -> str:
    """The address of scanner `number`, each in a network of its own, as strangers are."""
    return f"198.{18 + number // 256}.{number % 256}.9"


def _settle(host: Host, addresses: int) -> None:
    batch = "".join(f"addr add {address(number)}/32 dev {IFACE}\n" for number in range(addresses))
    subprocess.run(host.inside("ip", "-batch", "-"), input=batch, text=True, check=True, timeout=60)


def one_by_one(made: Bench, scans: int) -> list[Ban]:
    """Let nmap scan from one address after the other; each stops when it is banned."""
    addresses = [address(number) for number in range(scans)]
    for source in addresses:
        nmap = made.lab.scanner.start(*NMAP, *ORDINARY, "-S", source, made.lab.target.ipv4[0])
        wait_for(partial(made.ruled.get, source), f"a rule about {source}", evidence=made.jail.evidence)
        nmap.kill()
        nmap.wait()
    return made.bans(addresses)


def at_once(made: Bench, first: int, scanners: int) -> list[Ban]:
    """Let many addresses scan together, interleaved packet by packet."""
    addresses = [address(first + number) for number in range(scanners)]
    done = made.lab.scanner.peer("swarm", made.lab.target.ipv4[0], str(SWARM_PORTS), *addresses)
    if done.returncode != 0:
        raise AssertionError(f"the swarm failed: {done.stderr}")
    return made.bans(addresses)


def going_on(made: Bench, number: int, minutes: float) -> list[str]:
    """Let nmap scan every port, again and again, and give fail2ban's lines about it."""
    source = address(number)
    end = time.monotonic() + 60 * minutes
    while (left := end - time.monotonic()) > 0:
        words = (*NMAP, "-T4", "-p-", "-S", source, made.lab.target.ipv4[0])
        nmap = made.lab.scanner.start(*words)
        try:
            nmap.wait(left)
        except subprocess.TimeoutExpired:
            nmap.kill()
            nmap.wait()
    made.bans([source])
    return [line for line in made.jail.messages() if source in line.split()]


def row(what: str, bans: list[Ban]) -> list[str]:
    seconds = sorted(ban.seconds for ban in bans)
    probes = statistics.median(ban.probes for ban in bans)
    ninth = seconds[max(0, -(-9 * len(seconds) // 10) - 1)]
    return [what, *(f"{one:.2f} s" for one in (statistics.median(seconds), ninth, seconds[-1])), f"{probes:.0f}"]


def shown(rows: Sequence[Sequence[str]]) -> str:
    return table(("scanners", "median", "90 %", "longest", "probes by then (median)"), rows)


def main(words: Sequence[str]) -> int:
    parser = program.parser("ban_time", __doc__)
    parser.add_argument("--scans", type=int, default=40, help="scans, one after the other")
    parser.add_argument("--swarm", type=int, default=200, help="scanners at once")
    parser.add_argument("--minutes", type=float, default=10, help="how long one scanner goes on")
    arguments = program.begin(parser, words)
    program.need_root(parser)
    with bench(arguments.scans + arguments.swarm + 1) as made:
        rows = [row(f"{arguments.scans}, one after the other", one_by_one(made, arguments.scans))]
        print(shown(rows), flush=True)
        rows.append(row(f"{arguments.swarm} at once", at_once(made, arguments.scans, arguments.swarm)))
        print(shown(rows[1:]), flush=True)
        lines = going_on(made, arguments.scans + arguments.swarm, arguments.minutes)
    print(*lines, sep="\n")
    going = (
        f"A scanner that was banned and went on for {arguments.minutes:g} minutes cost fail2ban's log "
        f"{len(lines)} lines.\n"
    )
    print(going)
    if arguments.output:
        page.put(arguments.output / PAGE, "ban time", f"{shown(rows)}\n{going}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
