"""The list of a fleet as peers have it: each host fetches it every some seconds, and puts what is new into nftables.

polling.py serve LOG                       the addresses that a log bans, one on a line, for everybody who asks
polling.py poll SERVER SECONDS PHASE       fetches them; prints the time and the address of each rule

Standard library only.
"""

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

_PORT = 8080
_TABLE = "add table inet polled; add set inet polled listed { type ipv4_addr; }"


def _serve(log: str) -> None:
    with socket.create_server(("", _PORT)) as server:
        print("ready", flush=True)
        while True:
            client, _ = server.accept()
            with client:
                lines = map(json.loads, Path(log).read_text(encoding="ascii").splitlines())
                found = {line["src_ip"] for line in lines if line.get("verdict") == "ban"}
                client.sendall("\n".join(found).encode())


def _fetch(server: str) -> set[str]:
    with socket.create_connection((server, _PORT), 5) as client, client.makefile() as answer:
        return set(answer.read().split())


def _poll(server: str, seconds: str, phase: str) -> None:
    subprocess.run(["nft", _TABLE], check=True)
    known: set[str] = set()
    print("ready", flush=True)
    time.sleep(float(phase))
    while True:
        began = time.monotonic()
        new = _fetch(server) - known
        for address in new:
            subprocess.run(["nft", f"add element inet polled listed {{ {address} }}"], check=True)
            print(time.time(), address, flush=True)
        known |= new
        time.sleep(max(0.0, float(seconds) - (time.monotonic() - began)))


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        _serve(*sys.argv[2:])
    _poll(*sys.argv[2:])
