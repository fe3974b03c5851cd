"""Grafana's own schema of a dashboard, as its foundation SDK has it: the keys, and what each may hold."""

import enum
import json
import types
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

_MODELS = "grafana_foundation_sdk.models"


def complaints(source: dict[str, Any]) -> list[str]:
    """What Grafana would not understand of a dashboard: keys that it does not know, and values of another type."""
    register_default_plugins()
    read = Dashboard.from_json(source)
    return [*_lost(source, json.loads(JSONEncoder().encode(read)), ""), *_wrong(read, type(read), "")]


def _lost(source: Any, written: Any, place: str) -> Iterator[str]:
    """The keys that are gone after it was read and written."""
    if isinstance(source, dict) and isinstance(written, dict):
        for key, value in source.items():
            if key not in written and value is not None:
                yield f"{place}.{key}: unknown"
            elif value is not None:
                yield from _lost(value, written[key], f"{place}.{key}")
    elif isinstance(source, list) and isinstance(written, list):
        for number, (one, other) in enumerate(zip(source, written, strict=True)):
            yield from _lost(one, other, f"{place}[{number}]")
    elif source != written:
        yield f"{place}: {source!r} became {written!r}"


def _wrong(value: Any, hint: Any, place: str) -> Iterator[str]:
    """The places whose value is not of the type that the schema gives them."""
    inner = get_args(hint)
    if value is None:
        return
    if get_origin(hint) in {Union, types.UnionType}:
        found = [list(_wrong(value, one, place)) for one in inner if one is not type(None)]
        if all(found):  # what is wrong deepest inside is wrong with the kind that was meant
            yield from max(found, key=lambda wrong: len(wrong[0].partition(":")[0]))
    elif get_origin(hint) is list and isinstance(value, list):
        for number, one in enumerate(value):
            yield from _wrong(one, inner[0], f"{place}[{number}]")
    elif not _fits(value, hint):
        yield f"{place}: {value!r} is no {getattr(hint, '__name__', hint)}"
    elif type(value).__module__.startswith(_MODELS) and not isinstance(value, enum.Enum):
        hints = get_type_hints(type(value))
        for name, one in vars(value).items():
            yield from _wrong(one, hints[name], f"{place}.{name}")


def _fits(value: Any, hint: Any) -> bool:
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if hint is float:
        return type(value) in {int, float}
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return value in {one.value for one in hint}
    if hint in {int, bool}:
        return type(value) is hint
    # A part that belongs to a kind of panel has no type here, and a class of its own.
    return not isinstance(hint, type) or isinstance(value, hint)
