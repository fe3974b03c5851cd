"""Messages of hosts of a fleet, and a receiver of them."""

from ipaddress import ip_network

from portsentry_py.config.settings import Fleet
from portsentry_py.fleet.change import Change
from portsentry_py.fleet.messages import Ban, BanMessage, Contact, SeenMessage, StateMessage, encode
from portsentry_py.fleet.protection import Protection
from portsentry_py.fleet.receiver import Receiver
from portsentry_py.fleet.roster import Roster

NOW_US = 1_795_000_000_000_000
MINUTE_US = 60_000_000
SCANNER = "45.33.32.156"
ROSTER = Roster(
    NOW_US,
    {
        "web1": ip_network("198.51.100.1"),
        "web2": ip_network("203.0.113.2"),
        "web3": ip_network("203.0.113.3"),
        "db1": ip_network("192.0.2.4"),
    },
    (ip_network("9.9.9.0/24"),),
)


def ban(address: str = SCANNER, *, verified: bool = True, until_us: int = NOW_US + 10 * MINUTE_US) -> Ban:
    """A ban of a port scanner; an IPv6 source is a /64."""
    return Ban(address, 64 if ":" in address else 32, verified, "port_scan", "syn", until_us)


def ban_payload(one: Ban, issued_us: int = NOW_US) -> bytes:
    return encode(BanMessage(1, issued_us, one))


def state_payload(*bans: Ban, issued_us: int = NOW_US) -> bytes:
    return encode(StateMessage(1, issued_us, bans))


def contact(address: str = SCANNER, port: int = 22, *, verified: bool = False) -> Contact:
    return Contact(address, port, "syn", verified)


def seen_payload(*contacts: Contact, issued_us: int = NOW_US, left_out: int = 0) -> bytes:
    return encode(SeenMessage(1, issued_us, left_out, contacts))


def receiver(settings: Fleet | None = None, protection: Protection | None = None) -> Receiver:
    """The receiver of the host db1."""
    found = Receiver(settings or Fleet(), "db1")
    assert found.set_roster(ROSTER, NOW_US) == []
    assert found.set_protection(protection or Protection(), NOW_US) == []
    return found


def refused(found: Receiver) -> dict[tuple[str, str], int]:
    return dict(found.refusals.counts)


def banned(changes: list[Change]) -> list[str]:
    """The sources that the changes ban."""
    return [change.ban.source for change in changes if change.bans]
