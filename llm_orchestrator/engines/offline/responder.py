"""What to answer: the rules in order, the first that applies wins."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from llm_orchestrator.engine import Message, Request, Role, Tool, ToolMode
from llm_orchestrator.engines.offline import (
    arguments,
    arithmetic,
    clock,
    matching,
    results,
    smalltalk,
    words,
)
from llm_orchestrator.engines.offline.matching import Fit
from llm_orchestrator.engines.offline.words import Utterance


@dataclass(frozen=True, slots=True)
class Say:
    text: str


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    arguments_json: str


def respond(request: Request, now: datetime) -> Say | Call:
    """
    Args:
        now: With the time zone that "here" is in.
    """
    if result := results.answer(request.messages):
        return Say(result)
    heard = _last_said(request.messages)
    if demanded := _demanded(request):
        said = words.read(heard or "")
        tool = matching.ranked(said, demanded)[0]
        return _call(tool, arguments.demanded(said, tool))
    if heard is None:
        return Say(smalltalk.GREETING)
    if not heard.strip() and _shown(request.messages):
        return Say(smalltalk.BLIND)
    return _answer(words.read(heard), request, now)


def _last_said(messages: Sequence[Message]) -> str | None:
    return next((m.text for m in reversed(messages) if m.role is Role.USER), None)


def _shown(messages: Sequence[Message]) -> bool:
    """Whether the person's last message has a picture."""
    return next((bool(m.images) for m in reversed(messages) if m.role is Role.USER), False)


def _demanded(request: Request) -> Sequence[Tool]:
    """The tools of which one must be called; none if the choice is free."""
    if request.tool_choice.mode is ToolMode.REQUIRED:
        return request.tools
    if request.tool_choice.mode is ToolMode.FUNCTION:
        return [tool for tool in request.tools if tool.name == request.tool_choice.name]
    return ()


def _answer(said: Utterance, request: Request, now: datetime) -> Say | Call:
    if not said.words:
        return Say(smalltalk.REPEAT)
    if identity := smalltalk.identity(said):
        return Say(identity)
    offered = () if request.tool_choice.mode is ToolMode.NONE else request.tools
    fitting = matching.fitting(said, offered)
    for fit in fitting:
        filled = arguments.fill(said, fit.tool, plainly=not fit.sure)
        if not filled.missing and (fit.sure or filled.arguments):
            return _call(fit.tool, filled.arguments)
    known = arithmetic.answer(said.text) or clock.answer(said, now) or smalltalk.answer(said)
    if not (known or _shown(request.messages)):
        known = _question(said, fitting) or _echo(said.text)
    return Say(known or smalltalk.BLIND)


def _call(tool: Tool, found: dict[str, Any]) -> Call:
    return Call(tool.name, json.dumps(found, ensure_ascii=False))


def _question(said: Utterance, fitting: Sequence[Fit]) -> str | None:
    """What to ask for, if a tool was meant and lacks an argument."""
    for fit in fitting:
        if fit.sure:
            missing = arguments.fill(said, fit.tool).missing
            return f"For that I need the {missing[0].spoken}. What is it?"
    return None


def _echo(text: str) -> str:
    closed = text if text.endswith((".", "!", "?")) else f"{text}."
    return f"You said: {closed}"
