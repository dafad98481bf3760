"""The backends over gRPC: wire messages become signals here and in their modules."""

from __future__ import annotations

import asyncio
import copy
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from gateway import mcp_calls
from gateway.backends import Microphone, Profile, Thought, ToolFault
from gateway.dictation import MeshDictation
from gateway.generation import generation, session_ref
from gateway.listening import MeshMicrophone
from gateway.realtime import signals as sig
from gateway.realtime.effects import Listening, StartReply
from gateway.realtime.settings import McpTool
from gateway.recognition import FORMAT, recognition
from gateway.speech import MeshSpeech
from gateway.streams import Stream
from mesh import errors
from mesh.dial import Link, metadata
from mesh.errors import Broken, Rejected
from ovos.llm.v1 import llm_pb2 as llm
from ovos.llm.v1 import llm_pb2_grpc
from ovos.stt.v1 import stt_pb2 as stt
from ovos.stt.v1 import stt_pb2_grpc
from ovos.tts.v1 import tts_pb2 as tts
from ovos.tts.v1 import tts_pb2_grpc

_TRANSCRIBE_S = 20.0
_MAX_UNARY_BYTES = 3 << 20

_INCOMPLETE = {
    llm.FINISH_REASON_LENGTH: "max_output_tokens",
    llm.FINISH_REASON_CONTENT_FILTER: "content_filter",
}


class MeshBackends:
    """The three tiers. `tasks` outlives every session."""

    def __init__(
        self,
        links: tuple[Link, Link, Link],
        tasks: asyncio.TaskGroup,
        *,
        patience_s: float,
        tts_patience_s: float,
        llm_timeout_s: float,
    ) -> None:
        """
        Args:
            links: To stt, tts and llm.
            patience_s: How long a microphone waits for recognition to come back.
            tts_patience_s: How long a reply waits for synthesis to come back.
            llm_timeout_s: Deadline of one reply.
        """
        self.stt, self.tts, self.llm = links
        self._tasks = tasks
        self._patience_s, self._llm_timeout_s = patience_s, llm_timeout_s
        self._tts_patience_s = tts_patience_s
        self._profile = Profile()
        self._by_profile: dict[Profile, MeshBackends] = {}  # of the operator: they are few
        self._stt_stub = stt_pb2_grpc.SttServiceStub(self.stt.channel)
        self._tts_stub = tts_pb2_grpc.TtsServiceStub(self.tts.channel)
        self._llm_stub = llm_pb2_grpc.LlmOrchestratorServiceStub(self.llm.channel)

    def with_profile(self, profile: Profile) -> MeshBackends:
        if profile not in self._by_profile:
            other = self._by_profile[profile] = copy.copy(self)
            other._profile = profile
        return self._by_profile[profile]

    @asynccontextmanager
    async def listen(self, how: Listening, from_sample: int) -> AsyncIterator[Microphone]:
        def dial() -> Stream[stt.StreamingRecognizeRequest, stt.StreamingRecognizeResponse]:
            stub = self._stt_stub
            return Stream(
                self.stt, lambda: stub.StreamingRecognize(metadata=metadata()), self._tasks
            )

        microphone = MeshMicrophone(
            dial, how, from_sample, self._patience_s, self._profile.stt, f"{secrets.token_hex(4)}."
        )
        try:
            yield microphone
        finally:
            await microphone.close()

    async def transcribe(self, pcm: bytes, how: Listening) -> str:
        if len(pcm) > _MAX_UNARY_BYTES:
            raise Rejected(f"a recording of {len(pcm)} bytes is too long", tier="stt")
        request = stt.RecognizeRequest(
            session=session_ref(),
            audio_format=FORMAT,
            recognition=recognition(how, self._profile.stt),
            audio=pcm,
        )
        with self.stt.calling():
            answer = await self._stt_stub.Recognize(
                request, timeout=_TRANSCRIBE_S, metadata=metadata()
            )
        return answer.transcript.text

    @asynccontextmanager
    async def dictate(self, how: Listening, *, words: bool) -> AsyncIterator[MeshDictation]:
        stub = self._stt_stub
        stream = Stream(self.stt, lambda: stub.StreamingRecognize(metadata=metadata()), self._tasks)
        dictation = MeshDictation(stream)
        try:
            await dictation.open(how, self._profile.stt, words=words)
            yield dictation
        finally:
            await dictation.close()

    @asynccontextmanager
    async def think(self, start: StartReply) -> AsyncIterator[AsyncIterator[Thought]]:
        stub, timeout_s = self._llm_stub, self._llm_timeout_s
        stream = Stream(
            self.llm, lambda: stub.Generate(timeout=timeout_s, metadata=metadata()), self._tasks
        )
        try:
            await stream.write(llm.GenerateRequest(config=generation(start, self._profile)))
            await stream.write(llm.GenerateRequest(finish=llm.FinishGeneration()))
            yield _thoughts(stream, start.response_id)
        finally:
            await stream.stop(llm.GenerateRequest(cancel=llm.CancelGeneration(reason="client")))

    @asynccontextmanager
    async def speak(self, start: StartReply) -> AsyncIterator[MeshSpeech]:
        def dial() -> Stream[tts.StreamingSynthesizeRequest, tts.StreamingSynthesizeResponse]:
            stub = self._tts_stub
            return Stream(
                self.tts, lambda: stub.StreamingSynthesize(metadata=metadata()), self._tasks
            )

        speech = MeshSpeech(dial, start, self._profile, self._tts_patience_s)
        try:
            await speech.open()
            yield speech
        finally:
            await speech.close()

    async def list_tools(self, server: McpTool) -> tuple[dict[str, Any], ...]:
        return await mcp_calls.list_tools(self._llm_stub, server)

    async def call_tool(self, server: McpTool, name: str, arguments: str) -> str | ToolFault:
        return await mcp_calls.call_tool(self._llm_stub, server, name, arguments)


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
