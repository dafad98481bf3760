"""The wire of the GA dialect: JSON text to client events, server events to JSON text.

`dialects.py` says which dialect a connection speaks; the others are built on this one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from .checks import Check
from .client_events import KINDS, SUPPORTED_TYPES, ClientEvent, Make
from .refusals import Refusal, Refused, wrong_value
from .server_events import ServerEvent

_decode_json = msgspec.json.Decoder().decode
_encode_json = msgspec.json.Encoder().encode

BINARY = Refusal(
    "invalid_event", "Expected a text WebSocket message; binary frames are not supported."
)
_NOT_JSON = Refusal("invalid_json", "Invalid event: failed to parse JSON value.")
_NOT_AN_OBJECT = Refusal("invalid_event", "Invalid event: expected a JSON object.")
_MAX_EVENT_ID = 512


Kinds = Mapping[str, tuple[Check, Make]]


def decode(
    message: str | bytes, kinds: Kinds = KINDS, supported: Sequence[str] = SUPPORTED_TYPES
) -> ClientEvent:
    """Read one client message. What cannot be read comes back as a Refusal.

    Args:
        kinds: The events of the dialect: how each is checked, and what becomes of it.
        supported: The event types that the error of an unknown one lists.
    """
    try:
        raw = _decode_json(message)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _NOT_JSON
    if not isinstance(raw, dict):
        return _NOT_AN_OBJECT
    event_id = _event_id(raw)
    try:
        return _event(raw, event_id, kinds, supported)
    except Refused as refused:
        return refused.refusal.of(event_id)


def encode(event: ServerEvent, event_id: str) -> bytes:
    """One server message. `event_id` must be plain ASCII without quotes: we make it."""
    body = _encode_json(event)
    return b'{"event_id":"' + event_id.encode() + b'",' + body[1:]


def encode_fields(type_: str, fields: Mapping[str, Any], event_id: str) -> bytes:
    """One server message that is no `ServerEvent` of GA, from its fields."""
    return _encode_json({"event_id": event_id, "type": type_, **fields})


def _event(
    raw: dict[str, Any], event_id: str | None, kinds: Kinds, supported: Sequence[str]
) -> ClientEvent:
    kind = raw.get("type")
    if kind is None:
        return Refusal("invalid_event", "The 'type' field is missing.", None, event_id)
    if not isinstance(kind, str) or kind not in kinds:
        raise wrong_value("type", kind, supported)
    check, make = kinds[kind]
    return make(check(raw, ""), event_id)


def _event_id(raw: dict[str, Any]) -> str | None:
    value = raw.get("event_id")
    return value if isinstance(value, str) and len(value) <= _MAX_EVENT_ID else None
