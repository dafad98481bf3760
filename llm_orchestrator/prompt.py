"""Repairs a conversation so that every provider takes it.

Providers refuse what a live conversation easily has: a tool call without its result, a
result that comes after the person spoke again, a result of a call nobody knows, two calls
written as two messages, speech that was not understood, and (small local models) two
messages of one role in a row.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from llm_orchestrator.engine import Message, Request, Role

NO_RESULT = "No result was returned."
PICTURE = "(A picture was shown here.)"
"""What a model learns of a picture that it cannot see."""

INAUDIBLE = "(inaudible)"
"""What an empty message of the person says: they spoke, and nothing was understood."""


def conversation(request: Request, *, sees: bool = False) -> list[Message]:
    """The instructions and the messages as a provider may be given them, and last what was
    already written of the answer.

    Every call is followed by exactly one result; no two messages in a row have the same
    role, except results and assistant messages with one between them.

    Args:
        sees: Whether the model takes pictures; if not, a line stands for each.
    """
    messages = [_in_words(message, sees=sees) for message in request.messages]
    if request.already_written:
        messages.append(Message(role=Role.ASSISTANT, text=request.already_written))
    if request.instructions.strip():
        messages.insert(0, Message(role=Role.SYSTEM, text=request.instructions))
    called = {call.call_id for message in messages for call in message.tool_calls}
    results = {m.call_id: m for m in messages if m.role is Role.TOOL and m.call_id in called}
    return [
        part
        for message in _joined(messages, called)
        for part in (
            message,
            *(
                results.get(call.call_id)
                or Message(role=Role.TOOL, text=NO_RESULT, call_id=call.call_id)
                for call in message.tool_calls
            ),
        )
    ]


def arguments(arguments_json: str) -> dict[str, Any]:
    """A call's arguments; {} for what a model wrote that is no JSON object."""
    try:
        found = json.loads(arguments_json)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _joined(messages: Sequence[Message], called: set[str]) -> list[Message]:
    """The messages without known results, neighbours of one role put together."""
    joined: list[Message] = []
    answered = False
    for message in messages:
        if message.role is Role.TOOL:
            if message.call_id in called:
                answered = True
                continue
            message = Message(role=Role.USER, text=f"(A tool returned: {message.text})")
        if not message.text.strip() and not message.tool_calls and not message.images:
            if message.role is not Role.USER:
                continue
            message = replace(message, text=INAUDIBLE)
        apart = answered and message.role is Role.ASSISTANT
        if joined and joined[-1].role is message.role and not apart:
            joined[-1] = _together(joined[-1], message)
        else:
            joined.append(message)
        answered = False
    return joined


def _together(first: Message, second: Message) -> Message:
    text = "\n".join(text for text in (first.text, second.text) if text)
    return replace(
        first,
        text=text,
        tool_calls=first.tool_calls + second.tool_calls,
        images=first.images + second.images,
    )


def _in_words(message: Message, *, sees: bool) -> Message:
    """The message with a line for each picture that cannot be given to the model."""
    if not message.images:
        return message
    shown = tuple(image for image in message.images if sees and image.url)
    lines = [PICTURE] * (len(message.images) - len(shown))
    text = "\n".join(line for line in (message.text, *lines) if line)
    return replace(message, text=text, images=shown)
