"""The targets by name. Nothing of the sensor is imported here: the fuzzer has to be there first."""

from __future__ import annotations

from typing import NamedTuple


class Target(NamedTuple):
    """What is fuzzed, and how.

    Attributes:
        about: what goes in.
        inputs: tried without other wish; 0: until the time is over.
        seconds: the longest time for them.
        longest: bytes of an input.
        modules: those of the sensor whose branches guide the search; none: nothing guides it.
    """

    about: str
    inputs: int
    seconds: int
    longest: int
    modules: frozenset[str] = frozenset()


_CORE = (
    *(
        "decode",
        "gate",
        "probes",
        "flows",
        "served",
        "tables",
        "tools",
        "ledger",
        "scans",
        "ration",
        "policy",
    ),
    *("narrate", "engine", "host", "events"),
    *(
        f"detectors.{name}"
        for name in ("port_scan", "sweep", "slow", "stealth", "distributed", "outbound", "trap")
    ),
    *(f"detectors.{name}" for name in ("bucket", "packets", "points", "rejects")),
)

TARGETS = {
    "columns": Target("lines of tshark's", 10_000_000, 3600, 2048, frozenset(_CORE)),
    "configuration": Target("configuration files", 0, 600, 4096, frozenset({"config"})),
    "status": Target(
        "logs, and fail2ban's answers",
        0,
        600,
        16_384,
        frozenset({"log_reader", "overview", "overview_view", "jail_state"}),
    ),
    "jail": Target("log lines before fail2ban's filter", 0, 600, 16_384),
    "captures": Target("capture files before tshark", 0, 600, 65_536),
    "output": Target("what a program in tshark's place says", 0, 300, 65_536),
}
