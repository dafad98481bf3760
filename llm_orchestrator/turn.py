"""One response on one stream: asks, passes on what comes, waits for tool output, ends.

Nothing that writes to the stream is ever cancelled by us: a stop interrupts only the wait
for the provider, which closes the call to it at once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace

from llm_orchestrator import metrics, wire
from llm_orchestrator.engine import (
    Done,
    Message,
    Role,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolChoice,
    Usage,
)
from llm_orchestrator.orchestration import Ask, Event, Failed, Orchestrator, Started, Switched
from llm_orchestrator.providers import Preference
from mesh.errors import MeshError
from ovos.llm.v1 import llm_pb2 as pb

log = logging.getLogger(__name__)


class _Stopped(Exception):
    """Somebody called `stop`."""


class Turn:
    def __init__(
        self,
        orchestrator: Orchestrator,
        ask: Ask,
        send: Callable[[pb.GenerateResponse], Awaitable[None]],
        *,
        worker_id: str,
    ) -> None:
        self._orchestrator, self._ask, self._send = orchestrator, ask, send
        self._worker_id = worker_id
        self._begun_s = time.monotonic()
        self._until_s = None if ask.budget_s is None else self._begun_s + ask.budget_s
        self._first_token_s: float | None = None
        self._text, self._sequence = "", 0
        self._usage = Usage()
        self._model: Preference | None = None
        self._outputs: dict[str, str] = {}
        self._changed = asyncio.Event()
        self._waiting: asyncio.Timeout | None = None
        self._stopping = False
        self._stop_error: MeshError | None = None
        self.heard_out = asyncio.Event()
        """Set when the caller has said its last: finish, cancel, or nothing more."""

        self.finished = False
        """Whether the caller has said that no tool output will come."""

    def output(self, call_id: str, output: str) -> None:
        """A tool of an earlier call has returned."""
        self._outputs[call_id] = output
        self._changed.set()

    def finish(self) -> None:
        """No more tool output will come."""
        self.finished = True
        self.heard_out.set()
        self._changed.set()

    def stop(self, error: MeshError | None = None) -> None:
        """End the response now.

        Args:
            error: What the caller's call fails with; None ends it as cancelled.
        """
        self.heard_out.set()
        if self._stopping:
            return
        self._stopping, self._stop_error = True, error
        self._changed.set()
        if self._waiting is not None:
            self._waiting.reschedule(asyncio.get_running_loop().time())

    async def run(self) -> None:
        """Write the response, to its `completed`.

        Raises:
            MeshError: nothing could be written, or `stop` was called with an error.
        """
        try:
            finish = await self._rounds()
        except _Stopped:
            if self._stop_error is not None:
                raise self._stop_error from None
            finish = pb.FINISH_REASON_CANCELLED
        await self._send(
            wire.completed(
                finish,
                whole=self._text,
                usage=self._usage,
                model=self._model,
                first_token_s=self._first_token_s,
            )
        )
        self._account(finish)

    async def _rounds(self) -> pb.FinishReason.ValueType:
        """Ask, and ask again with the tools' outputs for as long as they come."""
        while True:
            text_before = len(self._text)
            finish, calls = await self._round()
            if finish != pb.FINISH_REASON_STOP or not calls or not await self._answered(calls):
                return finish
            written = self._ask.request.already_written + self._text[text_before:]
            said = Message(role=Role.ASSISTANT, text=written, tool_calls=tuple(calls))
            results = [
                Message(role=Role.TOOL, text=self._outputs[call.call_id], call_id=call.call_id)
                for call in calls
            ]
            self._continue_with(said, *results)

    def _continue_with(self, *news: Message) -> None:
        request = self._ask.request
        messages = (*request.messages, *news)
        # A call that had to be made has been made: asking for it again would never end.
        request = replace(request, messages=messages, tool_choice=ToolChoice(), already_written="")
        left_s = self._until_s and max(0.0, self._until_s - time.monotonic())
        self._ask = replace(self._ask, request=request, budget_s=left_s)

    async def _round(self) -> tuple[pb.FinishReason.ValueType, list[ToolCall]]:
        calls: list[ToolCall] = []
        async with aclosing(self._orchestrator.answer(self._ask)) as events:
            while True:
                try:
                    event = await self._next(events)
                except MeshError as error:
                    if self._first_token_s is None:
                        raise
                    event = Failed("", error)
                if isinstance(event, ToolCall):
                    calls.append(event)
                await self._pass_on(event)
                if isinstance(event, Done):
                    return wire.finish_reason(event.finish), calls
                if isinstance(event, Failed):
                    return pb.FINISH_REASON_FAILED, calls

    async def _next(self, events: AsyncGenerator[Event, None]) -> Event:
        """
        Raises:
            _Stopped: `stop` was called, before or while waiting.
        """
        if self._stopping:
            raise _Stopped
        try:
            async with asyncio.timeout(None) as self._waiting:
                return await anext(events)
        except TimeoutError:
            raise _Stopped from None
        finally:
            self._waiting = None

    async def _pass_on(self, event: Event) -> None:
        match event:
            case Started(model):
                self._model = model
                await self._send(wire.started(self._worker_id, model))
            case TextDelta(text):
                self._token()
                self._text += text
                self._sequence += 1
                await self._send(wire.text(event, self._sequence))
            case ToolCallDelta():
                self._token()
                await self._send(wire.tool_call_delta(event))
            case ToolCall():
                self._token()
                await self._send(wire.tool_call(event))
            case Switched():
                await self._send(wire.switched(event))
            case Failed(provider, error):
                await self._send(wire.failed(provider, error))
            case Done(_, usage):
                self._usage += usage

    def _token(self) -> None:
        if self._first_token_s is None:
            self._first_token_s = time.monotonic() - self._begun_s

    async def _answered(self, calls: list[ToolCall]) -> bool:
        """Wait for the outputs of all calls; false once it is said that they do not come.

        Raises:
            _Stopped: `stop` was called.
        """
        while not all(call.call_id in self._outputs for call in calls):
            if self.finished:
                return False
            self._changed.clear()
            await self._changed.wait()
            if self._stopping:
                raise _Stopped
        return True

    def _account(self, finish: pb.FinishReason.ValueType) -> None:
        provider = self._model.provider if self._model else ""
        ended = pb.FinishReason.Name(finish).removeprefix("FINISH_REASON_").lower()
        metrics.RESPONSES.labels(provider, ended).inc()
        metrics.TOKENS.labels(provider, "input").inc(self._usage.input_tokens)
        metrics.TOKENS.labels(provider, "output").inc(self._usage.output_tokens)
        first_ms = None if self._first_token_s is None else round(self._first_token_s * 1000)
        log.info(
            "response finished",
            extra={
                "provider": provider,
                "model": self._model.model if self._model else "",
                "finish": ended,
                "first_token_ms": first_ms,
                "output_tokens": self._usage.output_tokens,
            },
        )
