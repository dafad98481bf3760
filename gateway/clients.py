"""The backends over gRPC: wire messages become signals here and in their modules."""

from __future__ import annotations

import asyncio
import copy
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from gateway import mcp_calls
from gateway.backends import Microphone, Profile, Thought, ToolFault
from gateway.dictation import MeshDictation
from gateway.generation import generation, session_ref
from gateway.listening import MeshMicrophone
from gateway.realtime.effects import Listening, StartReply
from gateway.realtime.settings import McpTool
from gateway.recognition import FORMAT, recognition
from gateway.speech import MeshSpeech
from gateway.streams import Dial
from gateway.thinking import Thinking
from mesh.dial import metadata
from mesh.errors import Draining, Overloaded, Rejected
from mesh.pool import Pool
from ovos.llm.v1 import llm_pb2_grpc
from ovos.stt.v1 import stt_pb2 as stt
from ovos.stt.v1 import stt_pb2_grpc
from ovos.tts.v1 import tts_pb2_grpc

_TRANSCRIBE_S = 20.0
_MAX_UNARY_BYTES = 3 << 20

R = TypeVar("R")
LlmStub = llm_pb2_grpc.LlmOrchestratorServiceStub


class MeshBackends:
    """The three tiers. `tasks` outlives every session."""

    def __init__(
        self,
        pools: tuple[Pool, Pool, Pool],
        tasks: asyncio.TaskGroup,
        *,
        patience_s: float,
        tts_patience_s: float,
        llm_patience_s: float,
        llm_timeout_s: float,
    ) -> None:
        """
        Args:
            pools: Of stt, tts and llm.
            patience_s: How long a microphone waits for recognition to come back.
            tts_patience_s: How long a reply waits for synthesis to come back.
            llm_patience_s: How long a reply waits for the language tier to come back.
            llm_timeout_s: Deadline of one reply.
        """
        self.stt, self.tts, self.llm = pools
        self._tasks = tasks
        self._patience_s, self._llm_timeout_s = patience_s, llm_timeout_s
        self._tts_patience_s, self._llm_patience_s = tts_patience_s, llm_patience_s
        self._profile = Profile()
        self._by_profile: dict[Profile, MeshBackends] = {}  # of the operator: they are few

    def with_profile(self, profile: Profile) -> MeshBackends:
        if profile not in self._by_profile:
            other = self._by_profile[profile] = copy.copy(self)
            other._profile = profile
        return self._by_profile[profile]

    @asynccontextmanager
    async def listen(
        self, how: Listening, from_sample: int, epoch: int = 1
    ) -> AsyncIterator[Microphone]:
        microphone = MeshMicrophone(
            self._hearing(),
            how,
            from_sample,
            self._patience_s,
            self._profile.stt,
            f"{secrets.token_hex(4)}.",
            epoch,
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
        answer = await self.stt.ask(
            lambda worker: worker.stub(stt_pb2_grpc.SttServiceStub).Recognize(
                request, timeout=_TRANSCRIBE_S, metadata=metadata()
            )
        )
        return answer.transcript.text

    @asynccontextmanager
    async def dictate(self, how: Listening, *, words: bool) -> AsyncIterator[MeshDictation]:
        dictation = MeshDictation(self._hearing())
        try:
            await dictation.open(how, self._profile.stt, words=words)
            yield dictation
        finally:
            await dictation.close()

    @asynccontextmanager
    async def think(self, start: StartReply) -> AsyncIterator[AsyncIterator[Thought]]:
        until_s = time.monotonic() + self._llm_timeout_s
        dial = Dial(
            self.llm,
            lambda worker: worker.stub(LlmStub).Generate(
                timeout=max(0.0, until_s - time.monotonic()), metadata=metadata()
            ),
            self._tasks,
        )
        thinking = Thinking(dial, generation(start, self._profile), self._llm_patience_s)
        try:
            await thinking.begin()
            yield aiter(thinking)
        finally:
            await thinking.stop()

    @asynccontextmanager
    async def speak(self, start: StartReply) -> AsyncIterator[MeshSpeech]:
        dial = Dial(
            self.tts,
            lambda worker: worker.stub(tts_pb2_grpc.TtsServiceStub).StreamingSynthesize(
                metadata=metadata()
            ),
            self._tasks,
        )
        speech = MeshSpeech(dial, start, self._profile, self._tts_patience_s)
        try:
            await speech.open()
            yield speech
        finally:
            await speech.close()

    async def list_tools(self, server: McpTool) -> tuple[dict[str, Any], ...]:
        return await self._through_llm(lambda stub: mcp_calls.list_tools(stub, server))

    async def call_tool(self, server: McpTool, name: str, arguments: str) -> str | ToolFault:
        return await self._through_llm(
            lambda stub: mcp_calls.call_tool(stub, server, name, arguments)
        )

    async def _through_llm(
        self, call: Callable[[llm_pb2_grpc.LlmOrchestratorServiceAsyncStub], Awaitable[R]]
    ) -> R:
        """A call past the breaker; a worker that refuses it has not begun it, so another may."""
        worker = self.llm.pick()
        try:
            with worker.held():
                return await call(worker.stub(LlmStub))
        except (Overloaded, Draining):
            if not self.llm.has_other([worker]):
                raise
        other = self.llm.pick(avoid=[worker])
        with other.held():
            return await call(other.stub(LlmStub))

    def _hearing(self) -> Dial[stt.StreamingRecognizeRequest, stt.StreamingRecognizeResponse]:
        return Dial(
            self.stt,
            lambda worker: worker.stub(stt_pb2_grpc.SttServiceStub).StreamingRecognize(
                metadata=metadata()
            ),
            self._tasks,
        )
