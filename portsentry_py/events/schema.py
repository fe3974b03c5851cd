"""The JSON Schema of the line, from the event classes; event.schema.json is its committed copy."""

import json
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from portsentry_py.events.model import EVENT_CLASSES, SCHEMA_VERSION, Event

_PATTERNS = {
    "UTC, RFC 3339, six decimals": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$",
    "canonical address": r"^[0-9a-f:.]{2,45}$",
    "CIDR": r"^[0-9a-f:.]{2,45}/\d{1,3}$",
    "16 hex digits": r"^[0-9a-f]{16}$",
    "two letters": r"^[A-Z]{2}$",
    "host name": r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$",
}
_MAX_PORT = 65_535


def schema() -> dict[str, Any]:
    """The schema: one object per line, whose keys depend on `event_type`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"portsentry_py event line, schema {SCHEMA_VERSION}",
        "oneOf": [_of(event_class) for event_class in EVENT_CLASSES],
    }


def text() -> str:
    """The content of event.schema.json."""
    return json.dumps(schema(), indent=2) + "\n"


def _of(event_class: type[Event]) -> dict[str, Any]:
    hints = get_type_hints(event_class)
    properties: dict[str, Any] = {}
    required: list[str] = []
    for item in fields(event_class):
        unit = item.metadata.get("unit", "")
        doc = item.metadata.get("doc", "version of this contract")
        properties[item.name] = {"description": doc, **_type(hints[item.name], unit)}
        if item.name == "timestamp":
            properties["event_type"] = {"description": "what kind of line", "const": event_class.event_type}
            required += ["timestamp", "event_type"]
        elif type(None) not in get_args(hints[item.name]):
            required.append(item.name)
    properties["schema"] = {"description": "version of this contract", "const": SCHEMA_VERSION}
    return {
        "title": event_class.event_type,
        "description": (event_class.__doc__ or "").strip(),
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _type(hint: Any, unit: str) -> dict[str, Any]:
    options = [option for option in get_args(hint) if option is not type(None)]
    if get_origin(hint) is Literal:
        return {"enum": options}
    if hint is bool:
        return {"type": "boolean"}
    if get_origin(hint) is tuple:
        return {"type": "array", "maxItems": 16, "items": _type(options[0], unit if options[0] is str else "port")}
    if options:
        return _type(options[0], unit)
    if hint is int:
        return {"type": "integer", "minimum": 0, **({"maximum": _MAX_PORT} if unit == "port" else {})}
    return {"type": "string", **({"pattern": _PATTERNS[unit]} if unit in _PATTERNS else {})}


if __name__ == "__main__":
    print(text(), end="")  # noqa: T201 - `python -m portsentry_py.events.schema` makes event.schema.json
