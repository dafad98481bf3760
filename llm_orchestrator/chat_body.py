"""Requests in the chat-completions format."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from llm_orchestrator import continuation, prompt
from llm_orchestrator.engine import Message, Request, Role, ToolMode

_REASONS = re.compile(r"(?:^|/)(?:o[1-9]|gpt-(?:[5-9]|oss))")


def body(
    request: Request, model: str, *, sees: bool, asks_as: Role = Role.SYSTEM
) -> dict[str, Any]:
    """The parts of a request that are the same for all such servers.

    Args:
        model: Decides whether the effort of reasoning is said.
        sees: Whether the model is to be given pictures.
        asks_as: Who asks it to go on with what was already written.
    """
    messages = [_message(message) for message in prompt.conversation(request, sees=sees)]
    if request.already_written.strip():
        messages.append({"role": asks_as.value, "content": continuation.GO_ON})
    made: dict[str, Any] = {"messages": messages, "stream": True}
    if request.temperature is not None:
        made["temperature"] = request.temperature
    if request.reasoning_effort and reasons(model):
        made["reasoning_effort"] = request.reasoning_effort
    if request.tools and request.tool_choice.mode is not ToolMode.NONE:
        made["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": json.loads(tool.parameters_json),
                },
            }
            for tool in request.tools
        ]
        made["tool_choice"] = _tool_choice(request)
        if request.parallel_tool_calls is not None:
            made["parallel_tool_calls"] = request.parallel_tool_calls
    return made


def reasons(model: str) -> bool:
    """Whether a model thinks before it answers, by its name; others refuse an effort."""
    return bool(_REASONS.search(model)) and "chat" not in model


def plain(request: Request, model: str) -> Request:
    """The request without what some models refuse; many of those that reason, a temperature."""
    temperature = None if reasons(model) else request.temperature
    return replace(request, reasoning_effort="", parallel_tool_calls=None, temperature=temperature)


def _tool_choice(request: Request) -> Any:
    if request.tool_choice.mode is ToolMode.FUNCTION:
        return {"type": "function", "function": {"name": request.tool_choice.name}}
    return request.tool_choice.mode.value


def _message(message: Message) -> dict[str, Any]:
    if message.role is Role.TOOL:
        return {"role": "tool", "tool_call_id": message.call_id, "content": message.text}
    made: dict[str, Any] = {"role": message.role.value, "content": _content(message)}
    if message.tool_calls:
        made["tool_calls"] = [
            {
                "id": call.call_id,
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": json.dumps(prompt.arguments(call.arguments_json)),
                },
            }
            for call in message.tool_calls
        ]
    return made


def _content(message: Message) -> str | list[dict[str, Any]] | None:
    if not message.images:
        return message.text or None
    text = [{"type": "text", "text": message.text}] if message.text else []
    return text + [
        {"type": "image_url", "image_url": {"url": image.url, "detail": image.detail}}
        for image in message.images
    ]
