"""Any line that the types of its fields and the core allow, drawn by hypothesis."""

import dataclasses
from typing import Any, Literal, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

import portsentry_py
from portsentry_py.core.decode import canonical_address
from portsentry_py.core.host_state import network_of
from portsentry_py.events.model import SCHEMA_VERSION, Event, utc

INTERFACE = r"[A-Za-z0-9_.:@-]{1,64}"
addresses = st.one_of(
    *(st.ip_addresses(), st.ip_addresses(network="203.0.113.0/24"), st.ip_addresses(network="2001:db8::/64")),
    st.ip_addresses(v=4).map(lambda address: f"::ffff:{address}"),
    st.sampled_from(["::", "::1", "0.0.0.0", "0.0.0.1", "255.255.255.255", "64:ff9b::192.0.2.1"]),
).map(lambda address: canonical_address(str(address)))
_PORTS = st.integers(0, 65_535)
_NAMED: dict[str, st.SearchStrategy[Any]] = {
    "schema": st.just(SCHEMA_VERSION),
    "vlan": st.none() | st.integers(1, 4095),
    "in_iface": st.none() | st.from_regex(INTERFACE, fullmatch=True),
    "version": st.just(portsentry_py.__version__),
    "reporters": st.lists(st.from_regex(r"[a-z0-9]{1,32}", fullmatch=True), max_size=16).map(tuple),
    "ports_sample": st.lists(_PORTS, max_size=16).map(tuple),
}
_UNITS: dict[str, st.SearchStrategy[Any]] = {
    "UTC, RFC 3339, six decimals": st.integers(0, 253_402_300_799_999_999).map(utc),
    "canonical address": addresses,
    "CIDR": addresses.map(network_of) | st.just("::/64") | st.just("0.0.0.0/24"),
    "16 hex digits": st.binary(min_size=8, max_size=8).map(bytes.hex),
    "port": _PORTS,
    "two letters": st.none() | st.from_regex(r"[A-Z]{2}", fullmatch=True),
}


def events_of(event_class: type[Event]) -> st.SearchStrategy[Event]:
    """Any event of a class."""
    hints = get_type_hints(event_class)
    return st.builds(
        event_class, **{item.name: _values(item, hints[item.name]) for item in dataclasses.fields(event_class)}
    )


def _values(item: dataclasses.Field[Any], hint: Any) -> st.SearchStrategy[Any]:
    unit = item.metadata.get("unit", "")
    if item.name in _NAMED:
        return _NAMED[item.name]
    if unit in _UNITS:
        return _UNITS[unit]
    if hint is bool:
        return st.booleans()
    optional = st.none() if type(None) in get_args(hint) else st.nothing()
    words = [word for part in (hint, *get_args(hint)) if get_origin(part) is Literal for word in get_args(part)]
    if words:
        return st.sampled_from(words) | optional
    assert int in {hint, *get_args(hint)}, f"{item.name} may hold what no other field may"
    return st.integers(0, (1 << 63) - 1) | optional
