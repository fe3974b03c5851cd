"""A fleet of three hosts, and its broker, a real one."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from portsentry_py.fleet import operator_folder
from tests.support.fleet_brokers import Broker, free_port
from tests.support.fleet_lab import BROKER, own_loopback
from tests.support.waiting import wait_for


@pytest.fixture
def operator(tmp_path: Path) -> Path:
    """The operator's folder of a fleet with one broker on loopback."""
    folder = tmp_path / "operator"
    operator_folder.create(folder, [f"{own_loopback(1)}:{free_port()}"], None, tls=True, plain_text=False)
    for number in range(1, 4):
        operator_folder.add_host(folder, f"web{number}", f"45.33.{number}.1")
    return folder


@pytest.fixture
def start_broker(tmp_path: Path, operator: Path) -> Iterator[Callable[[], Broker]]:
    """Starts the broker with the configuration that the operator's folder has then."""
    brokers: list[Broker] = []

    def start() -> Broker:
        broker = Broker(tmp_path / "b1", operator / "broker", own_loopback(1), BROKER)
        brokers.append(broker)
        broker.start()
        wait_for(lambda: _answers(broker), "the broker", evidence=broker.log)
        return broker

    yield start
    for broker in brokers:
        broker.kill()


@pytest.fixture
def real_broker(start_broker: Callable[[], Broker]) -> Broker:
    """The broker, which runs."""
    return start_broker()


def _answers(broker: Broker) -> bool:
    with socket.socket() as client:
        return client.connect_ex((broker.address, broker.port)) == 0
