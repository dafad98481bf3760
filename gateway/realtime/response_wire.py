"""A response as it stands on the wire. Source: realtime contract §6.1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msgspec import UNSET

from . import effects as do
from . import server_events as ev
from .conversation import Entry
from .effects import Effect
from .items import Item
from .settings import Settings

TEXT_ONLY = {"ovos_text_only": "nobody can speak now"}
"""In the metadata of a response that has words without audio. The contract has no event for it,
and clients stumble over events and error codes that they do not know."""


Details = dict[str, Any] | None
"""The `status_details` of a response, or what it cost."""


@dataclass(slots=True)
class Output:
    """One output item while it is being produced."""

    entry: Entry
    index: int
    closed: Item | None = None
    """As it was told when it ended."""


def wire_of(
    settings: Settings,
    response_id: str,
    conversation_id: str | None,
    metadata: dict[str, str] | None,
) -> ev.Response:
    """All of it that does not change while it runs; the rest is None or empty."""
    output, temperature = settings.audio.output, settings.temperature
    return {
        **({} if temperature is UNSET else {"temperature": temperature}),
        "object": "realtime.response",
        "id": response_id,
        "status": None,
        "status_details": None,
        "output": [],
        "conversation_id": conversation_id,
        "output_modalities": settings.output_modalities,
        "max_output_tokens": settings.max_output_tokens,
        "audio": {"output": {"format": output.format, "voice": output.voice}},
        "usage": None,
        "metadata": metadata,
    }


Part = tuple[str, str, int, int]
"""Where a part is: response, item, output index, content index."""


def written(part: Part, text: str) -> list[Effect]:
    """A part of text is whole."""
    return [do.Send(ev.TextDone(*part, text)), do.Send(ev.PartDone(*part, ev.TextPart(text)))]


def spoken(part: Part, text: str) -> list[Effect]:
    """A part of audio is whole."""
    return [
        do.Send(ev.AudioDone(*part)),
        do.Send(ev.TranscriptDone(*part, text)),
        do.Send(ev.PartDone(*part, ev.AudioPart(text))),
    ]


def failed_with(type_: str, code: str, message: str) -> dict[str, Any]:
    """The `status_details` of a response that failed."""
    return {"type": "failed", "error": {"type": type_, "code": code, "message": message}}
