"""One reply being thought out over gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator

from gateway.backends import Thought
from gateway.realtime import signals as sig
from gateway.streams import Dial, Stream
from mesh import errors
from mesh.errors import Broken, MeshError
from ovos.llm.v1 import llm_pb2 as llm

_INCOMPLETE = {
    llm.FINISH_REASON_LENGTH: "max_output_tokens",
    llm.FINISH_REASON_CONTENT_FILTER: "content_filter",
}


class Thinking:
    """Asks one worker and, if that cannot begin or dies, another one at once, which goes on behind
    what was written. Iterate it for the thoughts; `stop` it in a `finally`.

    What has called a tool is not gone on with: the tool might be called twice.
    """

    def __init__(
        self, dial: Dial[llm.GenerateRequest, llm.GenerateResponse], config: llm.GenerationConfig
    ) -> None:
        self._dial, self._config = dial, config
        self._stream: Stream[llm.GenerateRequest, llm.GenerateResponse] | None = None
        self._written: list[str] = []  # by this worker
        self._has_called = self._has_moved = False

    async def begin(self) -> None:
        """
        Raises:
            MeshError: nobody can be asked.
        """
        try:
            await self._ask()
        except MeshError as error:
            if not self._moves(error):
                raise
            await self._ask_another()

    async def stop(self) -> None:
        if self._stream is not None:
            cancel = llm.CancelGeneration(reason="client")
            await self._stream.stop(llm.GenerateRequest(cancel=cancel))

    async def __aiter__(self) -> AsyncIterator[Thought]:
        """
        Raises:
            MeshError: the reply failed.
        """
        while True:
            assert self._stream is not None
            try:
                async for thought in _thoughts(self._stream, self._config.response_id):
                    self._note(thought)
                    yield thought
                return
            except MeshError as error:
                if not self._moves(error):
                    raise
            await self._ask_another()

    def _note(self, thought: Thought) -> None:
        if isinstance(thought, sig.ReplyText):
            self._written.append(thought.delta)
            self._has_moved = False
        else:
            self._has_called = True

    def _moves(self, error: MeshError) -> bool:
        """Whether another worker is to be asked: one, until something more is written."""
        may_move = not (self._has_called or self._has_moved)
        self._has_moved = may_move and error.retryable and self._dial.has_other
        return self._has_moved

    async def _ask_another(self) -> None:
        if self._stream is not None:
            await self._stream.stop()
        self._config.already_written += "".join(self._written)
        self._written = []
        await self._ask()

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
