"""What MCP servers return, in our terms and within bounds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm_orchestrator.tool_results import bounded

MAX_OUTPUT_BYTES = 64 << 10
"""Of a tool's output; what is longer is cut, and says so at its end."""

MAX_DESCRIPTION_CHARACTERS = 4096
MAX_SCHEMA_CHARACTERS = 16 << 10
"""A tool with a longer schema is left out: half a schema is none."""

MAX_NAME_CHARACTERS = 128
MAX_SHOWN_CHARACTERS = 500
MIN_SECRET_CHARACTERS = 8  # what is shorter is no secret, and part of many words

_BEARER = "Bearer "


@dataclass(frozen=True, slots=True)
class McpTool:
    name: str
    description: str
    input_schema_json: str
    annotations_json: str
    """Empty if the server says nothing about it."""


def tool_of(given: Any) -> McpTool | None:
    """A tool as the package gives it; None if it cannot be offered to a model."""
    schema = json.dumps(given.input_schema, ensure_ascii=False)
    if len(schema) > MAX_SCHEMA_CHARACTERS or not 0 < len(given.name) <= MAX_NAME_CHARACTERS:
        return None
    annotations = ""
    if given.annotations is not None:
        said = given.annotations.model_dump(mode="json", by_alias=True, exclude_none=True)
        annotations = json.dumps(said, ensure_ascii=False)
    description = (given.description or "")[:MAX_DESCRIPTION_CHARACTERS]
    return McpTool(given.name, description, schema, annotations[:MAX_DESCRIPTION_CHARACTERS])


def text_of(result: Any) -> str:
    """A tool's result as text for a model: its text parts, or the structured content as JSON.

    Other parts are named: a model that only reads learns at least that they are there.
    """
    text = "\n".join(filter(None, (_part(part) for part in result.content)))
    if not text and result.structured_content is not None:
        text = json.dumps(result.structured_content, ensure_ascii=False)
    return bounded(text, MAX_OUTPUT_BYTES)


def without_secrets(text: str, headers: Mapping[str, str]) -> str:
    """The text without the header values that we sent, in case a server repeats them."""
    for value in headers.values():
        secret = value.removeprefix(_BEARER)
        if len(secret) >= MIN_SECRET_CHARACTERS:
            text = text.replace(secret, "[secret]")
    return text


def shortened(text: str) -> str:
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[: MAX_SHOWN_CHARACTERS - 1]}…"


def _part(part: Any) -> str:
    match part.type:
        case "text":
            return str(part.text)
        case "resource":
            return str(getattr(part.resource, "text", "") or f"({part.resource.uri})")
        case "resource_link":
            return f"({part.uri})"
        case kind:
            return f"({kind}: {part.mime_type})"
