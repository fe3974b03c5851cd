"""A line of the log against the published schema."""

import json
from typing import Any

import jsonschema

from portsentry_py.events import schema

_VALIDATOR = jsonschema.Draft202012Validator(json.loads(schema.text()))


def validate(line: bytes) -> dict[str, Any]:
    """The line as a mapping; it keeps the schema and has no key twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        assert len(set(names)) == len(names), names
        return dict(pairs)

    record: dict[str, Any] = json.loads(line, object_pairs_hook=unique)
    _VALIDATOR.validate(record)
    return record
