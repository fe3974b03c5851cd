"""What must hold of whatever the sensor writes or prints, stated a second time."""

import re
from collections.abc import Callable
from functools import cache, lru_cache
from ipaddress import ip_address, ip_network
from typing import Any

import orjson

from portsentry_py.events.model import Event
from portsentry_py.events.schema import schema
from tests.support.build import log_lines

LONGEST_LINE = 2048
_ADDRESSES = frozenset({"src_ip", "dest_ip"})
_INTERFACE = re.compile(r"[A-Za-z0-9_.:@-]{1,64}", re.ASCII)

Check = Callable[[Any], bool]


def line_of(event: Event) -> bytes:
    (line,) = log_lines([event])
    return line


def check_line(line: bytes) -> dict[str, Any]:
    """Fail unless this is a line that the schema allows: compact, in order, all printable ASCII."""
    text = line.decode("ascii")
    assert text.endswith("\n"), text
    assert text[:-1].isprintable(), text
    assert len(text) < LONGEST_LINE, text
    record: dict[str, Any] = orjson.loads(line)
    # Written again it is the same: no key stands in it twice, and no blank.
    assert orjson.dumps(record) + b"\n" == line, text
    required, optional, checks = _shapes()[record["event_type"]]
    assert [key for key in record if key not in optional] == required, text
    for key, content in record.items():
        assert checks[key](content), (key, text)
    return record


def check_text(text: str) -> None:
    """Fail if a terminal would take some of it for more than text."""
    bad = {character for character in text if character != "\n" and not character.isprintable()}
    assert not bad, (bad, text[:500])


def check_sentences(text: str, most: int = 20, longest: int = 600) -> None:
    """Fail unless these are a few sentences for a person, a line each."""
    check_text(text)
    lines = text.split("\n")
    assert 0 < len(lines) <= most, len(lines)
    for line in lines:
        assert line.endswith((".", "?")), line
        assert len(line) <= longest, line


@lru_cache(maxsize=65_536)
def is_canonical(address: str) -> bool:
    """Whether an address is written the one way that the log has for it, on every Python."""
    if "%" in address:
        return False
    one = ip_address(address)
    mapped = getattr(one, "ipv4_mapped", None)
    return address == (str(one) if mapped is None else f"::ffff:{mapped}")


@cache
def _shapes() -> dict[str, tuple[list[str], set[str], dict[str, Check]]]:
    """Of each event type: the keys that are always there, in order, the others, and what each may hold."""
    return {
        part["title"]: (
            part["required"],
            set(part["properties"]) - set(part["required"]),
            {key: _check(key, kind) for key, kind in part["properties"].items()},
        )
        for part in schema()["oneOf"]
    }


def _check(key: str, kind: dict[str, Any]) -> Check:
    if key in _ADDRESSES:
        return is_canonical
    if key == "src_net":
        return lambda content: str(ip_network(content)) == content or _is_mapped_net(content)
    if key == "in_iface":
        return lambda content: _INTERFACE.fullmatch(content) is not None
    if "const" in kind:
        return lambda content: content == kind["const"]
    if "enum" in kind:
        return lambda content: content in kind["enum"]
    if kind["type"] == "boolean":
        return lambda content: isinstance(content, bool)
    if kind["type"] == "integer":
        most = kind.get("maximum", 1 << 63)
        return lambda content: type(content) is int and kind["minimum"] <= content <= most
    if kind["type"] == "array":
        one = _check("", kind["items"])
        return lambda content: len(content) <= kind["maxItems"] and all(map(one, content))
    pattern = re.compile(kind.get("pattern", r"^[0-9A-Za-z.+!_-]{1,40}$"), re.ASCII)
    return lambda content: pattern.search(content) is not None


def _is_mapped_net(content: str) -> bool:
    """Pythons differ in how they write IPv4 inside IPv6."""
    return ip_network(content).network_address.packed[:8] == bytes(8)
