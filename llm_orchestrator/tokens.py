"""How many tokens a request has, about: no tokenizer is at hand for every model.

The estimate is meant to err to the high side. Four letters and spaces of English are a token,
which is right for short common words and up to a half too high for prose; JSON and code come
out higher still. Other scripts count a token for three bytes: about right for Chinese and
Japanese, twice too high for Cyrillic. A long random text (keys, base64) is counted too low. The
numbers that a provider reports are the true ones, and only those are ever shown as usage.
"""

from __future__ import annotations

import string
from collections.abc import Iterable

from llm_orchestrator.engine import Message, Request, Tool

MESSAGE_TOKENS = 4
"""What a message costs besides its text: role and separators."""

IMAGE_TOKENS = 1500
"""Of a picture, whatever its size. Models differ between 300 and 2500 for a large one."""

LOW_IMAGE_TOKENS = 100

_PROSE = (string.ascii_letters + " ").encode()
_ASCII = bytes(range(128))


def of_text(text: str) -> int:
    """Four letters, two digits or marks, or three bytes of another script are a token."""
    data = text.encode(errors="replace")
    others = len(data.translate(None, _PROSE))
    foreign = len(data.translate(None, _ASCII))
    prose, marks = len(data) - others, others - foreign
    return -(-(3 * prose + 6 * marks + 4 * foreign) // 12)


def of_message(message: Message) -> int:
    calls = (part for call in message.tool_calls for part in (call.name, call.arguments_json))
    pictures = (
        LOW_IMAGE_TOKENS if image.detail == "low" else IMAGE_TOKENS for image in message.images
    )
    words = sum(map(of_text, (message.text, *calls)))
    return MESSAGE_TOKENS + words + sum(pictures)


def of_tools(tools: Iterable[Tool]) -> int:
    return sum(
        MESSAGE_TOKENS + of_text(tool.name) + of_text(tool.description)
        + of_text(tool.parameters_json)
        for tool in tools
    )  # fmt: skip


def of_request(request: Request) -> int:
    """All that a model reads."""
    messages = sum(map(of_message, request.messages)) + of_text(request.already_written)
    return of_text(request.instructions) + of_tools(request.tools) + messages
