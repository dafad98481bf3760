"""A response that goes on where an earlier call broke: what is asked for, and what comes of it.

The model is shown what was written as its own last message. Most providers then begin a new
message, so it is told to go on, and what it repeats all the same is taken off (see `seam`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace

from llm_orchestrator import spacing, tokens
from llm_orchestrator.engine import (
    Done,
    Finish,
    Message,
    News,
    Repeated,
    Request,
    Role,
    TextDelta,
    ToolCall,
    ToolChoice,
    ToolMode,
    Usage,
)
from llm_orchestrator.seam import Seam

GO_ON = (
    "Your last message was cut off while it was sent. Go on right behind its last character, in"
    " the same language and style, with a space first if a new word begins. Repeat nothing of"
    " it and do not speak of the interruption. If it was complete, answer with nothing at all."
)
"""Asks a model that begins a new message to go on with its last one."""

Generate = Callable[[Request], AsyncGenerator[News, None]]


def resumed(request: Request) -> Request:
    """The request without the tools that this response has called before it broke.

    Their results come in a later request; a model that sees none would call them again.
    """
    called = {call.name for call in unanswered(request.messages)}
    if not request.already_written or not called:
        return request
    choice = request.tool_choice
    if choice.mode in (ToolMode.REQUIRED, ToolMode.FUNCTION):
        choice = ToolChoice()  # the call that had to be made has been made
    offered = tuple(tool for tool in request.tools if tool.name not in called)
    return replace(request, tools=offered, tool_choice=choice)


def unanswered(messages: Sequence[Message]) -> list[ToolCall]:
    """The calls since the person last spoke that have no result yet."""
    found: dict[str, ToolCall] = {}
    for message in messages:
        if message.role is Role.USER:
            found.clear()
        found |= {call.call_id: call for call in message.tool_calls}
        if message.role is Role.TOOL:
            found.pop(message.call_id, None)
    return list(found.values())


def news(request: Request, ask: Generate, *, exact: bool = False) -> AsyncGenerator[News, None]:
    """What is new of an answer.

    Args:
        ask: Gives the news of a model. It is asked for as many tokens as are left.
        exact: See `Seam`.

    Raises:
        mesh.errors.MeshError: what `ask` raises.
    """
    return _new(request, ask, exact=exact) if request.already_written else ask(request)


async def _new(request: Request, ask: Generate, *, exact: bool) -> AsyncGenerator[News, None]:
    limit = request.max_output_tokens
    left = limit - tokens.of_text(request.already_written)
    if limit and left <= 0:
        yield Done(Finish.LENGTH, Usage())
        return
    seam = Seam(request.already_written, _Words(request), exact=exact)
    asked = replace(request, max_output_tokens=left if limit else 0)
    async with aclosing(ask(asked)) as stream:
        async for piece in stream:
            if isinstance(piece, TextDelta):
                text = seam.feed(piece.text)
                yield TextDelta(text) if text else Repeated()
                continue
            cut_off = isinstance(piece, Done) and piece.finish is Finish.LENGTH
            if text := seam.end(cut_off=cut_off):
                yield TextDelta(text)
            yield piece


class _Words:
    """The words of a conversation, found when they are first asked for: few seams need them."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._found: frozenset[str] | None = None

    def __contains__(self, word: object) -> bool:
        if self._found is None:
            request = self._request
            # The last word may be half a word.
            written = request.already_written.rsplit(maxsplit=1)[:-1]
            texts = (message.text for message in request.messages)
            self._found = spacing.words_of(request.instructions, *texts, *written)
        return word in self._found
