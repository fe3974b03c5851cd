"""Readings of a sensor that a test makes up."""

from dataclasses import fields, replace
from typing import Any

from portsentry_py.events.model import StatusEvent
from portsentry_py.output.sink import Reading

_COUNTS = [item.name for item in fields(StatusEvent) if item.type is int and item.name != "schema"]
COUNTS = {name: 100 + place for place, name in enumerate(_COUNTS)}
"""Every count of a status line with a number of its own."""


def reading(**changes: Any) -> Reading:
    """A reading of a sensor that hears; the changes are those of the reading or of its status line."""
    status = StatusEvent(
        timestamp="2026-11-20T08:41:57.408980Z",
        verdict="none",
        state="running",
        reason="none",
        version="0.1.0",
        **{name: changes.pop(name, count) for name, count in COUNTS.items()},
    )
    made = Reading(
        status=status,
        hears=True,
        tshark_version="4.0.17",
        tshark_bytes=70_000_000,
        lag_seconds=0.25,
        sources=12,
        ban_budget=150.5,
        lines={"log": (8, 1)},
    )
    return replace(made, **changes)
