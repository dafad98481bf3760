"""A second opinion on every server event of the beta dialect: the SDK's own beta types."""

from __future__ import annotations

from functools import cache
from typing import Any

from openai.types.beta.realtime import RealtimeServerEvent, TranscriptionSession
from pydantic import TypeAdapter

Event = dict[str, Any]

_TRANSCRIPTION = ("transcription_session.created", "transcription_session.updated")


@cache
def _types() -> TypeAdapter[RealtimeServerEvent]:
    return TypeAdapter(RealtimeServerEvent)


def check(event: Event) -> Event:
    """Fail if a client that knows the beta's types would stumble over the event."""
    if event["type"] in _TRANSCRIPTION:
        # The type wants a client secret, which its own text says only REST answers have.
        assert event["session"]["client_secret"] is None
        secret = {"value": "ek_1", "expires_at": 1}
        TranscriptionSession.model_validate({**event["session"], "client_secret": secret})
        return event
    parsed = _types().validate_python(event)
    unknown = parsed.model_extra
    assert not unknown, f"{event['type']} has {unknown}"
    return event
