"""The items of a conversation, as they stand on the wire, and what a client may create.

Source: realtime contract §7. Events never carry an item's audio bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import pybase64

from . import checks as c
from .refusals import Refused, refuse

Status = Literal["in_progress", "completed", "incomplete"]
Role = Literal["system", "user", "assistant"]

MAX_ID = 32
MAX_PARTS = 16
MAX_TEXT = 1 << 17  # characters: an event that echoes it stays below the 1 MiB clients take
PRINTABLE = r"[^\x00-\x1f\x7f]*"
CALL_ID = r"[a-zA-Z0-9_-]+"


class InputText(msgspec.Struct, frozen=True, tag_field="type", tag="input_text"):
    text: str


class InputAudio(msgspec.Struct, frozen=True, tag_field="type", tag="input_audio"):
    transcript: str | None = None  # always on the wire: clients need the key


class OutputText(msgspec.Struct, frozen=True, tag_field="type", tag="output_text"):
    text: str


class OutputAudio(msgspec.Struct, frozen=True, tag_field="type", tag="output_audio"):
    transcript: str


Content = InputText | InputAudio | OutputText | OutputAudio


class Message(msgspec.Struct, frozen=True, tag_field="type", tag="message"):
    id: str
    role: Role
    content: tuple[Content, ...] = ()
    status: Status = "completed"


class FunctionCall(msgspec.Struct, frozen=True, tag_field="type", tag="function_call"):
    id: str
    name: str
    call_id: str
    arguments: str = ""  # JSON, as text
    status: Status = "completed"


class FunctionCallOutput(msgspec.Struct, frozen=True, tag_field="type", tag="function_call_output"):
    id: str
    call_id: str
    output: str
    status: Status = "completed"


Item = Message | FunctionCall | FunctionCallOutput


@dataclass(frozen=True, slots=True)
class NewItem:
    """An item a client wants; `item.id` is "" where the client left it to us."""

    item: Item
    pcm: bytes = b""
    """Audio of an `input_audio` part (PCM16 LE mono 24 kHz), to be transcribed."""
    transcript: str = ""
    """What that audio says, if the client said so."""


def audio_bytes(value: Any, path: str) -> bytes:
    """Base64 to bytes. Strict: bad padding and foreign characters are refused."""
    wanted = f"Invalid '{path}'. Expected base64-encoded audio bytes (mono PCM16 at 24kHz) but got"
    try:
        pcm = pybase64.b64decode(value, validate=True)
    except (ValueError, TypeError):
        raise refuse("invalid_value", f"{wanted} an invalid value.", path) from None
    if not pcm:
        raise refuse("invalid_value", f"{wanted} empty bytes.", path)
    return pcm


_ID = {"id": c.nullable(c.string(MAX_ID, PRINTABLE))}
_IGNORED = {"status": c.anything, "object": c.anything}
_TEXT = c.string(MAX_TEXT)

_PARTS = {
    "input_text": c.obj({"type": c.anything, "text": _TEXT}),
    "input_audio": c.obj(
        {"type": c.anything, "audio": audio_bytes}, {"transcript": c.nullable(_TEXT)}
    ),
    "output_text": c.obj({"type": c.anything, "text": _TEXT}),
}
_BY_ROLE = {
    "user": ("input_text", "input_audio"),
    "system": ("input_text",),
    "assistant": ("output_text",),
}


def _content(role: str) -> c.Check:
    return c.array(c.by_type({name: _PARTS[name] for name in _BY_ROLE[role]}), MAX_PARTS)


def _message(role: str) -> c.Check:
    required = {"type": c.anything, "role": c.anything, "content": _content(role)}
    return c.obj(required, {**_ID, **_IGNORED})


_CHECK = c.by_type(
    {
        "message": c.by_type({role: _message(role) for role in _BY_ROLE}, key="role"),
        "function_call": c.obj(
            {"type": c.anything, "name": c.string(64), "arguments": _TEXT},
            {**_ID, **_IGNORED, "call_id": c.nullable(c.string(MAX_ID, CALL_ID))},
        ),
        "function_call_output": c.obj(
            {"type": c.anything, "call_id": c.string(MAX_ID, CALL_ID), "output": _TEXT},
            {**_ID, **_IGNORED},
        ),
    }
)


def new_item(value: Any, path: str) -> NewItem:
    """Read an item of `conversation.item.create` or of a response's `input`.

    Raises:
        Refused: it is not one a client may create.
    """
    raw = _CHECK(value, path)
    item_id = raw.get("id") or ""
    match raw["type"]:
        case "function_call":
            call_id = raw.get("call_id") or ""
            return NewItem(FunctionCall(item_id, raw["name"], call_id, raw["arguments"]))
        case "function_call_output":
            return NewItem(FunctionCallOutput(item_id, raw["call_id"], raw["output"]))
    return _new_message(item_id, raw, path)


def _new_message(item_id: str, raw: dict[str, Any], path: str) -> NewItem:
    if sum(len(part.get("text", "")) for part in raw["content"]) > MAX_TEXT:
        message = f"Invalid '{path}.content': texts too long. Expected at most {MAX_TEXT} in all."
        raise refuse("string_above_max_length", message, f"{path}.content")
    parts: list[Content] = []
    pcm, transcript = b"", ""
    for n, part in enumerate(raw["content"]):
        match part["type"]:
            case "input_text":
                parts.append(InputText(part["text"]))
            case "output_text":
                parts.append(OutputText(part["text"]))
            case "input_audio":
                if pcm:
                    raise _one_recording(f"{path}.content[{n}]")
                pcm = part["audio"][: len(part["audio"]) // 2 * 2]  # whole samples
                transcript = part.get("transcript") or ""
                parts.append(InputAudio(transcript or None))
    return NewItem(Message(item_id, raw["role"], tuple(parts)), pcm, transcript)


def _one_recording(path: str) -> Refused:
    return refuse("invalid_value", f"Invalid '{path}': one audio part per item.", path)
