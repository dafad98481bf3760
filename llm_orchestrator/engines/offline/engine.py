"""The offline responder behind the port of this tier."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime

from llm_orchestrator.call_ids import mint
from llm_orchestrator.config import Config
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
from llm_orchestrator.engines.offline.responder import Call, respond

MODEL = "rules"
CONTEXT_TOKENS = 8192  # it reads the end of a conversation only

_WORD = re.compile(r"\s*\S+")


def _here() -> datetime:
    return datetime.now(UTC).astimezone()


class OfflineEngine:
    """Answers by rules. Its tokens are words, in the counts and in the limit."""

    available = True
    model = MODEL
    context_tokens = CONTEXT_TOKENS

    def __init__(self, config: Config | None = None, now: Callable[[], datetime] = _here) -> None:
        """
        Args:
            now: The time, with the time zone of the people who ask for it.
        """
        self._now = now

    async def generate(self, request: Request) -> AsyncGenerator[News, None]:
        reply = respond(request, self._now())
        read = _count(request.instructions, *(message.text for message in request.messages))
        if isinstance(reply, Call):
            call_id = mint()
            yield ToolCallDelta(call_id, reply.name, reply.arguments_json)
            yield ToolCall(call_id, reply.name, reply.arguments_json)
            yield Done(Finish.STOP, Usage(read, 0, _count(reply.name, reply.arguments_json)))
            return
        pieces = _WORD.findall(reply.text)
        limit = request.max_output_tokens or len(pieces)
        for piece in pieces[:limit]:
            yield TextDelta(piece)
            await asyncio.sleep(0)  # other turns take theirs between two words
        finish = Finish.LENGTH if limit < len(pieces) else Finish.STOP
        yield Done(finish, Usage(read, 0, min(limit, len(pieces))))

    async def models(self) -> tuple[str, ...]:
        return (MODEL,)

    async def refresh(self) -> None:
        """It is always there."""

    async def close(self) -> None:
        """It holds nothing."""


def _count(*texts: str) -> int:
    return sum(len(text.split()) for text in texts)
