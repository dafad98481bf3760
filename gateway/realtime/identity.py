"""What is fixed when a session begins, and how a session looks on the wire."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import effects as do
from .settings import LOGPROBS, Kind, Settings, Transcription, echo


@dataclass(frozen=True, slots=True)
class Identity:
    session_id: str
    model: str
    expires_at_s: int  # unix time
    kind: Kind = "realtime"


def wire_of(identity: Identity, settings: Settings) -> dict[str, Any]:
    """The whole session as clients read it, every key present."""
    kind = identity.kind
    object_ = "realtime.session" if kind == "realtime" else "realtime.transcription_session"
    model = {"model": identity.model} if kind == "realtime" else {}
    return {
        "type": kind,
        "object": object_,
        "id": identity.session_id,
        **model,
        **echo(settings, kind),
        "expires_at": identity.expires_at_s,
    }


def listening_of(settings: Settings) -> do.Listening:
    """How to listen to the user."""
    audio = settings.audio.input
    asked = audio.transcription or Transcription()
    return do.Listening(
        audio.turn_detection,
        language=asked.language or next(iter(asked.languages or ()), None),
        prompt=asked.prompt,
        keywords=asked.keywords or (),
        noise_reduction=audio.noise_reduction,
        logprobs=LOGPROBS in (settings.include or ()),
        speakers=asked.names_speakers,
    )
