"""Serves the metrics and the health of the sensor over HTTP, to few clients and to none for long."""

import logging
import socket
import sys
import threading
import time
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

from prometheus_client.exposition import choose_encoder

from portsentry_py.output.metrics import Metrics

_MAX_CLIENTS = 8
_CLIENT_SECONDS = 5.0
_TRY_SECONDS = 2.0
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - how to reach a socket that listens there
_diagnostics = logging.getLogger(__name__)


class MetricsServer:
    """A server in threads of its own.

    Args:
        metrics: what it serves, as `/metrics` and `/-/healthy`.
        address: where it listens, such as `127.0.0.1:9797`.

    Raises:
        OSError: it cannot listen there.
    """

    def __init__(self, metrics: Metrics, address: str) -> None:
        self._name = address
        host, _, port = address.rpartition(":")
        self._server = _server(metrics, host.strip("[]"), int(port))
        self.port: int = self._server.server_address[1]
        self._reached_at = (_EVERYWHERE.get(host.strip("[]"), host.strip("[]")), self.port)
        self._thread = threading.Thread(target=self._serve, name="metrics", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        try:
            socket.create_connection(self._reached_at, _TRY_SECONDS).close()
        except OSError as error:
            _diagnostics.error(
                "metrics.listen: %s cannot be reached from this host (%s); if this is the systemd unit, run "
                "`systemctl edit portsentry-py` and add IPAddressAllow=localhost below [Service].",
                *(self._name, error.strerror or error),
            )
        self._server.serve_forever()

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()


def _server(metrics: Metrics, host: str, port: int) -> "_Server":
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    kind = type("_FamilyServer", (_Server,), {"address_family": family})
    found: _Server = kind((host, port), _Handler)
    found.metrics = metrics
    return found


class _Server(ThreadingMixIn, TCPServer):
    """Any local user can connect: connections are few, and each ends after some seconds."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    metrics: Metrics

    def __init__(self, *arguments: Any) -> None:
        self._open: dict[socket.socket, float] = {}
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        if len(self._open) >= _MAX_CLIENTS:
            self.shutdown_request(request)
            return
        self._open[request] = time.monotonic()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._open.pop(request, None)

    def service_actions(self) -> None:
        """Called twice a second."""
        for request, since in list(self._open.items()):
            if time.monotonic() - since > _CLIENT_SECONDS:
                with suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - socketserver's signature
        """Report a bug; a client that went away is no news."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            _diagnostics.error("metrics: a request failed; please report this.", exc_info=error)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _CLIENT_SECONDS

    def do_GET(self) -> None:
        """Answer one request."""
        metrics = self.server.metrics
        match self.path.partition("?")[0]:
            case "/metrics":
                encode, kind = choose_encoder(self.headers.get("Accept", ""))
                self._answer(HTTPStatus.OK, encode(metrics.registry), kind)
            case "/-/healthy" if metrics.hears:
                self._answer(HTTPStatus.OK, b"The capture hears what passes.\n")
            case "/-/healthy":
                self._answer(HTTPStatus.SERVICE_UNAVAILABLE, b"The capture hears nothing; see the sensor's journal.\n")
            case _:
                self._answer(HTTPStatus.NOT_FOUND, b"There are /metrics and /-/healthy.\n")

    def _answer(self, status: HTTPStatus, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        """The name in the header."""
        return "portsentry-py"

    def log_message(self, *_: object) -> None:
        """A request is no diagnostic."""
