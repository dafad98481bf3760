"""One reply being thought out over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from gateway.backends import Thought
from gateway.realtime import signals as sig
from gateway.streams import Dial, Stream
from mesh import errors
from mesh.errors import Broken, Draining, Gone, MeshError
from ovos.llm.v1 import llm_pb2 as llm

_INCOMPLETE = {
    llm.FINISH_REASON_LENGTH: "max_output_tokens",
    llm.FINISH_REASON_CONTENT_FILTER: "content_filter",
}
MOST_BROKEN = 3
"""Workers that may die in the middle of one reply: it may be what kills them."""
_AGAIN_S = 0.2


class Thinking:
    """Asks one worker and, if that cannot begin or dies, another one at once, which goes on behind
    what was written. If there is no other one, it is waited for: who restarts is soon there again.
    Iterate it for the thoughts; `stop` it in a `finally`.

    What has called a tool is not gone on with: the tool might be called twice.
    """

    def __init__(
        self,
        dial: Dial[llm.GenerateRequest, llm.GenerateResponse],
        config: llm.GenerationConfig,
        patience_s: float,
    ) -> None:
        """
        Args:
            patience_s: How long the tier may be away before iterating raises.
        """
        self._dial, self._config, self._patience_s = dial, config, patience_s
        self._stream: Stream[llm.GenerateRequest, llm.GenerateResponse] | None = None
        self._written: list[str] = []  # by this worker
        self._has_called = self._has_moved = False
        self._away_since_s: float | None = None
        self._broken = 0  # workers that died over it

    async def begin(self) -> None:
        """
        Raises:
            MeshError: nobody can be asked.
        """
        while True:
            try:
                return await self._ask()
            except MeshError as error:
                await self._rest(error)

    async def stop(self) -> None:
        if self._stream is not None:
            cancel = llm.CancelGeneration(reason="client")
            await self._stream.stop(llm.GenerateRequest(cancel=cancel))

    async def __aiter__(self) -> AsyncIterator[Thought]:
        """
        Raises:
            MeshError: the reply failed, or the tier has been away for longer than `patience_s`.
        """
        while True:
            assert self._stream is not None
            try:
                async for thought in _thoughts(self._stream, self._config.response_id):
                    self._note(thought)
                    yield thought
                return
            except MeshError as error:
                await self._rest(error)
            await self.begin()

    def _note(self, thought: Thought) -> None:
        if isinstance(thought, sig.ReplyText):
            self._written.append(thought.delta)
            self._has_moved, self._away_since_s = False, None
        else:
            self._has_called = True

    async def _rest(self, error: MeshError) -> None:
        """Wait until it is time to ask again: at once if there is another worker, but only one
        until something more is written; else until one comes back. Raises the error if nobody
        is to be asked."""
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.stop()
        self._broken += bool(self._written) and not isinstance(error, Draining)
        if self._has_called or not error.retryable or self._broken >= MOST_BROKEN:
            raise error
        self._config.already_written += "".join(self._written)
        self._written = []
        if self._dial.has_other:
            if self._has_moved:
                raise error
            self._has_moved = True
        elif isinstance(error, Gone | Draining) or self._dial.is_deserted:
            await self._wait(error)
        else:
            raise error  # it is there, and says that it cannot

    async def _wait(self, error: MeshError) -> None:
        """Until there is a worker again; raises the error when patience is over."""
        clock = asyncio.get_running_loop().time
        if self._away_since_s is None:
            self._away_since_s = clock()
        is_there = False
        while not is_there:  # not at once: who has just died may still seem to be there
            if clock() - self._away_since_s >= self._patience_s:
                raise error
            await asyncio.sleep(_AGAIN_S)
            is_there = self._dial.is_usable

    async def _ask(self) -> None:
        self._stream = self._dial()
        await self._stream.write(llm.GenerateRequest(config=self._config))
        await self._stream.write(llm.GenerateRequest(finish=llm.FinishGeneration()))


async def _thoughts(
    stream: Stream[llm.GenerateRequest, llm.GenerateResponse], response_id: str
) -> AsyncIterator[Thought]:
    async for news in stream:
        match news.WhichOneof("payload"):
            case "text_delta":
                yield sig.ReplyText(response_id, news.text_delta.text)
            case "tool_call_delta":
                d = news.tool_call_delta
                yield sig.ReplyCall(response_id, d.call_id, d.name, d.arguments_json)
            case "tool_call":
                c = news.tool_call
                yield sig.ReplyCallDone(response_id, c.call_id, c.name, c.arguments_json)
            case "error" if not news.error.retryable:
                code = news.error.metadata.get(errors.CODE, "")
                raise Broken(news.error.message, tier="llm", code=code)
            case "completed":
                if news.completed.finish_reason == llm.FINISH_REASON_FAILED:
                    raise Broken("every provider failed", tier="llm")
                yield _ended(response_id, news.completed)
                return
    raise Broken("the stream ended early", tier="llm")


def _ended(response_id: str, done: llm.GenerationCompleted) -> sig.ReplyEnded:
    u = done.usage
    tokens = sig.Tokens(u.input_tokens, u.cached_input_tokens, u.output_tokens)
    return sig.ReplyEnded(response_id, tokens, _INCOMPLETE.get(done.finish_reason))
