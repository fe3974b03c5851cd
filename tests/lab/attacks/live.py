"""The stage of a live attack: attacker, victim and an innocent on one wire, the sensor on the victim."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.lab.attacks import programs
from tests.lab.attacks.attack import BLIND, SERVED_TCP, SERVED_UDP, Attack, Observed, Sent
from tests.lab.attacks.parties import FOUR, SENTINEL_VICTIM, SIX
from tests.lab.attacks.shipped_filter import banned_by
from tests.lab.attacks.wire.ip import Frame, Packet, framed
from tests.lab.attacks.wire.upper import syn
from tests.support import tcpreplay
from tests.support.fail2ban_server import NFTABLES, Fail2banServer
from tests.support.fail2ban_server import PYTHON as SYSTEM_PYTHON
from tests.support.namespaces import IFACE, Host, Lab, ip, opened
from tests.support.sensor import Sensor
from tests.support.waiting import wait_for

_GATEWAYS = {"-4": "203.0.113.254", "-6": "fe80::fe"}
_SENTINEL_SECONDS = 90.0
_PROGRAMS = Path(programs.__file__).read_text(encoding="utf-8")
# No limit for what the victim refuses: what an attacker learns slowly elsewhere, it learns at once here.
_KERNEL = """
for setting in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > "$setting"; done
echo 0 > /proc/sys/net/ipv4/icmp_ratelimit
echo 1000000 > /proc/sys/net/ipv4/icmp_msgs_per_sec
echo 1000000 > /proc/sys/net/ipv4/icmp_msgs_burst
echo 0 > /proc/sys/net/ipv6/icmp/ratelimit
"""


class Wire:
    """The hosts of a live attack, and what an attack does with them."""

    def __init__(self, lab: Lab, folder: Path, attack: Attack) -> None:
        self.lab = lab
        self.folder = folder
        self.attack = attack
        self.facts: dict[str, Any] = {}
        self.packets = 0
        self.probes = 0
        self._sensor: Sensor | None = None
        self._programs: list[subprocess.Popen[str]] = []
        self._sentinels = 0
        link = tcpreplay.link(lab.scanner, lab.target)
        self._macs = {
            "victim": link.destination,
            "attacker": link.source,
            "router": bytes.fromhex("0200000000fe"),
            "everybody": b"\xff" * 6,
        }
        self._prepare()
        self._air = self._program(lab.scanner, "air", IFACE, stdin=subprocess.PIPE)
        ports = (",".join(map(str, SERVED_TCP[2:])), ",".join(map(str, SERVED_UDP)))
        self._program(lab.target, "serve", *ports)

    def _prepare(self) -> None:
        """The victim reaches everybody through a router, in whose place the attacker listens."""
        target = self.lab.target.namespace
        self.lab.target.set_kernel(_KERNEL)
        ip("-n", target, "addr", "add", f"{SENTINEL_VICTIM}/32", "dev", IFACE)
        mac = self._macs["attacker"].hex(":")
        for family, gateway in _GATEWAYS.items():
            ip("-n", target, family, "neigh", "add", gateway, "lladdr", mac, "dev", IFACE, "nud", "permanent")
            ip("-n", target, family, "route", "add", "default", "via", gateway, "dev", IFACE, "onlink")
        # The victim is known to its attacker: no packet waits for address resolution.
        for victim in (FOUR.victim, SIX.victim):
            there = self._macs["victim"].hex(":")
            ip(
                *("-n", self.lab.scanner.namespace, "neigh", "replace", victim),
                *("lladdr", there, "dev", IFACE, "nud", "permanent"),
            )

    # ---- what both stages can

    def send(self, *packets: Sent, every: float = 0.002) -> None:
        """See Stage."""
        self.packets += len(packets)
        self._put(packets, every)

    def scan(self, *packets: Sent, every: float = 0.002) -> None:
        """See Stage."""
        self.probes += len(packets)
        self._put(packets, every)

    def pause(self, seconds: float) -> None:
        """See Stage."""
        time.sleep(seconds)

    def visit(self, guest: str, sessions: int, *, port: int = 80, every: float = 0.05) -> None:
        """See Stage."""
        del every
        self.program(self.host_of(guest), "visit", guest, self.victim_of(guest), port, sessions)

    def ask(self, server: str, port: int = 53) -> None:
        """See Stage."""
        self.program(self.lab.scanner, "answer", port)
        self.program(self.lab.target, "ask", server, port, 1)

    # ---- what only a wire can

    def hold(self, guest: str, port: int) -> subprocess.Popen[str]:
        """Open a session with the victim and keep it."""
        return self.program(self.host_of(guest), "hold", guest, self.victim_of(guest), port)

    def run(self, *command: str, tolerant: bool = False) -> None:
        """Run a stock tool on the attacker's host; what it sends is counted.

        Args:
            command: its words.
            tolerant: its exit code says nothing.
        """
        before = self._sent()
        done = self.lab.scanner.run(*command, seconds=300)
        if done.returncode and not tolerant:
            raise AssertionError(f"{' '.join(command)}: {done.stderr.strip()}")
        self.probes += self._sent() - before

    def mac(self, name: str) -> bytes:
        """An Ethernet address: of the `victim`, the `attacker` or a `router`."""
        return self._macs[name]

    def own(self, address: str) -> None:
        """Give the attacker's host one more address."""
        length, words = ("128", ["nodad"]) if ":" in address else ("32", [])
        ip("-n", self.lab.scanner.namespace, "addr", "add", f"{address}/{length}", "dev", IFACE, *words)

    def program(self, host: Host, *words: object) -> subprocess.Popen[str]:
        """Start one of our programs; return when it is ready."""
        return self._program(host, *words)

    def command(self, host: Host, *before: str, program: tuple[object, ...]) -> subprocess.Popen[str]:
        """Start one of our programs through another command, as another user say; return when it is ready."""
        return self._program(host, *program, before=before)

    def start(self, **settings: Any) -> Sensor:
        """Start the sensor, with the attack's settings and others."""
        wanted = {**self.attack.settings, **settings}
        iface = "" if "interfaces" in wanted else IFACE
        self._sensor = Sensor(self.lab.target, self.folder, wanted, iface=iface)
        self._sensor.wait_until_ready()
        return self._sensor

    @property
    def sensor(self) -> Sensor:
        """The sensor that was started."""
        assert self._sensor is not None
        return self._sensor

    def settle(self) -> bool:
        """Return when the sensor has seen all that was sent: a probe sent last has its line.

        False if that does not happen: the sensor is blind, or has ended.
        """

        def look() -> bool:
            if self.sensor.process.poll() is not None:
                raise AssertionError
            seen = any(
                line["src_ip"].startswith("198.18.255.")
                for line in self.sensor.matching(event_type="connection", dest_ip=SENTINEL_VICTIM)
            )
            if not seen:
                self._sentinels += 1
                source = f"198.18.255.{self._sentinels % 250 + 1}"
                self._put([syn(source, SENTINEL_VICTIM, port) for port in (7_001, 7_002)], 0.001)
                time.sleep(0.2)
            return seen

        try:
            return wait_for(look, "the last probe", seconds=_SENTINEL_SECONDS)
        except AssertionError:
            return False

    def learned(self) -> int:
        """The number of ports, of each protocol, about which the victim told something to the attacker's wire."""
        found = json.loads(self._ask_air("learned"))
        return len([port for _, port in found if port not in {7_001, 7_002}])

    def learned_ports(self) -> frozenset[int]:
        """These ports, of any protocol."""
        return frozenset(port for _, port in json.loads(self._ask_air("learned")))

    def host_of(self, address: str) -> Host:
        """The host that has an address."""
        innocent = address in {FOUR.innocent, SIX.innocent}
        return self.lab.visitor if innocent else self.lab.scanner

    @staticmethod
    def victim_of(other: str) -> str:
        """The victim's address of the same family."""
        return SIX.victim if ":" in other else FOUR.victim

    def frame(self, sent: Sent) -> bytes:
        """The bytes on the wire."""
        one: Frame = framed(sent) if isinstance(sent, Packet) else sent
        return self._macs[one.to] + self._macs[one.link] + one.head + one.content

    def close(self) -> None:
        """End what the lab does not end."""
        if self._sensor is not None:
            self._sensor.stop()
        for process in self._programs:
            process.kill()
            process.communicate()

    def _put(self, packets: tuple[Sent, ...] | list[Sent], every: float) -> None:
        assert self._air.stdin is not None
        for packet in packets:
            self._air.stdin.write(f"{round(every * 1e6)} {self.frame(packet).hex()}\n")
        self._ask_air("sent")

    def _ask_air(self, word: str) -> str:
        assert self._air.stdin is not None
        assert self._air.stdout is not None
        self._air.stdin.write(f"{word}\n")
        self._air.stdin.flush()
        return self._air.stdout.readline()

    def _sent(self) -> int:
        said = self.lab.scanner.run("ip", "-s", "-j", "link", "show", IFACE).stdout
        return int(json.loads(said)[0]["stats64"]["tx"]["packets"])

    def _program(
        self, host: Host, *words: object, before: tuple[str, ...] = (), stdin: int = subprocess.DEVNULL
    ) -> subprocess.Popen[str]:
        # As text, and the system's Python: another user may not read the checkout, nor our Python.
        python = SYSTEM_PYTHON if before else sys.executable
        process = subprocess.Popen(
            host.inside(*before, python, "-I", "-c", _PROGRAMS, *map(str, words)),
            stdin=stdin,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._programs.append(process)
        if process.stdout is None or process.stdout.readline() != "ready\n":
            raise AssertionError(f"{words[0]} did not start")
        return process


@contextmanager
def jailed(stage: Wire, ban_seconds: int) -> Iterator[Fail2banServer]:
    """fail2ban on the victim; it reads the sensor's log and bans in nftables."""
    folder = stage.folder / "f2b"
    folder.mkdir()
    # The victim's way to its name servers ends at the attacker: a look-up of its own name takes twenty seconds.
    local = f"{NFTABLES}ignoreself = false\n[portsentry]\nbantime = {ban_seconds}\n"
    jail = Fail2banServer(stage.lab.target, folder, local, log=stage.sensor.log)
    try:
        yield jail
    finally:
        jail.stop()


@contextmanager
def staged(attack: Attack, folder: Path) -> Iterator[Wire]:
    """Hosts for one attack, that nobody used before."""
    with ExitStack() as stack:
        wire = Wire(stack.enter_context(opened()), folder, attack)
        try:
            yield wire
        finally:
            wire.close()


def observe(attack: Attack, folder: Path) -> Observed:
    """Play an attack between hosts of its own, and see what the sensor says."""
    with staged(attack, folder) as wire:
        if attack.starts:
            wire.start()
        attack.play(wire)
        if wire._sensor is None:
            return Observed([], wire.packets, banned_by([], folder), facts=wire.facts)
        if not wire.settle():
            wire.facts[BLIND] = True
        learned = wire.learned()
        code = wire.sensor.stop()
        text = wire.sensor.log.read_text().splitlines()
        return Observed(
            [json.loads(line) for line in text],
            wire.packets or wire.probes,
            banned_by(text, folder),
            learned=learned,
            facts=wire.facts,
            diagnostics=wire.sensor.diagnostics.read_text(),
            code=code,
        )
