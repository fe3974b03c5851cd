"""The loop of a scan over a prober without a network."""

from array import array
from collections.abc import Iterator

from portsentry_py.checks.scan.engine import Engine, Pace
from portsentry_py.checks.scan.model import Answer, HostResult, Target
from portsentry_py.checks.scan.schedule import Schedule

HOSTS = [Target(f"10.0.0.{number}", bytes([10, 0, 0, number]), "10.0.0.254") for number in range(1, 41)]


class Network:
    """Its time passes only while the engine waits. Odd ports answer at once, even ones never."""

    def __init__(self) -> None:
        self.now = 0.0
        self.answered: list[Answer] = []
        self.forgotten: list[tuple[Target, int]] = []
        self.probes: list[float] = []

    def send(self, target: Target, port: int, attempt: int) -> None:
        self.probes.append(self.now)
        if port % 2:
            self.answered.append(Answer(target, port, attempt, "closed"))

    def answers(self, seconds: float) -> Iterator[Answer]:
        if not self.answered:
            self.now += max(seconds, 1e-6)
        answered, self.answered = self.answered, []
        yield from answered

    def forget(self, target: Target, port: int) -> None:
        self.forgotten.append((target, port))

    def close(self) -> None:
        pass


def run(rate: float, hosts: list[Target], ports: range) -> tuple[Network, list[HostResult], list[int]]:
    network, decided = Network(), list[int]()
    results = [HostResult(host, "filtered") for host in hosts]
    engine = Engine(network, rate, lambda: network.now, decided.append)
    engine.run(Schedule(found, array("H", ports), 2, 100) for found in results)
    assert engine.sent == len(network.probes)
    return network, results, decided


def test_every_port_of_every_host_gets_its_state() -> None:
    network, results, decided = run(1e6, HOSTS, range(1, 11))
    for found in results:
        assert dict(found.states()) == {port: "closed" if port % 2 else "filtered" for port in range(1, 11)}
    assert decided == sorted(decided)
    assert decided[-1] == 400
    assert len(network.forgotten) == 2 * 5 * 40, "each silent probe is forgotten"


def test_the_rate_is_kept() -> None:
    network, _, _ = run(100, HOSTS[:1], range(1, 401, 2))
    assert 1.9 < network.probes[-1] - network.probes[0] < 2.1
    assert all(later - earlier > 0.999 for earlier, later in zip(network.probes, network.probes[101:], strict=False))


def test_the_pace_sends_no_burst_after_a_pause() -> None:
    pace, sent = Pace(1000), 0
    pace.take(0)
    while not pace.wait(10):
        pace.take(10)
        sent += 1
    assert sent <= 6
