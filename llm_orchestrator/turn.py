"""One response on one stream: asks, passes on what comes, waits for tool output, ends.

Calls of the caller's tools go to the caller. Those of server-side tools are run here, and all
that it learns of them is the rest of the answer. Where a model calls both at once, ours are run
only if the outputs of the caller's come on this stream: without these the model cannot go on,
and a result that nobody keeps is lost.

Nothing that writes to the stream is ever cancelled by us: a stop interrupts only the wait
for the provider, which closes the call to it at once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TypeVar

from llm_orchestrator import metrics, spacing, wire
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
from llm_orchestrator.tool_calls import Toolbox
from mesh.errors import Broken, MeshError
from ovos.llm.v1 import llm_pb2 as pb

T = TypeVar("T")

log = logging.getLogger(__name__)


class _Stopped(Exception):
    """Somebody called `stop`."""


class Turn:
    def __init__(
        self,
        orchestrator: Orchestrator,
        ask: Ask,
        send: Callable[[pb.GenerateResponse], Awaitable[None]],
        toolbox: Toolbox,
        *,
        worker_id: str,
    ) -> None:
        self._orchestrator, self._ask, self._send = orchestrator, ask, send
        self._toolbox, self._hidden = toolbox, toolbox.hidden_from(ask.request)
        self._hidden_ids: set[str] = set()
        self._first_written = ask.request.already_written
        self._n_ran = 0
        """How often server-side tools were run."""

        self._apart = ""
        """What the next words are a sentence of their own behind."""

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
            if finish != pb.FINISH_REASON_STOP or not calls:
                return finish
            ours = [call for call in calls if call.name in self._hidden]
            if not await self._answered([call for call in calls if call not in ours]):
                return finish
            if ours and not await self._ran(ours):
                return pb.FINISH_REASON_FAILED
            written = self._ask.request.already_written + self._text[text_before:]
            said = Message(role=Role.ASSISTANT, text=written, tool_calls=tuple(calls))
            results = [
                Message(role=Role.TOOL, text=self._outputs[call.call_id], call_id=call.call_id)
                for call in calls
            ]
            self._continue_with(said, *results)

    async def _ran(self, calls: Sequence[ToolCall]) -> bool:
        """Run server-side tools; false if the model has had enough of them.

        Raises:
            _Stopped: `stop` was called.
        """
        if not self._may_run:
            endless = Broken("the model calls server-side tools without an end", tier="llm")
            await self._pass_on(Failed("", endless, Usage()))
            return False
        self._n_ran += 1
        left_s = self._until_s and max(0.0, self._until_s - time.monotonic())
        self._outputs |= await self._unless_stopped(lambda: self._toolbox.run(calls, left_s))
        self._apart = self._first_written + self._text
        return True

    @property
    def _may_run(self) -> bool:
        return self._n_ran < self._toolbox.limits.max_rounds

    def _continue_with(self, *news: Message) -> None:
        request = self._ask.request
        messages = (*request.messages, *news)
        # A call that had to be made has been made: asking for it again would never end.
        request = replace(request, messages=messages, tool_choice=ToolChoice(), already_written="")
        left_s = self._until_s and max(0.0, self._until_s - time.monotonic())
        self._ask = replace(self._ask, request=request, budget_s=left_s)

    async def _round(self) -> tuple[pb.FinishReason.ValueType, list[ToolCall]]:
        calls: list[ToolCall] = []
        async with aclosing(self._orchestrator.answer(self._offering())) as events:
            while True:
                try:
                    event = await self._unless_stopped(lambda: anext(events))
                except MeshError as error:
                    # What a tool has done is not to be done again by a retry.
                    if self._first_token_s is None and not self._n_ran:
                        raise
                    event = Failed("", error, Usage())
                if isinstance(event, ToolCall):
                    calls.append(event)
                if not self._is_hidden(event):
                    await self._pass_on(event)
                if isinstance(event, Done):
                    return wire.finish_reason(event.finish), calls
                if isinstance(event, Failed):
                    return pb.FINISH_REASON_FAILED, calls

    def _offering(self) -> Ask:
        """What is asked, with the server-side tools that may be called."""
        request = self._ask.request
        offered = self._toolbox.offered(request, self._hidden) if self._may_run else ()
        return replace(self._ask, request=replace(request, tools=(*request.tools, *offered)))

    async def _unless_stopped(self, work: Callable[[], Awaitable[T]]) -> T:
        """
        Raises:
            _Stopped: `stop` was called, before or while waiting.
        """
        if self._stopping:
            raise _Stopped
        try:
            async with asyncio.timeout(None) as self._waiting:
                return await work()
        except TimeoutError:
            raise _Stopped from None
        finally:
            self._waiting = None

    def _is_hidden(self, event: Event) -> bool:
        """Whether it is of a call that the caller does not see."""
        if isinstance(event, ToolCallDelta | ToolCall) and event.name in self._hidden:
            self._hidden_ids.add(event.call_id)
        return isinstance(event, ToolCallDelta | ToolCall) and event.call_id in self._hidden_ids

    async def _pass_on(self, event: Event) -> None:
        match event:
            case Started(model):
                self._model = model
                await self._send(wire.started(self._worker_id, model))
            case TextDelta(text):
                self._token()
                text = spacing.apart(self._apart, text) + text
                self._apart = ""
                self._text += text
                self._sequence += 1
                await self._send(wire.text(text, self._sequence))
            case ToolCallDelta():
                self._token()
                await self._send(wire.tool_call_delta(event))
            case ToolCall():
                self._token()
                await self._send(wire.tool_call(event))
            case Switched():
                await self._send(wire.switched(event))
            case Failed(provider, error, usage):
                self._usage += usage
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
