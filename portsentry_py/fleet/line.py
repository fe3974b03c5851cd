"""A change of what others report, as a line of the log."""

from typing import Literal

from portsentry_py.events.model import FleetEvent, Verdict, utc
from portsentry_py.fleet.change import Change
from portsentry_py.fleet.messages import network64

_MOST_REPORTERS = 16


def line(change: Change, mode: Literal["ban", "watch"], now_us: int) -> FleetEvent:
    """The line; what is withdrawn bans nobody."""
    ban = change.ban
    match ban.prefix:
        case 64:
            network = network64(ban.address)
        case 32:
            network = f"{ban.address.rpartition('.')[0]}.0/24"
        case _:
            network = f"{ban.address}/128"
    verdict: Verdict = "watch" if change.is_doubtful else mode
    return FleetEvent(
        timestamp=utc(now_us),
        verdict=verdict if change.bans else "none",
        src_ip=ban.address,
        source_verified=ban.verified,
        scan_type=ban.scan_type,
        technique="fleet" if change.port is None else "fleet_sweep",
        state="reported" if change.bans else "withdrawn",
        dest_port=change.port,
        src_net=network,
        reporters=change.hosts[:_MOST_REPORTERS],
        evidence=ban.evidence,
        until=utc(change.until_us),
    )
