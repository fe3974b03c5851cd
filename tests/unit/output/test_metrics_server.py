"""The HTTP server of the metrics: what it answers, and that no client can hold it."""

import logging
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection

import pytest

from portsentry_py.output import metrics_server
from portsentry_py.output.metrics import Metrics
from portsentry_py.output.metrics_server import MetricsServer
from tests.support.readings import reading
from tests.support.waiting import wait_for


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(200)


@pytest.fixture
def server(metrics: Metrics) -> Iterator[MetricsServer]:
    with closing(MetricsServer(metrics, "127.0.0.1:0")) as made:
        yield made


def get(server: MetricsServer, path: str, accept: str = "") -> tuple[int, str, str]:
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=30)) as client:
        client.request("GET", path, headers={"Accept": accept})
        answer = client.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read().decode()


def test_the_metrics_are_served_as_text_and_as_openmetrics(server: MetricsServer, metrics: Metrics) -> None:
    metrics.observe(reading())
    status, kind, text = get(server, "/metrics")
    assert (status, kind.partition(";")[0]) == (200, "text/plain")
    assert "\nportsentry_sources 12.0\n" in text
    status, kind, text = get(server, "/metrics?x=1", "application/openmetrics-text; version=1.0.0")
    assert (status, kind.partition(";")[0]) == (200, "application/openmetrics-text")
    assert text.endswith("# EOF\n")


def test_the_sensor_is_healthy_while_the_capture_hears(server: MetricsServer, metrics: Metrics) -> None:
    assert get(server, "/-/healthy")[0] == 503
    metrics.observe(reading())
    assert get(server, "/-/healthy")[0] == 200
    metrics.observe(reading(hears=False))
    assert get(server, "/-/healthy")[0] == 503
    assert get(server, "/")[0] == 404


def test_an_ipv6_address_is_served_too(metrics: Metrics) -> None:
    with (
        closing(MetricsServer(metrics, "[::1]:0")) as server,
        closing(HTTPConnection("::1", server.port, timeout=30)) as client,
    ):
        client.request("GET", "/metrics")
        assert client.getresponse().status == 200


def test_a_port_that_is_taken_is_refused(server: MetricsServer, metrics: Metrics) -> None:
    with pytest.raises(OSError, match="in use"):
        MetricsServer(metrics, f"127.0.0.1:{server.port}")


def test_clients_that_say_nothing_are_cut_off(
    server: MetricsServer, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics.observe(reading())
    monkeypatch.setattr(metrics_server, "_CLIENT_SECONDS", 0.2)
    with ExitStack() as opened:
        idle = [opened.enter_context(socket.create_connection(("127.0.0.1", server.port))) for _ in range(20)]
        for client in idle:
            client.settimeout(30)
            assert client.recv(1) == b"", "the server has ended it"

        def answered() -> bool:
            try:
                return get(server, "/-/healthy")[0] == 200
            except OSError:
                return False

        wait_for(answered, "an answer to a client that asks")


def test_a_client_that_goes_away_is_no_news_and_a_bug_is(
    server: MetricsServer, metrics: Metrics, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.send(b"GET /metrics HTTP/1.0\r\n\r\n")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert get(server, "/metrics")[0] == 200
    assert caplog.text == ""

    class Buggy(Metrics):
        @property
        def hears(self) -> bool:
            raise KeyError("a bug")

    monkeypatch.setattr(metrics, "__class__", Buggy)
    with pytest.raises(OSError, match="without response"):
        get(server, "/-/healthy")
    wait_for(lambda: "please report this" in caplog.text, "the diagnostic")


def test_a_server_that_its_own_host_cannot_reach_is_reported(
    metrics: Metrics, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under the unit's IPAddressDeny=any, where no client ever gets an answer."""

    def refuse(*_: object) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", refuse)
    with closing(MetricsServer(metrics, "127.0.0.1:0")):
        wait_for(lambda: "IPAddressAllow=localhost" in caplog.text, "the diagnostic")
