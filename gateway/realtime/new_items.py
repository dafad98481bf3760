"""What a client may create: items of `conversation.item.create` and of a response's `input`.

Source: realtime contract §2.5, §6.1 and §7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pybase64
from msgspec import UNSET

from . import checks as c
from .items import (
    Content,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    Item,
    McpApprovalResponse,
    Message,
    OutputText,
)
from .refusals import Refused, missing, refuse

MAX_ID = 32
MAX_PARTS = 16
MAX_TEXT = 1 << 17  # characters: an event that echoes it stays below the 1 MiB clients take
MAX_IMAGE = 4 << 20  # characters of one data URI
PRINTABLE = r"[^\x00-\x1f\x7f]*"
CALL_ID = r"[a-zA-Z0-9_-]+"

_PICTURES = ("data:image/png;base64,", "data:image/jpeg;base64,")


@dataclass(frozen=True, slots=True)
class NewItem:
    """An item a client wants; `item.id` is "" where the client left it to us."""

    item: Item
    audio: bytes = b""
    """Of an `input_audio` part, in the session's input format; to be transcribed."""
    transcript: str = ""
    """What that audio says, if the client said so."""


@dataclass(frozen=True, slots=True)
class Reference:
    """An item of the conversation, in a response's `input`."""

    id: str
    path: str  # how an error names it


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


def _image(value: Any, path: str) -> str:
    url = str(c.string(MAX_IMAGE)(value, path))
    kind, comma, data = url.partition(",")
    try:
        if kind + comma in _PICTURES and pybase64.b64decode(data, validate=True):
            return url
    except ValueError:
        pass
    message = f"Invalid '{path}'. Expected a base64-encoded data URL of a PNG or JPEG image."
    raise refuse("invalid_value", message, path)


_RECORDING = c.obj(
    {"type": c.anything}, {"audio": c.nullable(audio_bytes), "transcript": c.nullable(_TEXT)}
)


def _recording(value: Any, path: str) -> dict[str, Any]:
    """Audio, or what it said: who replays a history may have only that."""
    checked: dict[str, Any] = _RECORDING(value, path)
    if not checked.get("audio") and not checked.get("transcript"):
        raise missing(f"{path}.audio")
    return checked


_PARTS = {
    "input_text": c.obj({"type": c.anything, "text": _TEXT}),
    "input_audio": _recording,
    "input_image": c.obj(
        {"type": c.anything, "image_url": _image},
        {"detail": c.nullable(c.one_of("auto", "low", "high"))},
    ),
    "output_text": c.obj({"type": c.anything, "text": _TEXT}),
}
_BY_ROLE = {
    "user": ("input_text", "input_audio", "input_image"),
    "system": ("input_text",),
    "assistant": ("output_text",),
}


def _content(role: str) -> c.Check:
    return c.array(c.by_type({name: _PARTS[name] for name in _BY_ROLE[role]}), MAX_PARTS)


def _message(role: str) -> c.Check:
    required = {"type": c.anything, "role": c.anything, "content": _content(role)}
    return c.obj(required, {**_ID, **_IGNORED})


_KINDS: dict[str, c.Check] = {
    "message": c.by_type({role: _message(role) for role in _BY_ROLE}, key="role"),
    "function_call": c.obj(
        {"type": c.anything, "name": c.string(64), "arguments": _TEXT},
        {**_ID, **_IGNORED, "call_id": c.nullable(c.string(MAX_ID, CALL_ID))},
    ),
    "function_call_output": c.obj(
        {"type": c.anything, "call_id": c.string(MAX_ID, CALL_ID), "output": _TEXT},
        {**_ID, **_IGNORED},
    ),
    "mcp_approval_response": c.obj(
        {"type": c.anything, "approval_request_id": c.string(MAX_ID), "approve": c.boolean},
        {**_ID, **_IGNORED, "reason": c.nullable(c.string(1024))},
    ),
}
_CHECK = c.by_type(_KINDS)
_REFERENCE = {"item_reference": c.obj({"type": c.anything, "id": c.string(512)})}
# An approval is an act: only `conversation.item.create` can do it.
_FOR_INPUT = {kind: check for kind, check in _KINDS.items() if kind != "mcp_approval_response"}
_INPUT_CHECK = c.by_type({**_FOR_INPUT, **_REFERENCE})


def new_item(value: Any, path: str) -> NewItem:
    """Read an item of `conversation.item.create`.

    Raises:
        Refused: it is not one a client may create.
    """
    return _read(_CHECK(value, path), path)


def input_item(value: Any, path: str) -> NewItem | Reference:
    """Read an item of a response's `input`.

    Raises:
        Refused: it is neither one a client may create nor a reference to one.
    """
    raw = _INPUT_CHECK(value, path)
    if raw["type"] == "item_reference":
        return Reference(raw["id"], f"{path}.id")
    return _read(raw, path)


def _read(raw: dict[str, Any], path: str) -> NewItem:
    item_id = raw.get("id") or ""
    match raw["type"]:
        case "function_call":
            call_id = raw.get("call_id") or ""
            return NewItem(FunctionCall(item_id, raw["name"], call_id, raw["arguments"]))
        case "function_call_output":
            return NewItem(FunctionCallOutput(item_id, raw["call_id"], raw["output"]))
        case "mcp_approval_response":
            reason = raw.get("reason") or UNSET
            asked = raw["approval_request_id"]
            return NewItem(McpApprovalResponse(item_id, asked, raw["approve"], reason))
    return _new_message(item_id, raw, path)


def _new_message(item_id: str, raw: dict[str, Any], path: str) -> NewItem:
    if sum(len(part.get("text", "")) for part in raw["content"]) > MAX_TEXT:
        message = f"Invalid '{path}.content': texts too long. Expected at most {MAX_TEXT} in all."
        raise refuse("string_above_max_length", message, f"{path}.content")
    parts: list[Content] = []
    audio, transcript = b"", ""
    for n, part in enumerate(raw["content"]):
        match part["type"]:
            case "input_text":
                parts.append(InputText(part["text"]))
            case "output_text":
                parts.append(OutputText(part["text"]))
            case "input_image":
                parts.append(InputImage(part["image_url"], part.get("detail") or "auto"))
            case "input_audio":
                if audio:
                    raise _one_recording(f"{path}.content[{n}]")
                audio = part.get("audio") or b""
                transcript = part.get("transcript") or ""
                parts.append(InputAudio(transcript or None))
    return NewItem(Message(item_id, raw["role"], tuple(parts)), audio, transcript)


def _one_recording(path: str) -> Refused:
    return refuse("invalid_value", f"Invalid '{path}': one audio part per item.", path)
