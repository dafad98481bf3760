"""The items of a conversation, as they stand on the wire.

Source: realtime contract §7. Events never carry an item's audio bytes; the answer to
`conversation.item.retrieve` does. What a client may create is in `new_items.py`.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

Status = Literal["in_progress", "completed", "incomplete"]
Role = Literal["system", "user", "assistant"]

MOST_PICTURED = 512 << 10  # characters of pictures that an event carries


class InputText(msgspec.Struct, frozen=True, tag_field="type", tag="input_text"):
    text: str


class InputAudio(msgspec.Struct, frozen=True, tag_field="type", tag="input_audio"):
    transcript: str | None = None  # always on the wire: clients need the key


class InputImage(msgspec.Struct, frozen=True, tag_field="type", tag="input_image"):
    image_url: str | None  # a data URI; None in events that it would make too long
    detail: Literal["auto", "low", "high"] = "auto"


class OutputText(msgspec.Struct, frozen=True, tag_field="type", tag="output_text"):
    text: str


class OutputAudio(msgspec.Struct, frozen=True, tag_field="type", tag="output_audio"):
    transcript: str


Content = InputText | InputAudio | InputImage | OutputText | OutputAudio


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


class McpTools(msgspec.Struct, frozen=True, tag_field="type", tag="mcp_list_tools"):
    """The tools of an MCP server."""

    id: str
    server_label: str
    tools: tuple[dict[str, Any], ...] = ()  # name, description, input_schema, annotations


class McpCall(msgspec.Struct, frozen=True, tag_field="type", tag="mcp_call"):
    """A tool of an MCP server, called by the model and run by us."""

    id: str
    server_label: str
    name: str
    arguments: str = ""  # JSON, as text
    approval_request_id: str | None = None
    output: str | None = None
    error: dict[str, Any] | None = None


class McpApprovalRequest(msgspec.Struct, frozen=True, tag_field="type", tag="mcp_approval_request"):
    id: str
    server_label: str
    name: str
    arguments: str = ""


class McpApprovalResponse(
    msgspec.Struct, frozen=True, tag_field="type", tag="mcp_approval_response"
):
    id: str
    approval_request_id: str
    approve: bool
    reason: str | UnsetType = UNSET


Item = (
    Message | FunctionCall | FunctionCallOutput
    | McpTools | McpCall | McpApprovalRequest | McpApprovalResponse
)  # fmt: skip


def images_of(item: Item) -> tuple[InputImage, ...]:
    content = item.content if isinstance(item, Message) else ()
    return tuple(part for part in content if isinstance(part, InputImage))


def without_large_images(item: Item) -> Item:
    """The item as events carry it: clients take frames of 1 MiB."""
    if sum(len(image.image_url or "") for image in images_of(item)) <= MOST_PICTURED:
        return item
    assert isinstance(item, Message)
    content = tuple(
        InputImage(None, part.detail) if isinstance(part, InputImage) else part
        for part in item.content
    )
    return msgspec.structs.replace(item, content=content)
