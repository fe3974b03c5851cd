"""From the probe at one host to the rule in the kernel of nine others: sensors, fail2ban, nftables and three brokers.

Each host is a network namespace. The same list is also fetched each ten seconds, as peers do. Then one host is cut off,
and one starts again with an empty kernel. Needs root.
"""

import os
import re
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from portsentry_py.events.model import time_us
from tests.lab.fleet import polling, visitor
from tests.lab.fleet.appended import Appended, appended
from tests.lab.fleet.brokers import QUOTA
from tests.lab.fleet.measured import Measured, quantile, spread
from tests.lab.support.kernel_rules import watched
from tests.lab.support.machine import described
from tests.lab.support.tables import table
from tests.support.fail2ban_server import DEBIAN, NFTABLES, Fail2ban, Fail2banServer
from tests.support.fleet_lab import FleetHost, FleetLab
from tests.support.fleet_net import SCANNERS, FleetNet, opened
from tests.support.namespaces import Host
from tests.support.sensor import Sensor
from tests.support.waiting import wait_for

PROBED, CUT, REBOOTED = "web1", "web10", "web9"
SPARE = "spare"
"""A host in the roster that is not there."""
_HOSTS, _SCANS, _MISSED = 10, 24, 3
_PORTS = 15
_POLL_SECONDS = 10.0
_PROMISED_SECONDS, _ENGINE_SECONDS, _BACK_SECONDS = 2.0, 0.010, 5.0
_JAIL = "[portsentry-fleet]\nenabled = true\nlogpath = {log}\n"
_SENSOR = {"bans": {"unverified_per_minute": 1000, "network_per_minute": 1000}}


@dataclass(slots=True)
class Machine:
    """One host with all that runs on it; `ruled` is when each address came into its kernel."""

    host: Host
    sensor: Sensor
    jail: Fail2banServer
    agent: FleetHost
    ruled: dict[str, float]


@dataclass(frozen=True, slots=True)
class Scan:
    """One scanner: when its first packet left, when its evidence was complete, and when each host had it."""

    source: str
    first: float
    evidence: float
    written: float
    heard: Mapping[str, float]
    ruled: Mapping[str, float]
    own_rule: float


@dataclass(slots=True)
class Fleet:
    """The machines, the brokers and the clocks."""

    net: FleetNet
    lab: FleetLab
    machines: dict[str, Machine] = field(default_factory=dict)

    @property
    def others(self) -> dict[str, Machine]:
        return {name: machine for name, machine in self.machines.items() if name != PROBED}

    def probe(self, source: str, name: str = PROBED) -> float:
        """Scan a host from an address; when the first packet left."""
        target = self.machines[name].host.ipv4[0]
        done = self.net.scanner.run(sys.executable, visitor.__file__, "scan", target, source, str(_PORTS))
        assert done.returncode == 0, done.stderr
        return float(done.stdout)

    def wait_for_rules(self, source: str, names: Sequence[str]) -> None:
        wait_for(
            lambda: all(source in self.machines[name].ruled for name in names),
            f"rules about {source} at {names}",
            evidence=lambda: self._evidence(source, names),
        )

    def _evidence(self, source: str, names: Sequence[str]) -> str:
        missing = [name for name in names if source not in self.machines[name].ruled]
        texts = [self.machines[PROBED].sensor.evidence()]
        texts += [
            f"{name}: {self.machines[name].agent.said()}{self.machines[name].jail.evidence()}" for name in missing
        ]
        return "\n".join(texts)


@contextmanager
def fleet(folder: Path, program: Path, count: int = _HOSTS, which: Fail2ban = DEBIAN) -> Iterator[Fleet]:
    """Start everything, one host after the other: two cores do not start ten sensors at once."""
    with ExitStack() as stack:
        net = stack.enter_context(opened(count, _SCANS + 2 * _MISSED + 1))
        names = (*net.hosts, SPARE)[:_HOSTS]
        lab = FleetLab(folder, names, program, addresses=net.broker.ipv4, inside=net.broker.inside())
        stack.callback(lab.close)
        lab.start_broker()
        lab.publish()
        for host in net.hosts.values():
            host.serve("serve", program=Path(visitor.__file__))
        made = Fleet(net, lab)
        for name, host in net.hosts.items():
            made.machines[name] = _machine(stack, lab, name, host, which)
        made.probe(net.sources[-1])
        made.wait_for_rules(net.sources[-1], list(made.machines))
        yield made


def _machine(stack: ExitStack, lab: FleetLab, name: str, host: Host, which: Fail2ban) -> Machine:
    folder = lab.folder / name
    sensor = Sensor(host, folder, _SENSOR)
    stack.callback(sensor.stop)
    sensor.wait_until_ready()
    log = folder / "fleet.log"
    os.close(os.open(log, os.O_CREAT | os.O_WRONLY, 0o640))  # as the package's tmpfiles entry does
    jail = Fail2banServer(host, folder, NFTABLES + _JAIL.format(log=log), log=sensor.log, which=which)
    stack.callback(jail.stop)
    agent = lab.host(name, inside=host.inside(), site=[SCANNERS], **QUOTA)
    return Machine(host, sensor, jail, agent, stack.enter_context(watched(host)))


@contextmanager
def _polled(made: Fleet) -> Iterator[dict[str, Path]]:
    """Let each other host fetch the list of the probed one; the files with the times of their rules."""
    probed = made.machines[PROBED]
    probed.host.serve("serve", str(probed.sensor.log), program=Path(polling.__file__))
    files, pollers = {}, []
    for number, (name, machine) in enumerate(made.others.items()):
        files[name] = made.lab.folder / name / "polled"
        phase = _POLL_SECONDS * (number * 0.618 % 1)
        words = (sys.executable, polling.__file__, "poll", probed.host.ipv4[0], str(_POLL_SECONDS), str(phase))
        with files[name].open("w") as output:
            pollers.append(machine.host.start(*words, stdout=output.fileno()))
    try:
        yield files
    finally:
        for poller in pollers:
            poller.kill()
            poller.wait()


def _times(path: Path) -> dict[str, float]:
    words = (line.split() for line in path.read_text().splitlines()[1:])
    return {address: float(moment) for moment, address in words}


def scans(made: Fleet, sources: Sequence[str], seen: Appended) -> list[Scan]:
    """One scanner after the other."""
    found = []
    for number, source in enumerate(sources):
        first = made.probe(source)
        made.wait_for_rules(source, list(made.machines))
        found.append(_scan(made, source, first, seen))
        time.sleep(number * 0.618 % 1)  # any moment of what polls once a second
    return found


def _scan(made: Fleet, source: str, first: float, seen: Appended) -> Scan:
    log = made.machines[PROBED].sensor.log
    line = next(one for one in made.machines[PROBED].sensor.matching(src_ip=source, verdict="ban"))
    wanted = [log, *(machine.agent.fleet_log for machine in made.others.values())]
    wait_for(lambda: all(seen.first(path, src_ip=source, verdict="ban") for path in wanted), f"the lines of {source}")
    written = seen.first(log, src_ip=source, verdict="ban") or 0
    heard = {name: seen.first(one.agent.fleet_log, src_ip=source) or 0 for name, one in made.others.items()}
    ruled = {name: machine.ruled[source] for name, machine in made.others.items()}
    evidence = time_us(line["timestamp"]) / 1e6
    return Scan(source, first, evidence, written, heard, ruled, made.machines[PROBED].ruled[source])


def cut_off(made: Fleet, sources: Sequence[str]) -> float:
    """Take the wire of a host away while scanners come; seconds from its reconnection to their rules."""
    machine = made.machines[CUT]
    made.net.cut(CUT)
    others = [name for name in made.machines if name != CUT]
    for source in sources:
        made.probe(source)
        made.wait_for_rules(source, others)
    ended = machine.agent.said().count("has ended") + 1
    wait_for(lambda: machine.agent.said().count("has ended") >= ended, "the end", evidence=machine.agent.said)
    made.net.join(CUT)
    wait_for(
        lambda: machine.agent.said().count("broker: all is well") >= ended, "a broker", evidence=machine.agent.said
    )
    back = time.time()
    made.wait_for_rules(sources[-1], [CUT])
    made.wait_for_rules(sources[0], [CUT])
    return max(machine.ruled[source] for source in sources) - back


def reboot(made: Fleet, sources: Sequence[str], before: Sequence[str]) -> float:
    """Kill everything on a host and empty its kernel while scanners come; seconds from its start to all rules."""
    machine = made.machines[REBOOTED]
    machine.agent.kill()
    machine.jail.processes[-1].kill()
    machine.jail.processes[-1].wait()
    machine.sensor.process.send_signal(signal.SIGKILL)
    machine.sensor.process.wait()
    machine.host.run("nft", "flush", "ruleset")
    machine.jail.socket.unlink(missing_ok=True)
    (machine.jail.folder / "fail2ban.pid").unlink(missing_ok=True)
    others = [name for name in made.machines if name != REBOOTED]
    for source in sources:
        made.probe(source)
        made.wait_for_rules(source, others)
    machine.jail.start()
    began = time.time()
    machine.agent.start()
    wanted = {*sources, *before}
    wait_for(lambda: wanted <= machine.jail.blocked(), "all bans after the start", evidence=machine.jail.evidence)
    return time.time() - began


def _backend(made: Fleet) -> str:
    text = "\n".join(made.machines[PROBED].jail.messages())
    found = re.search(r"Jail 'portsentry-fleet' uses (\S+)", text)
    return found[1] if found else "unknown"


def measure(folder: Path, program: Path, which: Fail2ban = DEBIAN) -> Measured:
    """All of it."""
    with fleet(folder, program, which=which) as made:
        sources = made.net.sources
        logs = [made.machines[PROBED].sensor.log, *(one.agent.fleet_log for one in made.others.values())]
        with appended(logs) as seen, _polled(made) as files:
            found = scans(made, sources[:_SCANS], seen)
            wanted = set(sources[:_SCANS])
            wait_for(lambda: all(wanted <= _times(file).keys() for file in files.values()), "the lists")
            polled = {name: _times(file) for name, file in files.items()}
        backend = _backend(made)
        cut = cut_off(made, sources[_SCANS : _SCANS + _MISSED])
        last = sources[_SCANS + _MISSED : _SCANS + 2 * _MISSED]
        rebooted = reboot(made, last, sources[: _SCANS + _MISSED])
    return _measured(found, polled, f"fail2ban {which.version()} (backend {backend})", (cut, rebooted))


def _measured(
    found: Sequence[Scan], polled: Mapping[str, Mapping[str, float]], fail2ban: str, back: tuple[float, float]
) -> Measured:
    pairs = [(scan, name) for scan in found for name in scan.ruled]
    total = [scan.ruled[name] - scan.evidence for scan, name in pairs]
    engine = [scan.heard[name] - scan.written for scan, name in pairs]
    rows: list[tuple[str, Sequence[float]]] = [
        ("first probe → rule at another host", [scan.ruled[name] - scan.first for scan, name in pairs]),
        ("last packet of the evidence → rule at another host", total),
        ("- last packet of the evidence → line of the sensor", [scan.written - scan.evidence for scan in found]),
        ("- line of the sensor → line at another host (the fleet)", engine),
        (
            "- line at another host → rule (fail2ban, nft)",
            [scan.ruled[name] - scan.heard[name] for scan, name in pairs],
        ),
        (
            "last packet of the evidence → rule at the probed host itself",
            [scan.own_rule - scan.evidence for scan in found],
        ),
        (
            f"the same list, fetched each {_POLL_SECONDS:g} s: last packet → rule at another host",
            [polled[name][scan.source] - scan.evidence for scan, name in pairs],
        ),
    ]
    holds = (
        quantile(total, 0.99) <= _PROMISED_SECONDS and median(engine) <= _ENGINE_SECONDS and max(back) <= _BACK_SECONDS
    )
    cut, rebooted = back
    text = (
        f"{described()}\nTen network namespaces, each with a sensor (with a dumpcap and a tshark), {fail2ban} with "
        "both jails as shipped, nftables and `fleet run`, were started one after the other; three brokers are beside. "
        f"{len(found)} scanners prove their addresses and probe the first host, one after the other.\n\n"
        + table(("way", "seconds"), [(name, spread(times)) for name, times in rows])
        + f"\nA host without a wire, while {_MISSED} scanners came: all rules {cut:.1f} s after it had a broker again. "
        f"A host of which everything was killed and whose kernel was emptied: all {len(found) + 2 * _MISSED} rules "
        f"{rebooted:.1f} s after the start of `fleet run`, Python included."
    )
    return Measured(text, holds)
