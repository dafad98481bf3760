"""A language model that says what it is told to, and fails where it is told to.

The same Reply can be played by FakeEngine here, behind the port, and by the servers of
`provider_server.py`, behind the providers' own APIs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from enum import Enum

from llm_orchestrator import continuation
from llm_orchestrator.call_ids import CallIds
from llm_orchestrator.engine import (
    Done,
    Finish,
    News,
    Request,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolMode,
    Usage,
)
from mesh.errors import Overloaded, Rejected, Unavailable


class Fault(Enum):
    """What goes wrong after `Reply.pieces_first` pieces."""

    STALL = "nothing more comes until `Model.go_on` is set"
    CUT = "the connection is reset"
    HALF = "the stream ends in order, but without its end"
    GARBAGE = "bytes come that are no message"
    ENDLESS = "it goes on and on"
    PAGE = "200 with a page for people"
    PLAIN = "200 with one JSON document that says what is wrong"
    LIMITED = "429 with Retry-After: 7"
    BROKEN = "500"
    BAD_KEY = "401"
    BAD_REQUEST = "400"


STATUSES = {Fault.LIMITED: 429, Fault.BROKEN: 500, Fault.BAD_KEY: 401, Fault.BAD_REQUEST: 400}


MORE = " more"
"""What ENDLESS says."""

ENDLESS_EVERY_S = 0.005

USAGE = Usage(11, 3, 7)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model does with a request that allows it."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    """Made instead of the text when tools are offered; ids as the provider gives them."""

    reluctant: bool = False
    """Make the calls only if one must be made."""

    finish: Finish = Finish.STOP
    usage: Usage = USAGE
    fault: Fault | None = None
    pieces_first: int = 0

    @property
    def pieces(self) -> list[str]:
        """The text as it is streamed: word by word, with the spaces."""
        head, *rest = self.text.split(" ")
        return [head, *(f" {word}" for word in rest)] if self.text else []


@dataclass(slots=True)
class Model:
    """The reply to give, and what was noticed while it was given."""

    reply: Reply = Reply("Hello there.")
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    stalled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a STALL is reached."""

    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the caller closed the call before its end."""

    asked: int = 0

    async def stall(self) -> None:
        self.stalled.set()
        await self.go_on.wait()

    def calls_for(self, *, offered: bool, forced: bool) -> tuple[ToolCall, ...]:
        willing = forced or not self.reply.reluctant
        return self.reply.calls if offered and willing else ()


class FakeEngine:
    """A provider without a network. Hold it to the contract of the real ones."""

    def __init__(
        self, model: Model, name: str = "fake-1", *, context_tokens: int = 128_000
    ) -> None:
        self.context_tokens = context_tokens
        self._model, self.model = model, name
        self.available = self.goes_on = True
        self.requests: list[Request] = []
        self.closed = False

    def generate(self, request: Request) -> AsyncGenerator[News, None]:
        self.requests.append(request)
        return continuation.news(request, self._asked)

    async def _asked(self, request: Request) -> AsyncGenerator[News, None]:
        self._model.asked += 1
        try:
            async for news in self._play(request):
                yield news
        except (asyncio.CancelledError, GeneratorExit):
            self._model.hung_up.set()
            raise

    async def _play(self, request: Request) -> AsyncGenerator[News, None]:
        reply = self._model.reply
        mode = request.tool_choice.mode
        offered = bool(request.tools) and mode is not ToolMode.NONE
        forced = mode in (ToolMode.REQUIRED, ToolMode.FUNCTION)
        ids = CallIds(call.call_id for m in request.messages for call in m.tool_calls)
        calls = self._model.calls_for(offered=offered, forced=forced)
        pieces = [] if calls else reply.pieces
        limit = request.max_output_tokens or len(pieces)
        for i, piece in enumerate(pieces[:limit]):
            if i == reply.pieces_first:
                await self._fail(reply)
                while reply.fault is Fault.ENDLESS:
                    yield TextDelta(MORE)
                    await asyncio.sleep(ENDLESS_EVERY_S)
            yield TextDelta(piece)
        if len(pieces) <= reply.pieces_first:
            await self._fail(reply)
        for call in calls:
            call_id = ids.fit(call.call_id)
            yield ToolCallDelta(call_id, call.name, call.arguments_json)
            yield ToolCall(call_id, call.name, call.arguments_json)
        yield Done(Finish.LENGTH if limit < len(pieces) else reply.finish, reply.usage)

    async def _fail(self, reply: Reply) -> None:
        match reply.fault:
            case None | Fault.ENDLESS:
                return
            case Fault.STALL:
                await self._model.stall()
            case Fault.LIMITED:
                raise Overloaded(
                    "fake limits us (429)", retry_after_s=7.0, code="rate_limit_exceeded"
                )
            case Fault.BAD_REQUEST:
                raise Rejected("fake does not accept the request (400)")
            case _:
                raise Unavailable(f"fake failed: {reply.fault.value}")

    async def models(self) -> tuple[str, ...]:
        return (self.model,)

    async def refresh(self) -> None:
        pass

    async def close(self) -> None:
        self.closed = True
