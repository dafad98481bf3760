"""The words of recordings, as clients are told them. Source: realtime contract §3.7."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import UNSET, UnsetType

from . import effects as do
from . import server_events as ev
from . import signals as sig
from .conversation import Entry, NewId
from .effects import Effect
from .items import InputAudio, Item, Message

_FAILED = "The audio could not be transcribed."


@dataclass(slots=True)
class Awaited:
    """An item whose words are being recognised."""

    entry: Entry
    told: str = ""
    """What of its transcript was sent already."""


def delta(awaited: Awaited, text: str) -> list[Effect]:
    """What is new in `text`; nothing if it takes back what was sent."""
    sent, item_id = awaited.told, awaited.entry.item.id
    if len(text) <= len(sent) or not text.startswith(sent):
        return []
    awaited.told = text
    return [do.Send(ev.TranscriptionDelta(item_id, text[len(sent) :]))]


def completed(
    awaited: Awaited, news: sig.Transcribed, new_id: NewId, *, logprobs: bool
) -> list[Effect]:
    """The rest of the transcript, who said what of it, and all of it."""
    item_id = awaited.entry.item.id
    sure: tuple[ev.Logprob, ...] | UnsetType = UNSET
    if logprobs:
        sure = tuple(
            ev.Logprob(token, logprob, tuple(token.encode())) for token, logprob in news.logprobs
        )
    segments: list[Effect] = [
        do.Send(
            ev.TranscriptionSegment(
                item_id, new_id("seg"), part.text, part.speaker,
                part.start_ms / 1000, part.end_ms / 1000,
            )
        )
        for part in news.segments
    ]  # fmt: skip
    usage = ev.Duration(news.audio_ms / 1000)
    done = ev.TranscriptionCompleted(item_id, news.text, usage, logprobs=sure)
    return [*delta(awaited, news.text), *segments, do.Send(done)]


def failed(item_id: str) -> Effect:
    error: dict[str, str | None] = {
        "type": "transcription_error", "code": "audio_unintelligible",
        "message": _FAILED, "param": None,
    }  # fmt: skip
    return do.Send(ev.TranscriptionFailed(item_id, error))


def with_words(item: Item, text: str) -> tuple[object, ...]:
    """An item's content with the words of its recording."""
    assert isinstance(item, Message)
    return tuple(InputAudio(text) if isinstance(p, InputAudio) else p for p in item.content)
