"""The offline responder behind the port of this tier."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime, timedelta
from itertools import chain

from llm_orchestrator.call_ids import mint
from llm_orchestrator.config import Config
from llm_orchestrator.continuation import unanswered
from llm_orchestrator.engine import (
    Done,
    Finish,
    News,
    Request,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from llm_orchestrator.engines.offline.responder import Call, Say, respond
from llm_orchestrator.engines.offline.rest import rest

MODEL = "rules"
CONTEXT_TOKENS = 8192  # it reads the end of a conversation only

MINUTES = 5
"""How long ago an answer that broke may have begun."""

_WORD = re.compile(r"\s*\S+")


def _here() -> datetime:
    return datetime.now(UTC).astimezone()


class OfflineEngine:
    """Answers by rules. Its tokens are words, in the counts and in the limit."""

    available = True
    goes_on = False  # rules know how their own sentences end
    model = MODEL
    context_tokens = CONTEXT_TOKENS

    def __init__(self, config: Config | None = None, now: Callable[[], datetime] = _here) -> None:
        """
        Args:
            now: The time, with the time zone of the people who ask for it.
        """
        self._now = now

    async def generate(self, request: Request) -> AsyncGenerator[News, None]:
        now = self._now()
        reply = respond(request, now)
        written = request.already_written
        said = (message.text for message in request.messages)
        read = _count(request.instructions, *said, written)
        if isinstance(reply, Call):
            call_id = mint()
            yield ToolCallDelta(call_id, reply.name, reply.arguments_json)
            yield ToolCall(call_id, reply.name, reply.arguments_json)
            yield Done(Finish.STOP, Usage(read, 0, _count(reply.name, reply.arguments_json)))
            return
        text = self._rest(request, now, reply.text) if written else reply.text
        pieces = _WORD.findall(text)
        limit = _left(request, text) if request.max_output_tokens else len(pieces)
        for piece in pieces[:limit]:
            yield TextDelta(piece)
            await asyncio.sleep(0)  # other turns take theirs between two words
        finish = Finish.LENGTH if limit < len(pieces) else Finish.STOP
        yield Done(finish, Usage(read, 0, min(limit, len(pieces))))

    def _rest(self, request: Request, now: datetime, text: str) -> str:
        """What is left to say of the text, or of what the answer was when it began."""
        if unanswered(request.messages):
            return ""  # the answer was a call, and it has been made
        earlier = (respond(request, now - timedelta(minutes=n)) for n in range(1, MINUTES + 1))
        texts = (reply.text for reply in earlier if isinstance(reply, Say))
        return rest(chain([text], texts), request.already_written)

    async def models(self) -> tuple[str, ...]:
        return (MODEL,)

    async def refresh(self) -> None:
        """It is always there."""

    async def close(self) -> None:
        """It holds nothing."""


def _left(request: Request, text: str) -> int:
    """How many pieces of the text may be said. The first may end a word that was begun."""
    written = request.already_written
    inside = bool(written and text) and not (written[-1].isspace() or text[0].isspace())
    return max(0, request.max_output_tokens - len(_WORD.findall(written)) + inside)


def _count(*texts: str) -> int:
    return sum(len(text.split()) for text in texts)
