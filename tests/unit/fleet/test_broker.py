"""The connection to a real broker: what it passes on and keeps, whom it refuses, and how that is said."""

import asyncio
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import msgspec
import pytest

from portsentry_py.errors import FleetError, LibraryMissing
from portsentry_py.fleet import credentials, operator_folder
from portsentry_py.fleet.broker import Session, session
from portsentry_py.fleet.credentials import Credentials
from portsentry_py.fleet.subjects import ROSTER, ban_subject, state_subject
from tests.support.fleet_brokers import Broker, free_port
from tests.support.waiting import wait_for


def secret(operator: Path, name: str) -> Credentials:
    return credentials.read(operator / "hosts" / f"{name}.json")


def connect(one: Credentials, faults: list[str] | None = None) -> None:
    """Connect and go away again."""

    async def run() -> None:
        async with session(one, one.servers[0], (faults if faults is not None else []).append):
            pass

    asyncio.run(run())


def refusal(one: Credentials) -> str:
    """Why it cannot connect."""
    with pytest.raises(FleetError) as caught:
        connect(one)
    return str(caught.value)


def two_hosts(operator: Path, work: Callable[[Session, Session], Awaitable[None]], faults: list[str]) -> None:
    """Let web1 and web2 be connected, after the operator has made the stream."""

    async def run() -> None:
        people = (operator_folder.operator_credentials(operator), secret(operator, "web1"), secret(operator, "web2"))
        async with AsyncExitStack() as opened:
            boss, web1, web2 = [
                await opened.enter_async_context(session(one, one.servers[0], faults.append)) for one in people
            ]
            await boss.make_stream(1)
            await boss.make_stream(1)  # a second time is no error
            await work(web1, web2)

    asyncio.run(run())


async def until(look: Callable[[], object], evidence: Callable[[], str] = str) -> None:
    """Wait for what another host sent."""
    await asyncio.to_thread(wait_for, look, "what another host sent", evidence=evidence)


@pytest.mark.usefixtures("real_broker")
def test_what_a_host_sends_the_others_get_in_order(operator: Path) -> None:
    got: list[tuple[str, bytes]] = []
    faults: list[str] = []

    async def work(web1: Session, web2: Session) -> None:
        await web2.listen(lambda subject, payload: got.append((subject, payload)))
        for number in range(100):
            await web1.publish(ban_subject("web1"), b"%d" % number)
        assert await web1.keep(state_subject("web1"), b"list") == ""
        await until(lambda: len(got) == 101, lambda: f"{len(got)} {got[:3]} {got[-3:]} {faults}")

    two_hosts(operator, work, faults)
    assert got[:100] == [("psp.ban.web1", b"%d" % number) for number in range(100)]
    assert got[100] == ("psp.state.web1", b"list")


@pytest.mark.usefixtures("real_broker")
def test_the_latest_list_of_a_host_is_kept(operator: Path) -> None:
    async def work(web1: Session, web2: Session) -> None:
        assert await web2.kept(state_subject("web1")) == b""
        for text in (b"old", b"new"):
            assert await web1.keep(state_subject("web1"), text) == ""
        assert await web2.kept(state_subject("web1")) == b"new"
        assert await web2.kept(ROSTER) == b""

    two_hosts(operator, work, [])


@pytest.mark.usefixtures("real_broker")
def test_a_host_cannot_speak_for_another_one(operator: Path) -> None:
    got: list[str] = []
    faults: list[str] = []

    async def work(web1: Session, web2: Session) -> None:
        await web2.listen(lambda subject, _: got.append(subject))
        await web1.publish(ban_subject("web3"), b"")
        await web1.publish(ROSTER, b"")
        assert await web1.keep(state_subject("web3"), b"") != ""
        await web1.publish(ban_subject("web1"), b"")
        await until(lambda: got)

    two_hosts(operator, work, faults)
    assert got == ["psp.ban.web1"]
    assert any("ermissions" in fault for fault in faults), faults


def test_a_broker_that_dies_closes_the_connection(operator: Path, real_broker: Broker) -> None:
    async def work(web1: Session, web2: Session) -> None:
        assert not web1.closed.is_set()
        await asyncio.to_thread(real_broker.kill)
        await asyncio.wait_for(asyncio.gather(web1.closed.wait(), web2.closed.wait()), 60)
        await web1.publish(ban_subject("web1"), b"")
        assert await web1.keep(state_subject("web1"), b"") != ""
        assert await web1.kept(ROSTER) is None

    two_hosts(operator, work, [])


@pytest.mark.usefixtures("real_broker")
def test_the_version_of_the_broker_is_known(operator: Path) -> None:
    async def work(web1: Session, _: Session) -> None:
        assert [part.isdecimal() for part in web1.version.split(".")] == [True, True, True]

    two_hosts(operator, work, [])


def test_nobody_is_there(operator: Path) -> None:
    with pytest.raises(FleetError, match=r"tls://.*: no connection to the broker \(.+\); it is tried again\."):
        connect(secret(operator, "web1"))


@pytest.mark.usefixtures("real_broker")
def test_a_key_that_the_broker_does_not_know_is_refused_with_that_reason(operator: Path, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger"
    operator_folder.create(stranger, ["127.0.0.1"], None, tls=True, plain_text=False)
    operator_folder.add_host(stranger, "web1", "45.33.1.1")
    known = secret(operator, "web1")
    removed = msgspec.structs.replace(known, seed=secret(stranger, "web1").seed)
    # The broker hangs up at once: its reason can get lost on the way, and comes with another attempt.
    wait_for(lambda: "authorization violation" in refusal(removed).lower(), "the reason")
    with pytest.raises(FleetError, match="certificate verify failed"):
        connect(msgspec.structs.replace(known, authority=secret(stranger, "web1").authority))
    with pytest.raises(FleetError, match="the certificate in the credentials is damaged"):
        connect(msgspec.structs.replace(known, authority="-----BEGIN CERTIFICATE-----\nx"))


@pytest.mark.usefixtures("real_broker")
def test_a_broker_with_tls_is_not_spoken_with_in_the_clear(operator: Path) -> None:
    known = secret(operator, "web1")
    plain = known.servers[0].replace("tls://", "nats://")
    with pytest.raises(FleetError, match="no connection to the broker"):
        connect(msgspec.structs.replace(known, servers=(plain,)))


def at_a_server(operator: Path, answer: Callable[[StreamReader, StreamWriter], Awaitable[None]]) -> str:
    """Connect to a program that is no broker; what went wrong, empty if the connection was made."""

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(ConnectionError):
            await answer(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def run() -> str:
        port = free_port()
        one = msgspec.structs.replace(secret(operator, "web1"), servers=(f"nats://127.0.0.1:{port}",))
        async with await asyncio.start_server(serve, "127.0.0.1", port):
            try:
                async with session(one, one.servers[0], lambda _: None) as current:
                    await current.publish(ban_subject("web1"), b"heard")
                    await asyncio.wait_for(current.closed.wait(), 60)
            except FleetError as error:
                return str(error)
        return ""

    return asyncio.run(run())


def test_a_server_that_is_no_broker_is_an_error_and_no_secret_goes_there(operator: Path) -> None:
    heard = bytearray()

    async def answer(reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(b"INFO " + b"x" * 9000 + b"\r\n")
        heard.extend(await reader.read(1 << 16))

    assert "no connection to the broker" in at_a_server(operator, answer)
    assert secret(operator, "web1").seed.encode() not in heard


@pytest.mark.parametrize(("times", "failure"), [(1, ""), (99, "it answers out of turn")])
def test_a_broker_that_says_something_before_its_answer_is_asked_again(
    operator: Path, times: int, failure: str
) -> None:
    """Else the host would be connected, hear nothing, and send nothing."""
    connections: list[bytes] = []
    information = b'INFO {"version":"2.12.9","max_payload":1048576,"nonce":"AAAAAAAAAAA"}\r\n'

    async def answer(reader: StreamReader, writer: StreamWriter) -> None:
        connections.append(b"")
        writer.write(information)
        await reader.readuntil(b"PING\r\n")
        writer.write(information + b"PONG\r\n" if len(connections) <= times else b"PONG\r\n")
        while b"heard" not in connections[-1] and (more := await reader.read(1 << 16)):
            connections[-1] += more

    assert failure in at_a_server(operator, answer)
    assert (b"heard" in connections[-1]) == (not failure)


def test_without_the_library_the_extra_is_named(operator: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nats.aio.client", None)
    with pytest.raises(LibraryMissing, match=r"portsentry-py\[fleet\]"):
        connect(secret(operator, "web1"))


def test_a_stream_without_a_store_is_refused(operator: Path, start_broker: Callable[[], Broker]) -> None:
    for name in ("nats.conf", "accounts.conf"):
        path = operator / "broker" / name
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if "jetstream" not in line))
    start_broker()
    with pytest.raises(FleetError, match=r"the broker refuses the stream \(.+\); look into its log\."):
        two_hosts(operator, lambda _, __: asyncio.sleep(0), [])
