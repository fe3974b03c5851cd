"""A scanner that proves its address: connections to closed ports, and to an open one among the first.

visitor.py serve                    accepts connections on port 22
visitor.py scan TARGET SOURCE COUNT  prints the time of its first packet

Standard library only.
"""

import contextlib
import socket
import sys
import time

_OPEN, _FIRST = 22, 1001


def _serve() -> None:
    with socket.create_server(("", _OPEN)) as server:
        print("ready", flush=True)
        while True:
            client, _ = server.accept()
            with client, contextlib.suppress(OSError):
                client.recv(1)


def _connect(target: str, source: str, port: int) -> None:
    with contextlib.suppress(OSError), socket.create_connection((target, port), 1, (source, 0)):
        pass


def _scan(target: str, source: str, count: str) -> None:
    print(time.time(), flush=True)
    ports = [*range(_FIRST, _FIRST + int(count))]
    for port in (*ports[:3], _OPEN, *ports[3:]):
        _connect(target, source, port)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        _serve()
    _scan(*sys.argv[2:])
