"""The connection to the broker. Only this module knows nats-py."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from portsentry_py.errors import FleetError, LibraryMissing
from portsentry_py.fleet.credentials import Credentials
from portsentry_py.fleet.subjects import KEPT, LISTEN, STREAM, get_subject, inbox

# A broker that dies with a question gives no answer: it is soon asked again.
_CONNECT_SECONDS, _ANSWER_SECONDS = 5, 2.0
_ADMINISTRATION_SECONDS = 5.0
# A broker that is cut off is noticed after the second ping that has no answer.
_PING_SECONDS, _MOST_PINGS = 5, 2
# What waits for us while we are behind; beyond it, messages are dropped and counted.
_MOST_WAITING, _MOST_BYTES = 20_000, 32 << 20
# If the broker says something else before its first answer, nats-py 2.16 stays in between: it neither sends nor fails.
_MOST_ATTEMPTS = 5
_MOST_KEPT_BYTES = 2 << 30

OnMessage = Callable[[str, bytes], None]
OnFault = Callable[[str], None]


class Session:
    """One connection, as long as it lasts."""

    def __init__(self, client: Any, closed: asyncio.Event) -> None:
        self._client = client
        self.closed = closed

    @property
    def version(self) -> str:
        """The version of the broker."""
        found = self._client.connected_server_version
        return f"{found.major}.{found.minor}.{found.patch}"

    async def publish(self, subject: str, payload: bytes) -> None:
        """Send a message and wait for nothing: the others get it even while the brokers elect a leader."""
        with suppress(Exception):  # the connection is over; the list that follows has it
            await self._client.publish(subject, payload)

    async def keep(self, subject: str, payload: bytes) -> str:
        """Send a message that the stream keeps; what went wrong, empty if it is kept."""
        try:
            answer = json.loads((await self._client.request(subject, payload, timeout=_ANSWER_SECONDS)).data)
            error = answer.get("error")
        except Exception as failure:  # noqa: BLE001 - whatever it is, it is tried again
            return _reason(failure)
        return str(error.get("description")) if error else ""

    async def kept(self, subject: str) -> bytes | None:
        """The message that the stream has of a subject, empty if it has none; None if nobody answers."""
        with suppress(Exception):  # the caller asks again
            found = await self._client.request(get_subject(subject), b"", timeout=_ANSWER_SECONDS)
            return b"" if "Status" in (found.headers or {}) else bytes(found.data)
        return None

    async def make_stream(self, replicas: int) -> None:
        """Make the stream, or give it the right settings.

        Raises:
            FleetError: the broker refuses.
        """
        from nats.js.api import StreamConfig  # noqa: PLC0415 - an extra

        config = StreamConfig(
            name=STREAM,
            subjects=list(KEPT),
            max_msgs_per_subject=1,
            max_bytes=_MOST_KEPT_BYTES // 2,
            max_consumers=8,
            num_replicas=replicas,
            allow_direct=True,
            # With one header, a stolen key could replace everything.
            allow_rollup_hdrs=False,
            deny_delete=True,
            deny_purge=True,
        )
        streams = self._client.jetstream(timeout=_ADMINISTRATION_SECONDS)
        try:
            try:
                await streams.add_stream(config)
            except Exception:  # noqa: BLE001 - it exists with other settings; if not, this fails as well
                await streams.update_stream(config)
        except Exception as error:
            raise FleetError(f"the broker refuses the stream ({_reason(error)}); look into its log.") from error

    async def listen(self, on_message: OnMessage) -> None:
        """Take each message of the fleet, in order."""

        async def take(message: Any) -> None:
            on_message(message.subject, message.data)

        await self._client.subscribe(LISTEN, cb=take, pending_msgs_limit=_MOST_WAITING, pending_bytes_limit=_MOST_BYTES)
        # nats-py sends a ping before what waits to be sent: the answer to the second shows that the broker has it.
        for _ in range(2):
            with suppress(Exception):
                await self._client.flush(_ANSWER_SECONDS)


@asynccontextmanager
async def session(credentials: Credentials, server: str, on_fault: OnFault) -> AsyncIterator[Session]:
    """A connection to one broker.

    Args:
        credentials: of this host.
        server: one of theirs.
        on_fault: gets what the broker or the library complains of.

    Raises:
        FleetError: the broker cannot be reached, or refuses.
        LibraryMissing: nats-py is not installed.
    """
    try:
        from nats.aio.client import Client  # noqa: PLC0415 - an extra
        from nats.errors import StaleConnectionError  # noqa: PLC0415 - same
    except ImportError as error:
        raise LibraryMissing("nats-py", "fleet") from error
    closed = asyncio.Event()
    faults: list[str] = []

    async def fault(error: Exception) -> None:
        faults.append(_reason(error))
        del faults[:-1]
        # The end of a connection is reported as such.
        if not isinstance(error, (OSError, StaleConnectionError)):
            on_fault(faults[-1])

    async def end() -> None:
        closed.set()

    uses_tls = server.startswith("tls://")
    options: dict[str, Any] = {}
    if uses_tls:
        # The client begins with TLS: else somebody between could answer that there is none.
        options = {"tls": _trust(credentials.authority), "tls_handshake_first": True}
    for _ in range(_MOST_ATTEMPTS):
        closed.clear()
        client = Client()
        try:
            await asyncio.wait_for(
                client.connect(
                    servers=[server],
                    name=credentials.name,
                    nkeys_seed_str=credentials.seed,
                    inbox_prefix=inbox(credentials.name),
                    allow_reconnect=False,
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    connect_timeout=_CONNECT_SECONDS,
                    ping_interval=_PING_SECONDS,
                    max_outstanding_pings=_MOST_PINGS,
                    error_cb=fault,
                    closed_cb=end,
                    disconnected_cb=end,
                    **options,
                ),
                4 * _CONNECT_SECONDS,
            )
        except Exception as error:
            await _close(client)
            raise _unavailable(server, faults[-1] if faults else _reason(error)) from error
        if client.is_connected:
            break
        await _close(client)
    else:
        raise _unavailable(server, "it answers out of turn")
    try:
        yield Session(client, closed)
    finally:
        await _close(client)


def _unavailable(server: str, reason: str) -> FleetError:
    return FleetError(f"{server}: no connection to the broker ({reason}); it is tried again.")


async def _close(client: Any) -> None:
    with suppress(Exception):
        await asyncio.wait_for(client.close(), _ANSWER_SECONDS)


def _trust(authority: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cadata=authority or None)
    except (ssl.SSLError, ValueError) as error:
        raise FleetError("the certificate in the credentials is damaged; run `fleet add-host` again.") from error


def _reason(error: BaseException) -> str:
    """A failure in a few words."""
    return (str(error) or type(error).__name__).removeprefix("nats: ").splitlines()[0][:200]
