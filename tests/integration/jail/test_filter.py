"""Whatever lines the schema allows: the real fail2ban-regex takes those of verdict `ban`, and no others."""

import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portsentry_py.core.host_state import network_of
from portsentry_py.events.schema import schema
from portsentry_py.fail2ban.filter_test import ModeResult, run_mode
from portsentry_py.fail2ban.pack import pack_files
from portsentry_py.fail2ban.samples import Sample
from tests.support.needs import require_tool

CLASSES = {one["title"]: one for one in schema()["oneOf"]}
# One run of fail2ban-regex reads a batch; what it costs is the start.
BATCHES = settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
BATCH = 30

ADDRESSES = st.one_of(
    *(st.ip_addresses(network=network) for network in ("203.0.113.0/24", "198.18.0.0/15", "2001:db8::/32"))
).map(str)


def _text(key: str) -> st.SearchStrategy[str]:
    if key in {"timestamp", "first_seen", "last_seen"}:
        times = st.datetimes(min_value=datetime(2026, 1, 1), max_value=datetime(2026, 12, 31))  # noqa: DTZ001 - made UTC below
        return times.map(lambda time: time.isoformat(timespec="microseconds") + "Z")
    if key.endswith("_ip"):
        return ADDRESSES
    if key == "src_net":
        return ADDRESSES.map(network_of)
    if key == "event_id":
        return st.from_regex(r"[0-9a-f]{16}", fullmatch=True)
    return st.from_regex(r"[a-z0-9.@-]{1,15}", fullmatch=True)  # interface, version


def _value(key: str, kind: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "const" in kind:
        return st.just(kind["const"])
    if "enum" in kind:
        return st.sampled_from(kind["enum"])
    if kind["type"] == "boolean":
        return st.booleans()
    if kind["type"] == "integer":
        return st.integers(kind["minimum"], kind.get("maximum", 10**9))
    if kind["type"] == "array":
        return st.lists(_value(key, kind["items"]), max_size=kind["maxItems"])
    return _text(key)


@st.composite
def lines(draw: st.DrawFn, /, event_type: str, **fixed: list[Any]) -> dict[str, Any]:
    """Draw a line of the schema, with some keys from lists of their own and optional ones at will."""
    one = CLASSES[event_type]
    optional = set(one["properties"]) - set(one["required"])
    line = {
        key: draw(st.sampled_from(fixed[key]) if key in fixed else _value(key, kind))
        for key, kind in one["properties"].items()
        if key not in optional or draw(st.booleans())
    }
    if "src_net" in line and "src_net" not in fixed:
        line["src_net"] = network_of(line["src_ip"])
    return line


def samples(drawn: list[dict[str, Any]], mode: str = "") -> list[Sample]:
    return [
        Sample(
            str(number),
            line.get("src_ip", "none"),
            json.dumps(line, separators=(",", ":")),
            frozenset({mode}),
            source=_network(line),
        )
        for number, line in enumerate(drawn)
    ]


def _network(line: dict[str, Any]) -> str:
    """The /64 with which an IPv6 source is banned."""
    network = str(line.get("src_net", ""))
    return network if ":" in line.get("src_ip", "") and ":" in network else ""


def run(mode: str, drawn: list[dict[str, Any]], expected: str = "") -> ModeResult:
    files = [file for file in pack_files() if file.target.startswith("filter.d")]
    return run_mode(mode, files, samples(drawn, expected))


NOT_BANNED = st.one_of(
    lines("connection"),
    lines("status"),
    lines("scan", verdict=["watch", "ignore", "none"]),
    lines("trap", verdict=["watch", "ignore", "none"]),
    lines("scan", direction=["outbound"]),
    lines("scan", technique=["outbound"]),
)
BANNED = st.one_of(
    *(
        lines(
            event_type,
            verdict=["ban"],
            direction=["inbound"],
            technique=["port_scan", "sweep", "slow", "distributed", "stealth", "trap"],
        )
        for event_type in ("scan", "trap")
    )
)


@pytest.mark.parametrize("mode", ["normal", "network"])
@BATCHES
@given(drawn=st.lists(NOT_BANNED, min_size=1, max_size=2 * BATCH))
def test_no_other_line_is_ever_matched(mode: str, drawn: list[dict[str, Any]]) -> None:
    require_tool("fail2ban-regex")

    assert run(mode, drawn).matched == ()


@BATCHES
@given(drawn=st.lists(BANNED, min_size=1, max_size=BATCH))
def test_every_line_of_verdict_ban_is_matched(drawn: list[dict[str, Any]]) -> None:
    require_tool("fail2ban-regex")

    result = run("normal", drawn, "normal")

    assert (result.missed, result.wrong) == ((), ())
