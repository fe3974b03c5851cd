"""The operator's roster reaches the broker, which keeps it for all hosts."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from portsentry_py.errors import FleetError
from portsentry_py.fleet import credentials, operator_folder, publish
from portsentry_py.fleet.broker import session
from portsentry_py.fleet.publish import publish_roster
from portsentry_py.fleet.subjects import ROSTER
from tests.support.fleet import NOW_US
from tests.support.fleet_brokers import Broker, free_port


def published(operator: Path, now_us: int = NOW_US, servers: tuple[str, ...] = ()) -> list[str]:
    boss = operator_folder.operator_credentials(operator)
    boss = msgspec.structs.replace(boss, servers=(*servers, *boss.servers))
    return asyncio.run(publish_roster(boss, operator_folder.signed_roster(operator, now_us), 1))


def kept(operator: Path) -> bytes | None:
    host = credentials.read(operator / "hosts/web1.json")

    async def ask() -> bytes | None:
        async with session(host, host.servers[0], lambda _: None) as current:
            return await current.kept(ROSTER)

    return asyncio.run(ask())


@pytest.mark.usefixtures("real_broker")
def test_the_broker_keeps_the_latest_roster(operator: Path) -> None:
    for now_us in (NOW_US, NOW_US + 1):
        assert published(operator, now_us) == []
    boss = operator_folder.operator_credentials(operator)
    roster = operator_folder.read_signed(kept(operator) or b"", boss.operator)
    assert (roster.issued_us, sorted(roster.hosts)) == (NOW_US + 1, ["web1", "web2", "web3"])


@pytest.mark.usefixtures("real_broker")
def test_a_broker_that_is_down_is_passed_over(operator: Path) -> None:
    assert published(operator, servers=(f"tls://127.0.0.1:{free_port()}",)) == []


def test_the_failure_of_the_last_broker_is_the_reason(operator: Path) -> None:
    with pytest.raises(FleetError, match="no connection to the broker"):
        published(operator)


def test_credentials_without_a_broker_are_refused(operator: Path) -> None:
    boss = msgspec.structs.replace(operator_folder.operator_credentials(operator), servers=())
    with pytest.raises(FleetError, match="name no broker"):
        asyncio.run(publish_roster(boss, b"", 1))


@pytest.mark.usefixtures("real_broker")
def test_what_is_wrong_with_the_broker_is_said(operator: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "weakness", lambda _: "it is old.")
    assert published(operator) == ["it is old."]


def test_a_roster_that_the_broker_does_not_keep_is_an_error(operator: Path, start_broker: Callable[[], Broker]) -> None:
    config = operator / "broker/nats.conf"
    config.write_text(config.read_text().replace("max_payload: 1MB", "max_payload: 1KB"))
    start_broker()
    for number in range(4, 50):
        operator_folder.add_host(operator, f"web{number}", f"45.33.{number}.1")
    with pytest.raises(FleetError, match=r"the broker did not keep the roster \(.+\); look into its log\."):
        published(operator)
