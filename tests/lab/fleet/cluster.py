"""What the brokers say of the stream: who leads it, and whether all have it."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats

from portsentry_py.fleet import credentials
from portsentry_py.fleet.subjects import inbox
from tests.support.fleet_lab import FleetLab
from tests.support.waiting import wait_for


@asynccontextmanager
async def client(path: Path, **options: Any) -> AsyncIterator[Any]:
    """A client of NATS with the credentials in a file, without any of our code between."""
    secret = credentials.read(path)
    if secret.authority:
        options |= {"tls": ssl.create_default_context(cadata=secret.authority), "tls_handshake_first": True}
    options.setdefault("error_cb", _ignore)
    servers, prefix = list(secret.servers), inbox(secret.name)
    found = await nats.connect(servers, nkeys_seed_str=secret.seed, inbox_prefix=prefix, **options)
    try:
        yield found
    finally:
        await found.close()


async def _ignore(_: Exception) -> None:
    """Say nothing of brokers that are down: nats-py would print a traceback."""


async def _cluster(lab: FleetLab) -> dict[str, Any]:
    async with client(lab.operator / "operator.json", allow_reconnect=False) as operator:
        answer = await operator.request("$JS.API.STREAM.INFO.PSP", b"", timeout=2)
    found: dict[str, Any] = json.loads(answer.data).get("cluster", {})
    return found


def leader(lab: FleetLab) -> str:
    """The broker that leads the stream, as soon as all brokers have all of it."""

    def look() -> str | None:
        try:
            found = asyncio.run(_cluster(lab))
        except Exception:  # noqa: BLE001 - they may be electing one
            return None
        others = found.get("replicas", [])
        is_whole = len(others) == len(lab.brokers) - 1 and all(one.get("current") for one in others)
        return str(found["leader"]) if is_whole and found.get("leader") else None

    return wait_for(look, "a leader whose brokers have everything")
