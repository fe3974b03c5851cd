"""The operator's message to all hosts."""

from portsentry_py.errors import FleetError
from portsentry_py.fleet.broker import session
from portsentry_py.fleet.credentials import Credentials
from portsentry_py.fleet.subjects import ROSTER
from portsentry_py.fleet.versions import weakness


async def publish_roster(credentials: Credentials, roster: bytes, replicas: int) -> list[str]:
    """Make the stream and publish a signed roster; what is to be said about the broker.

    Raises:
        FleetError: no broker can be reached, or it refuses.
        LibraryMissing: nats-py is not installed.
    """
    failure = FleetError("the credentials name no broker; run `fleet init-operator` again.")
    for server in credentials.servers:
        try:
            return await _publish(credentials, server, roster, replicas)
        except FleetError as error:  # noqa: PERF203 - another broker may do
            failure = error
    raise failure


async def _publish(credentials: Credentials, server: str, roster: bytes, replicas: int) -> list[str]:
    async with session(credentials, server, lambda _: None) as current:
        await current.make_stream(replicas)
        refusal = await current.keep(ROSTER, roster)
        if refusal:
            raise FleetError(f"the broker did not keep the roster ({refusal}); look into its log.")
        return [sentence for sentence in [weakness(current.version)] if sentence]
