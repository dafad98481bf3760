"""What a client can ask for. Source: realtime contract §2.

Audio is `bytes` here, in the session's input format; base64 exists only on the wire.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import checks as c
from . import session_checks as s
from .new_items import NewItem, Reference, audio_bytes, input_item, new_item
from .refusals import Refusal, refuse

MAX_AUDIO = 15 << 20  # bytes of one append, decoded


@dataclass(frozen=True, slots=True)
class UpdateSession:
    patch: dict[str, Any]
    event_id: str | None = None  # the client's own, echoed when the event fails


@dataclass(frozen=True, slots=True)
class AppendAudio:
    audio: bytes  # cut anywhere
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class CommitAudio:
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class ClearAudio:
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class CreateItem:
    new: NewItem
    previous_item_id: str | None = None
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class RetrieveItem:
    item_id: str
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class DeleteItem:
    item_id: str
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class TruncateItem:
    item_id: str
    content_index: int
    audio_end_ms: int
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class CreateResponse:
    wanted: dict[str, Any]
    """Checked overrides of the session's settings, `metadata` and `conversation`."""
    input: tuple[NewItem | Reference, ...] | None = None
    """What the response is made from, instead of the conversation."""
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class CancelResponse:
    response_id: str | None = None
    event_id: str | None = None


ClientEvent = (
    UpdateSession | AppendAudio | CommitAudio | ClearAudio | CreateItem | RetrieveItem
    | DeleteItem | TruncateItem | CreateResponse | CancelResponse | Refusal
)  # fmt: skip
"""A Refusal is an event that could not even be read."""


def _audio(value: Any, path: str) -> bytes:
    audio = audio_bytes(value, path)
    if len(audio) > MAX_AUDIO:
        message = f"Invalid '{path}'. Expected at most {MAX_AUDIO} bytes, but got {len(audio)}."
        raise refuse("invalid_value", message, path)
    return audio


_OUTPUT = c.obj({}, {"format": c.nullable(s.audio_format), "voice": c.nullable(s.voice)})
_RESPONSE = c.obj(
    {},
    {
        "conversation": c.nullable(c.one_of("auto", "none")),
        "input": c.nullable(c.array(input_item, 256)),
        "instructions": s.INSTRUCTIONS,
        "output_modalities": c.nullable(s.modalities),
        "audio": c.nullable(c.obj({}, {"output": c.nullable(_OUTPUT)})),
        "tools": s.TOOLS,
        "tool_choice": s.TOOL_CHOICE,
        "parallel_tool_calls": c.nullable(c.boolean),
        "max_output_tokens": s.MAX_OUTPUT_TOKENS,
        "metadata": c.nullable(c.text_map(16, 64, 512)),
        "prompt": s.PROMPT,
        "reasoning": s.REASONING,
    },
)

_ANY_ID = c.string(512)
_ENVELOPE = {"type": c.anything, "event_id": c.nullable(_ANY_ID)}


def _create_response(event: dict[str, Any], event_id: str | None) -> CreateResponse:
    wanted = event.get("response") or {}
    given = wanted.pop("input", None)
    return CreateResponse(wanted, None if given is None else tuple(given), event_id)


def _event(fields: dict[str, c.Check], optional: dict[str, c.Check] | None = None) -> c.Check:
    return c.obj(fields, {**_ENVELOPE, **(optional or {})})


Make = Callable[[dict[str, Any], str | None], ClientEvent]

KINDS: dict[str, tuple[c.Check, Make]] = {
    "session.update": (
        _event({"session": s.PATCH}),
        lambda e, i: UpdateSession(e["session"], i),
    ),
    "input_audio_buffer.append": (
        _event({"audio": _audio}),
        lambda e, i: AppendAudio(e["audio"], i),
    ),
    "input_audio_buffer.commit": (_event({}), lambda e, i: CommitAudio(i)),
    "input_audio_buffer.clear": (_event({}), lambda e, i: ClearAudio(i)),
    "conversation.item.create": (
        _event({"item": new_item}, {"previous_item_id": c.nullable(_ANY_ID)}),
        lambda e, i: CreateItem(e["item"], e.get("previous_item_id"), i),
    ),
    "conversation.item.retrieve": (
        _event({"item_id": _ANY_ID}),
        lambda e, i: RetrieveItem(e["item_id"], i),
    ),
    "conversation.item.delete": (
        _event({"item_id": _ANY_ID}),
        lambda e, i: DeleteItem(e["item_id"], i),
    ),
    "conversation.item.truncate": (
        _event(
            {
                "item_id": _ANY_ID,
                "content_index": c.integer(0, 0),
                "audio_end_ms": c.integer(0),
            }
        ),
        lambda e, i: TruncateItem(e["item_id"], e["content_index"], e["audio_end_ms"], i),
    ),
    "response.create": (
        _event({}, {"response": c.nullable(_RESPONSE)}),
        _create_response,
    ),
    "response.cancel": (
        _event({}, {"response_id": c.nullable(_ANY_ID)}),
        lambda e, i: CancelResponse(e.get("response_id"), i),
    ),
}
"""How each event is checked, and what becomes of it."""

SUPPORTED_TYPES = [
    "session.update", "session.close", "input_audio_buffer.append",
    "session.input_audio_buffer.append", "input_audio_buffer.commit", "input_audio_buffer.clear",
    "conversation.item.create", "conversation.item.truncate", "conversation.item.delete",
    "conversation.item.retrieve", "response.create", "response.cancel",
]  # fmt: skip
"""The list of the live service's own error text, in its order. `session.close` and
`session.input_audio_buffer.append` belong to translation sessions, which are refused."""
