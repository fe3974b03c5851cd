"""Hosts share their bans through a broker; what fails is reported once, tried again, and said to be over."""

import logging
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from portsentry_py.errors import LibraryMissing
from portsentry_py.fleet import agent, conversation, operator_folder, snapshot
from portsentry_py.fleet.protection import Protection
from portsentry_py.fleet.subjects import ROSTER
from tests.support.fake_broker import AgentHost, FakeBroker
from tests.support.waiting import wait_for

SCANNER, OTHER = "45.77.1.9", "45.77.2.9"
StartHost = Callable[..., AgentHost]


@pytest.fixture
def broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[FakeBroker]:
    """A broker with the roster."""
    caplog.set_level(logging.WARNING)
    found = FakeBroker(tmp_path)
    monkeypatch.setattr(conversation, "session", found.session)
    # Else a test waits for them.
    monkeypatch.setattr(agent, "_PROTECTION_SECONDS", 0.1)
    monkeypatch.setattr(agent, "_SNAPSHOT_US", 0)
    found.publish_roster()
    yield found
    found.close()


@pytest.fixture
def start(broker: FakeBroker, tmp_path: Path) -> Iterator[StartHost]:
    """Starts a host; all are stopped at the end."""
    hosts: list[AgentHost] = []

    def started(name: str, **settings: object) -> AgentHost:
        hosts.append(AgentHost(broker, tmp_path, name, **settings).start())
        return hosts[-1]

    yield started
    for host in hosts:
        host.stop()


def test_what_one_host_bans_the_others_ban_and_lift_with_it(broker: FakeBroker, start: StartHost) -> None:
    web1, web2, web3 = start("web1"), start("web2"), start("web3", mode="watch")
    web1.scan(SCANNER)
    banned, watched = web2.told(SCANNER), web3.told(SCANNER)
    assert (banned.verdict, watched.verdict) == ("ban", "watch")
    assert (banned.reporters, banned.evidence) == (("web1",), "port_scan")
    web1.scan(SCANNER, verdict="watch", reason="withdrawn")
    assert web2.told(SCANNER, "withdrawn").verdict == "none"
    assert web1.lines == []
    assert {subject for subject, _ in broker.sent if ".ban." in subject} == {"psp.ban.web1"}


def test_what_happened_while_a_host_was_away_is_caught_up(broker: FakeBroker, start: StartHost) -> None:
    web1 = start("web1")
    web1.scan(SCANNER)
    wait_for(lambda: b"45.77.1.9" in broker.kept.get("psp.state.web1", b""), "the list")
    assert start("web2").told(SCANNER).verdict == "ban"


def test_a_broken_connection_loses_nothing_and_is_said_to_be_over(
    broker: FakeBroker, start: StartHost, caplog: pytest.LogCaptureFixture
) -> None:
    web1, web2 = start("web1"), start("web2")
    wait_for(lambda: len(broker.sessions) == 2, "both connections")
    broker.is_down = True
    broker.break_off()
    wait_for(lambda: "no connection to the broker (down)" in caplog.text, "the report")
    web1.scan(SCANNER)
    broker.is_down = False
    assert web2.told(SCANNER).verdict == "ban"
    wait_for(lambda: "broker: all is well again." in caplog.text, "the end of the trouble")
    # Each host reports it once, however often it is tried.
    assert caplog.text.count("no connection to the broker (down)") <= 2


def test_whom_a_host_protects_is_not_banned_there(start: StartHost, broker: FakeBroker, tmp_path: Path) -> None:
    web1 = start("web1")
    web2 = AgentHost(broker, tmp_path, "web2")
    web2.protection = Protection([(SCANNER, "friend")])
    web2.start()
    for address in (SCANNER, OTHER):
        web1.scan(address)
    assert web2.told(OTHER)
    assert [one.src_ip for one in web2.lines] == [OTHER]
    web2.stop()


def test_nothing_is_believed_before_it_is_known_whom_to_protect(
    broker: FakeBroker, tmp_path: Path, start: StartHost, caplog: pytest.LogCaptureFixture
) -> None:
    web1 = start("web1")
    web2 = AgentHost(broker, tmp_path, "web2")
    web2.reads_protection = False
    web2.start()
    wait_for(lambda: "cannot read whom this host never bans (no route table)" in caplog.text, "the report")
    web1.scan(SCANNER)
    wait_for(lambda: b"45.77.1.9" in broker.kept.get("psp.state.web1", b""), "the list")
    assert len(broker.sessions) == 1
    assert web2.lines == []
    web2.reads_protection = True
    assert web2.told(SCANNER)
    web2.stop()


def test_own_bans_of_a_source_that_is_protected_since_are_lifted_at_the_others(
    start: StartHost, broker: FakeBroker
) -> None:
    web1, web2 = start("web1"), start("web2")
    wait_for(lambda: len(broker.sessions) == 2, "both connections")
    web1.scan(SCANNER)
    web2.told(SCANNER)
    web1.protection = Protection([(SCANNER, "ignore_list")])
    assert web2.told(SCANNER, "withdrawn")


def test_a_log_that_is_missing_is_reported_and_waited_for(
    broker: FakeBroker, tmp_path: Path, start: StartHost, caplog: pytest.LogCaptureFixture
) -> None:
    web2 = start("web2")
    web1 = AgentHost(broker, tmp_path, "web1")
    web1.begin()
    wait_for(lambda: str(web1.log) in caplog.text, "the report")
    web1.log.touch()
    wait_for(lambda: "log: all is well again." in caplog.text, "the end of the trouble")
    web1.scan(SCANNER)
    assert web2.told(SCANNER)
    web1.stop()


def test_a_roster_of_another_operator_is_refused(
    broker: FakeBroker, start: StartHost, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    web1, web2 = start("web1"), start("web2")
    wait_for(lambda: len(broker.sessions) == 2, "both connections")
    thief = tmp_path / "thief"
    operator_folder.create(thief, ["127.0.0.1"], None, tls=False, plain_text=False)
    payload = operator_folder.signed_roster(thief, 1 << 61)
    broker.call(lambda: broker.deliver(ROSTER, payload))
    assert "a roster was refused (the operator did not sign it); the last one holds." in caplog.text
    web1.scan(SCANNER)
    assert web2.told(SCANNER)


def test_without_a_roster_nobody_is_believed_until_it_comes(
    broker: FakeBroker, start: StartHost, caplog: pytest.LogCaptureFixture
) -> None:
    broker.kept.clear()
    web1, web2 = start("web1"), start("web2")
    wait_for(lambda: "has no roster" in caplog.text, "the report")
    web1.scan(SCANNER)
    wait_for(lambda: b"45.77.1.9" in broker.kept.get("psp.state.web1", b""), "the list")
    assert web2.lines == []
    broker.publish_roster()
    assert web2.told(SCANNER)


def test_a_host_that_leaves_the_roster_takes_its_bans_with_it(broker: FakeBroker, start: StartHost) -> None:
    web1, web2 = start("web1"), start("web2")
    wait_for(lambda: len(broker.sessions) == 2, "both connections")
    web1.scan(SCANNER)
    web2.told(SCANNER)
    operator_folder.remove_host(broker.operator, "web1")
    broker.publish_roster()
    assert web2.told(SCANNER, "withdrawn")


def test_a_list_that_the_broker_does_not_keep_is_sent_again(
    broker: FakeBroker, start: StartHost, caplog: pytest.LogCaptureFixture
) -> None:
    broker.refuses = True
    web1 = start("web1")
    web1.scan(SCANNER)
    wait_for(lambda: "did not keep the bans of this host (no room)" in caplog.text, "the report")
    broker.refuses = False
    wait_for(lambda: b"45.77.1.9" in broker.kept.get("psp.state.web1", b""), "the list")
    wait_for(lambda: "state: all is well again." in caplog.text, "the end of the trouble")


def test_hostile_messages_change_nothing_and_are_reported(
    broker: FakeBroker, start: StartHost, caplog: pytest.LogCaptureFixture
) -> None:
    web2 = start("web2")
    wait_for(lambda: len(broker.sessions) == 1, "the connection")
    for subject in ("psp.ban.web1", "psp.state.web1", "psp.ban.nobody", "psp.other.web1", "psp.ban"):
        for payload in (b"", b"\xff" * 600, b"[" * 500, b'{"version":1}'):
            broker.call(partial(broker.deliver, subject, payload))
    wait_for(lambda: "a host that is not in the roster" in caplog.text, "the report of the stranger")
    wait_for(lambda: "web1: a message that is none of ours" in caplog.text, "that of the malformed message")
    assert web2.lines == []


def test_the_snapshot_shows_the_broker_and_the_other_hosts(broker: FakeBroker, start: StartHost) -> None:
    web1, web2 = start("web1"), start("web2")
    wait_for(lambda: len(broker.sessions) == 2, "both connections")
    web1.scan(SCANNER)
    web2.told(SCANNER)

    def is_shown() -> bool:
        found = snapshot.read(web2.state) if web2.state.exists() else None
        return found is not None and bool(found.broker) and SCANNER in found.sources

    wait_for(is_shown, "the snapshot")
    found = snapshot.read(web2.state)
    assert (found.name, found.mode, sorted(found.peers)) == ("web2", "ban", ["web1", "web3"])


def test_a_weak_broker_and_its_complaints_are_reported(
    broker: FakeBroker, start: StartHost, caplog: pytest.LogCaptureFixture
) -> None:
    broker.version = "2.9.10"
    start("web1")
    wait_for(lambda: "CVE-2025-30215" in caplog.text, "the warning")
    (session,) = broker.sessions
    broker.call(lambda: session.on_fault("permissions violation"))
    assert "the broker complains (permissions violation); look at its log." in caplog.text


def test_a_missing_library_ends_it(broker: FakeBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise LibraryMissing("nats-py", "fleet")

    monkeypatch.setattr(conversation, "session", missing)
    host = AgentHost(broker, tmp_path, "web1").start()
    with pytest.raises(LibraryMissing):
        host.result()
