"""A second opinion on every server event of ours: the published schema and the SDK's types.

`tests/data/realtime-events.json` was generated from the `openai` package; the package
itself parses the event as openai-agents does, strictly.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

DATA = Path(__file__).parent / "data"

Event = dict[str, Any]

_JSON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


@cache
def _types() -> TypeAdapter[RealtimeServerEvent]:
    return TypeAdapter(RealtimeServerEvent)


@cache
def _schema() -> dict[str, dict[str, Any]]:
    file = json.loads((DATA / "realtime-events.json").read_text())
    return {event["type"]: event["fields"] for event in file["server"]}


def fields_of(type_: str) -> dict[str, dict[str, Any]]:
    """What the published event of that type has: name → `required`, `nullable`, `type`."""
    fields: dict[str, dict[str, Any]] = _schema()[type_]
    return fields


def check(event: Event) -> Event:
    """Fail if a client that knows the published types would stumble over the event."""
    fields = fields_of(event["type"])
    for name, field in fields.items():
        assert name in event or not field["required"], f"{event['type']} lacks {name}"
        if event.get(name) is not None:
            assert isinstance(event[name], _expected(field["type"])), f"{event['type']}.{name}"
        else:
            assert name not in event or field["nullable"], f"{event['type']}.{name} is null"
    unknown = event.keys() - fields.keys()
    assert not unknown, f"{event['type']} has {unknown}"
    _types().validate_python(event)
    return event


def _expected(kind: str) -> tuple[type, ...]:
    """The JSON types of a schema type such as `array<object:…>` or `"duration" | string`."""
    expected: tuple[type, ...] = ()
    for option in kind.split(" | "):
        name = "string" if option.startswith('"') else option.partition("<")[0].partition(":")[0]
        expected += _JSON_TYPES.get(name, (object,))
    return expected
