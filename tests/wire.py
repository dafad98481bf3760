"""A second opinion on every server event of ours: the published schema and the SDK's types.

The schema is the one the gateway itself can check with (`gateway.conformance`); the SDK's own
package parses the event as openai-agents does, strictly.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

from gateway.conformance import Conformance

DATA = Path(__file__).parent / "data"
GOLDEN = DATA / "golden"

Event = dict[str, Any]


@cache
def _types() -> TypeAdapter[RealtimeServerEvent]:
    return TypeAdapter(RealtimeServerEvent)


@cache
def schema() -> dict[str, Any]:
    """The published schema: `client`, `server`, `beta`, `models`."""
    text = (files("gateway.realtime.schema") / "realtime-events.json").read_text()
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def fields_of(type_: str) -> dict[str, dict[str, Any]]:
    """What the published event of that type has: name → `required`, `nullable`, `type`."""
    fields: dict[str, dict[str, dict[str, Any]]] = {
        event["type"]: event["fields"] for event in schema()["server"]
    }
    return fields[type_]


def check(event: Event) -> Event:
    """Fail if a client that knows the published types would stumble over the event."""
    Conformance().check(event)
    _types().validate_python(event)
    return event


def check_beta(event: Event) -> Event:
    """The same for the dialect before general availability. The SDK's types of it are lax."""
    Conformance(beta=True).check(event)
    return event
