"""Which bans other hosts have lifted, by the log of the fleet."""

from contextlib import suppress

from portsentry_py.events.model import FleetEvent
from portsentry_py.report.log_reader import read_event


def withdrawn(text: bytes) -> str:
    """The source that a line withdraws, an address or an IPv6 /64; empty for any other line."""
    with suppress(ValueError, RecursionError):
        event = read_event(text)
        if isinstance(event, FleetEvent) and event.state == "withdrawn":
            return event.src_net if event.src_net.endswith("/64") else event.src_ip
    return ""
