"""Who is to be banned by portsentry: real scanners, each from an address of his own."""

import asyncio
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from tests.lab.ordinary.network import HOST, HOST6
from tests.lab.ordinary.population import Meant, Population, Scene, scanner_networks
from tests.support.namespaces import IFACE

_PORTS = "1-150"
_NMAP = "nmap -n -Pn --max-retries 1 --host-timeout {patience}s"
_RAW = f"{_NMAP} --send-ip -e {IFACE} -S {{address}}"
_SLOW_HOURS = 5
_SLOW_PORTS = "21,25,53,110,111,135,139,143,445,993,995,1433,3306,3389,5900,8080"
_SOURCES = 8
_PATIENCE_SECONDS = 120
_LAST = 66
_PLACES = {"address": "ADDRESS", "delay": "DELAY", "ports": "PORTS", "mac": "MAC"}


@dataclass(frozen=True)
class Scan:
    """One scan.

    Attributes:
        name: a word or two.
        command: the words; in them stand `{address}`, `{delay}` (seconds between slow probes), `{patience}`,
            `{ports}` and the host's `{mac}`.
        hour: when it begins.
        sources: how many addresses of its network take part, one after another, each with ports of its own.
        beside: it takes hours, in which others scan as well.
        meant: which of its addresses are to be banned.
    """

    name: str
    command: str
    hour: float
    sources: int = 1
    beside: bool = False
    meant: Meant = Meant.EACH

    @property
    def version(self) -> int:
        """The family of addresses."""
        return 6 if HOST6 in self.command else 4


_SCANS = (
    Scan("slow nmap -sS", f"{_RAW} -sS --scan-delay {{delay}}s -p {_SLOW_PORTS} {HOST}", 1, beside=True),
    Scan("nmap -sS", f"{_RAW} -sS -T4 -p {_PORTS} {HOST}", 2),
    Scan("nmap -sT", f"{_NMAP} -sT -T4 -p {_PORTS} {HOST}", 3.5),
    Scan("nmap -sF", f"{_RAW} -sF -T4 -p {_PORTS} {HOST}", 5),
    Scan("nmap -sX", f"{_RAW} -sX -T4 -p {_PORTS} {HOST}", 6),
    Scan("nmap -sN", f"{_RAW} -sN -T4 -p {_PORTS} {HOST}", 7),
    Scan("nmap -sU", f"{_RAW} -sU -T4 --top-ports 40 {HOST}", 8),
    Scan("nmap -T2", f"{_RAW} -sS -T2 -p {_SLOW_PORTS} {HOST}", 9, beside=True),
    Scan("nmap -6 -sS", f"{_RAW} -6 -sS -T4 -p {_PORTS} {HOST6}", 10),
    Scan("nmap -sA", f"{_RAW} -sA -T4 -p {_PORTS} {HOST}", 11),
    Scan(
        "masscan",
        f"masscan {HOST} -p 1-1000 --rate 300 --wait 1 --adapter {IFACE} --adapter-ip {{address}} --router-mac {{mac}}",
        13,
    ),
    Scan("hping3 ++port", f"hping3 -q -S -I {IFACE} -a {{address}} -p ++20 -c 60 -i u20000 {HOST}", 14),
    Scan("traps touched", f"{_NMAP} -sT -p 11,15 {HOST}", 16),
    # Six addresses of one host are one host, and two ports are no scan of it.
    Scan("two ports", f"{_RAW} -sS -T4 -p 23,445 203.0.113.1-6", 17, meant=Meant.NOBODY),
    Scan("one /24 together", f"{_NMAP} -sT -T4 -p {{ports}} {HOST}", 18, _SOURCES, meant=Meant.SOME),
    Scan("nmap -sV", f"{_NMAP} -sT -sV --version-light -T4 -p 20-90,443 {HOST}", 20),
)


def _ports(number: int) -> str:
    """Six ports that no other source of a distributed scan asks for."""
    return f"{3000 + 10 * number}-{3005 + 10 * number}"


async def _run(words: Iterable[str]) -> None:
    process = await asyncio.create_subprocess_exec(
        *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    # hping3 says by 1 that no answer came: it did not wait for any in somebody's name.
    if process.returncode not in {0, 1}:
        raise AssertionError(f"{shlex.join(words)}: {errors.decode()}")


# The source of ordinary sockets is the namespace's, for one scan at a time.
_turn = asyncio.Lock()


async def _scan(scan: Scan, scene: Scene, me: Population) -> None:
    await scene.day.until(scan.hour)
    target = HOST if scan.version == 4 else HOST6
    for number in range(scan.sources):
        address = (me.address if scan.version == 4 else me.address6)(_LAST + number)
        words = scan.command.format(
            address=address,
            delay=round(max(0.5, scene.day.seconds(_SLOW_HOURS) / (_SLOW_PORTS.count(",") + 1)), 2),
            patience=round(_PATIENCE_SECONDS + scene.day.seconds(2 * _SLOW_HOURS)),
            mac=(scene.folder / "mac").read_text(),
            ports=_ports(number),
        ).split()
        if scan.beside:
            await _run(words)
            continue
        async with _turn:
            if scan.version == 6:
                await _run(("ip", "addr", "add", f"{address}/128", "dev", "lo", "nodad"))
            await _run(("ip", "route", "replace", target, "dev", IFACE, "src", address))
            await _run(words)


def _population(number: int, scan: Scan) -> Population:
    async def live(scene: Scene, me: Population) -> None:
        await _scan(scan, scene, me)

    words = scan.command.replace(_RAW, "nmap").replace(_NMAP, "nmap").format_map(_PLACES)
    return Population(scan.name, f"`{words}`", "scanners", scanner_networks(number), live, scan.meant)


POPULATIONS = tuple(_population(number, scan) for number, scan in enumerate(_SCANS, start=1))
