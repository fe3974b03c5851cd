"""The drill on a host that is made up: how far each technique comes, and that nothing is left."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest

from portsentry_py.checks.drill import bans, holding, record, wire
from portsentry_py.checks.drill import drill as module
from portsentry_py.checks.drill.addresses import Target, network_of
from portsentry_py.checks.drill.drill import clean, drill
from portsentry_py.checks.drill.found import Found
from portsentry_py.checks.drill.responder import Ports
from portsentry_py.checks.drill.sensor_view import SensorView
from portsentry_py.checks.drill.techniques import ALL, QUICK, Technique
from portsentry_py.checks.drill.wire import Stranger
from portsentry_py.config.loader import parse
from portsentry_py.errors import DrillError, Fail2banError, InputError
from portsentry_py.fail2ban.client import Fail2banClient, NotAnswering, NotInstalled
from portsentry_py.host.interfaces import DRILL_LINK
from portsentry_py.host.sockets import Sockets
from tests.support.fake_fail2ban import FakeClient, JailsClient
from tests.support.log_lines import line

_SYN = (Technique("syn", 4),)


class World(Stranger):
    """A host with a sensor and fail2ban, and the stranger who scans it.

    Attributes:
        verdict: what the sensor writes about a scan; empty if it writes nothing.
        bans: whether fail2ban obeys.
        blocks: whether the kernel does.
        unblocks: whether it also does so when a ban is lifted.
        bans_late: whether fail2ban bans after the stranger has gone.
        left_late: a source of an earlier drill that it bans then.
    """

    def __init__(self, folder: Path) -> None:
        self.pid = 7
        self.log = folder / "log"
        self.log.touch()
        self.client = JailsClient(held={"portsentry": set(), "sshd": {"8.8.8.8"}})
        self.targets: tuple[Target, ...] = (Target("203.0.113.1", "eth0"), Target("2001:db8:113::1", "eth0"))
        self.sensor = SensorView((5,), frozenset({"eth0"}), (self.log,))
        self.verdict, self.bans, self.blocks, self.unblocks = "ban", True, True, True
        self.arrives, self.bans_late = True, False
        self.left_late = ""
        self.refusals: list[str] = []
        self.laid: list[str] = []
        self.events: list[str] = []

    def probe(self, method: str, source: str, target: str, ports: Sequence[int]) -> None:
        assert record.left() is None, "the record is locked"
        if "probe" in self.refusals:
            raise DrillError("no.")
        if not self.verdict:
            return
        kind = {"event_type": "trap", "technique": "decoy_port"} if len(ports) == 1 else {}
        with self.log.open("ab") as file:
            file.write(line(src_ip=source, scan_type=method, verdict=self.verdict, dest_ip=target, **kind) + b"\n")
        if self.verdict == "ban" and self.bans:
            network = network_of(source)
            self.client.held["portsentry"].add(source if network.version == 4 else str(network))

    def reach(self, asks: Sequence[tuple[str, str, str, int]], seconds: float) -> list[bool]:
        assert seconds > 0
        return [not self._is_refused(source) for _, source, _, _ in asks]

    def _is_refused(self, source: str) -> bool:
        network = network_of(source)
        is_banned = any(ip_network(held).overlaps(network) for held in self._held(network.version))
        return self.blocks and (is_banned or (not self.unblocks and source in self._scanned()))

    def _held(self, version: int) -> list[str]:
        return [held for held in self.client.held["portsentry"] if ip_network(held).version == version]

    def _scanned(self) -> str:
        return self.log.read_text()

    @contextmanager
    def stranger(self) -> Iterator[Stranger]:
        self.events.append("stranger")
        yield self
        if self.bans_late:
            late = [*self.laid, *self.left_late.split()]
            self.client.held["portsentry"].update(source for source in late if "." in source)
        self.events.append("no stranger")

    def lay(self, _pid: int, sources: Sequence[str], targets: Sequence[Target], *, arrive: bool) -> bool:
        assert targets == self.targets
        self.laid = list(sources)
        return arrive and self.arrives

    def drill(self, techniques: Sequence[Technique] = QUICK, *, armed: bool = True, text: str = "") -> Found:
        return self.drill_with(self.client, techniques, armed=armed, text=text)

    def drill_with(
        self, client: Fail2banClient, techniques: Sequence[Technique] = QUICK, *, armed: bool = True, text: str = ""
    ) -> Found:
        settings = parse(f"{text}\nlog: {self.log}")
        return drill(settings, techniques, client, armed=armed, say=self.events.append)


@contextmanager
def _ports(targets: Sequence[Target]) -> Iterator[Ports]:
    yield {(one.version, name): 1000 for one in targets for name in ("tcp", "udp")}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path)
    monkeypatch.setattr(record, "PATH", tmp_path / "record")
    for name in ("stranger", "lay"):
        monkeypatch.setattr(wire, name, getattr(made, name))
    monkeypatch.setattr(wire, "clear", lambda: made.events.append("clear"))
    monkeypatch.setattr(wire, "remains", lambda: False)
    monkeypatch.setattr(module, "targets", lambda: made.targets)
    monkeypatch.setattr(module, "routed", lambda _: iter(()))
    monkeypatch.setattr(module, "read_sockets", lambda _: Sockets(frozenset({22}), frozenset()))
    monkeypatch.setattr(module, "view_sensor", lambda: made.sensor)
    monkeypatch.setattr(module, "kernel_rules", str)
    monkeypatch.setattr(module, "rules_about", lambda _: ("a rule", f"192.0.2.7 dev {DRILL_LINK}"))
    monkeypatch.setattr(module, "responding", _ports)
    for name in ("_LINE_SECONDS", "_SECOND_LINE_SECONDS", "_BAN_SECONDS", "_SETTLE_SECONDS", "_LATE_SECONDS"):
        monkeypatch.setattr(module, name, 0.05)
    for name in ("PAUSE_SECONDS", "CARRIED_OUT_SECONDS"):
        monkeypatch.setattr(bans, name, 0.001)
    for name in ("PAUSE_SECONDS", "_REACH_SECONDS", "_RULE_SECONDS"):
        monkeypatch.setattr(holding, name, 0.001)
    return made


def nothing_is_left(world: World) -> bool:
    assert world.client.held == {"portsentry": set(), "sshd": {"8.8.8.8"}}
    assert world.events[-1] == "clear" or "clear" in world.events[world.events.index("no stranger") :]
    return not record.PATH.exists()


@pytest.mark.parametrize("techniques", [QUICK, ALL], ids=["quick", "full"])
def test_a_chain_that_works_is_proved_and_leaves_nothing(world: World, techniques: Sequence[Technique]) -> None:
    found = world.drill(techniques)
    assert found.exit_code == 0
    marks = {(row.jail, row.tcp, row.udp, row.unbanned, row.let_in) for row in found.tried}
    assert marks == {("portsentry", True, True, True, True)}
    assert {row.technique for row in found.rows if row.why_not} == {one for one in techniques if one.needs_answers}
    assert nothing_is_left(world)


def test_every_source_is_noted_before_the_first_packet(world: World) -> None:
    found = world.drill()
    assert {row.source for row in found.rows} < set(world.laid)
    assert len(world.laid) == len(QUICK) + 2, "and a stranger who does nothing, for each family"


def test_an_unarmed_drill_asks_for_no_ban_and_lifts_those_that_come(world: World) -> None:
    found = world.drill(armed=False)
    assert found.exit_code == 0
    assert {row.jail for row in found.rows} == {""}
    assert nothing_is_left(world)


def test_a_sensor_on_all_interfaces_shows_answers_too(world: World) -> None:
    world.sensor = SensorView((5,), frozenset({"any"}))
    found = world.drill(ALL)
    assert not found.arrived
    assert len(found.tried) == len(ALL)
    assert found.exit_code == 0


def test_without_a_sensor_nothing_is_sent(world: World) -> None:
    world.sensor = SensorView()
    assert world.drill().exit_code == 2
    assert world.laid == []
    assert not record.PATH.exists()


def test_a_family_that_the_host_lacks_is_not_tried(world: World) -> None:
    world.targets = world.targets[:1]
    found = world.drill()
    assert [row.why_not for row in found.rows if row.technique.version == 6] == ["this host has no IPv6 address"]
    assert found.exit_code == 0


def test_traps_are_tried_where_there_are_any(world: World) -> None:
    (row,) = world.drill((Technique("connect", 4, is_trap=True),), text="traps: {tcp: []}").rows
    assert row.why_not == "no TCP trap is configured"


def test_no_line_is_a_fault(world: World) -> None:
    world.verdict = ""
    (row,) = world.drill(_SYN).rows
    assert list(row.faults(armed=True)) == ["line"]
    assert nothing_is_left(world)


def test_a_line_that_does_not_ban_is_a_fault(world: World) -> None:
    world.verdict = "watch"
    (row,) = world.drill(_SYN).rows
    assert list(row.faults(armed=True)) == ["verdict"]


def test_a_ban_that_does_not_come_is_a_fault(world: World) -> None:
    world.bans = False
    (row,) = world.drill(_SYN).rows
    assert list(row.faults(armed=True)) == ["ban"]
    # A jail that is switched on later bans by the line.
    assert record.left() == (row.source,)
    world.client.held["portsentry"].add(row.source)
    world.bans = True
    world.drill(_SYN)
    assert nothing_is_left(world)


def test_a_ban_without_effect_is_a_fault_and_shows_the_rules(world: World) -> None:
    world.blocks = False
    found = world.drill(_SYN)
    (row,) = found.rows
    assert list(row.faults(armed=True)) == ["block"]
    assert found.rules == ("a rule",), "the drill's own route is none"
    assert nothing_is_left(world)


def test_without_a_program_that_lists_rules_the_drill_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_: str) -> tuple[str, ...]:
        raise NotInstalled("nft", package="nftables")

    monkeypatch.setattr(module, "rules_about", none)
    world.blocks = False
    assert world.drill(_SYN).rules == ()


def test_a_source_that_stays_blocked_is_a_fault(world: World) -> None:
    world.unblocks = False
    (row,) = world.drill(_SYN).rows
    assert list(row.faults(armed=True)) == ["unban"]


def test_a_ban_that_comes_after_the_end_is_lifted(world: World) -> None:
    world.bans, world.bans_late = False, True
    world.drill(_SYN)
    assert nothing_is_left(world)


@pytest.mark.parametrize("error", [NotAnswering("it hangs."), NotInstalled()])
def test_without_fail2ban_the_lines_are_still_looked_at(world: World, error: Fail2banError) -> None:
    found = world.drill_with(FakeClient(answers={"status": error}), _SYN)
    (row,) = found.rows
    assert found.fail2ban == str(error)
    assert list(row.faults(armed=True)) == ["ban"]
    assert world.drill_with(FakeClient(answers={"status": NotInstalled()}), _SYN, armed=False).exit_code == 0
    assert not record.PATH.exists(), "without a jail nobody is banned"


def test_a_fail2ban_that_ends_meanwhile_leaves_the_bans_on_record(world: World) -> None:
    class Ending(JailsClient):
        def ask(self, *words: str, timeout_seconds: float = 60) -> str:
            if words[0] == "set":
                raise NotAnswering("it ended.")
            return super().ask(*words, timeout_seconds=timeout_seconds)

    found = world.drill_with(Ending(held=world.client.held), _SYN)
    assert found.exit_code == 2
    assert found.rows[0].source in " ".join(found.left)
    assert set(record.left() or ()) == set(world.laid)
    assert clean(world.client)
    assert nothing_is_left(world)


@pytest.mark.parametrize("refusal", ["probe", "lay"])
def test_a_step_that_fails_leaves_nothing(world: World, monkeypatch: pytest.MonkeyPatch, refusal: str) -> None:
    def refuse(*_: object, **__: object) -> bool:
        raise DrillError("no.")

    if refusal == "lay":
        monkeypatch.setattr(wire, "lay", refuse)
    world.refusals.append(refusal)
    with pytest.raises(DrillError, match=r"no\."):
        world.drill(_SYN)
    assert not record.PATH.exists()
    assert world.events[-1] == "clear"


def test_a_log_that_is_not_there_is_told_before_anything_is_made(world: World) -> None:
    world.log.unlink()
    with pytest.raises(InputError):
        world.drill(_SYN)
    assert world.laid == []
    assert not record.PATH.exists()


def test_the_next_drill_removes_what_a_killed_one_left(world: World) -> None:
    with record.recording() as kept:
        kept.write(["198.51.100.7", "2001:db8:7:7::77"])
    world.client.held["portsentry"] |= {"198.51.100.7", "2001:db8:7:7::/64"}
    assert world.drill(_SYN).exit_code == 0
    assert nothing_is_left(world)


def test_a_ban_of_a_killed_drill_that_comes_late_is_lifted_at_the_end(world: World) -> None:
    """Its packets can bring a line some seconds after its end."""
    with record.recording() as kept:
        kept.write(["192.0.2.77"])
    world.bans_late, world.left_late = True, "192.0.2.77"
    assert world.drill(_SYN).exit_code == 0
    assert nothing_is_left(world)


def test_cleaning_says_whether_there_was_anything(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not clean(world.client)
    with record.recording() as kept:
        kept.write(["198.51.100.7"])
    assert clean(world.client)
    assert not clean(world.client)
    monkeypatch.setattr(wire, "remains", lambda: True)
    assert clean(world.client)


@pytest.mark.usefixtures("world")
def test_cleaning_without_fail2ban_finds_no_ban() -> None:
    with record.recording() as kept:
        kept.write(["198.51.100.7"])
    assert clean(FakeClient(answers={"status": NotInstalled()}))
    assert not record.PATH.exists()


def test_cleaning_waits_for_a_fail2ban_that_does_not_answer(world: World) -> None:
    assert not clean(world.client)
    with record.recording() as kept:
        kept.write(["198.51.100.7"])
    with pytest.raises(Fail2banError):
        clean(FakeClient(answers={"status": NotAnswering("it hangs.")}))
    assert record.left() == ("198.51.100.7",)
