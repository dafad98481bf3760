"""The backends over gRPC: wire messages become signals here and in `listening.py`."""

from __future__ import annotations

import asyncio
import copy
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from gateway import mcp_calls
from gateway.backends import Microphone, Profile, Sound, Thought, ToolFault
from gateway.dictation import MeshDictation
from gateway.generation import generation, session_ref
from gateway.listening import MeshMicrophone
from gateway.realtime import signals as sig
from gateway.realtime.effects import Listening, StartReply
from gateway.realtime.settings import RATE_HZ, McpTool
from gateway.recognition import FORMAT, recognition
from gateway.streams import Dial, Stream
from gateway.thinking import Thinking
from mesh.dial import metadata
from mesh.errors import Broken, Draining, MeshError, Overloaded, Rejected
from mesh.pool import Pool
from ovos.common.v1 import common_pb2
from ovos.llm.v1 import llm_pb2_grpc
from ovos.stt.v1 import stt_pb2 as stt
from ovos.stt.v1 import stt_pb2_grpc
from ovos.tts.v1 import tts_pb2 as tts
from ovos.tts.v1 import tts_pb2_grpc

_TRANSCRIBE_S = 20.0
_CREDIT_SAMPLES = 4 * RATE_HZ  # audio that a worker may be ahead of what the client was sent
_GRANT_SAMPLES = RATE_HZ // 2  # a grant is worth a message from here on
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
        llm_timeout_s: float,
    ) -> None:
        """
        Args:
            pools: Of stt, tts and llm.
            patience_s: How long a microphone waits for recognition to come back.
            llm_timeout_s: Deadline of one reply.
        """
        self.stt, self.tts, self.llm = pools
        self._tasks = tasks
        self._patience_s, self._llm_timeout_s = patience_s, llm_timeout_s
        self._profile = Profile()
        self._by_profile: dict[Profile, MeshBackends] = {}  # of the operator: they are few

    def with_profile(self, profile: Profile) -> MeshBackends:
        if profile not in self._by_profile:
            other = self._by_profile[profile] = copy.copy(self)
            other._profile = profile
        return self._by_profile[profile]

    @asynccontextmanager
    async def listen(self, how: Listening, from_sample: int) -> AsyncIterator[Microphone]:
        microphone = MeshMicrophone(
            self._hearing(),
            how,
            from_sample,
            self._patience_s,
            self._profile.stt,
            f"{secrets.token_hex(4)}.",
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
        timeout_s = self._llm_timeout_s
        dial = Dial(
            self.llm,
            lambda worker: worker.stub(LlmStub).Generate(timeout=timeout_s, metadata=metadata()),
            self._tasks,
        )
        thinking = Thinking(dial, generation(start, self._profile))
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
        stream = dial()
        speech = MeshSpeech(stream, start.response_id)
        try:
            config = _synthesis(start, self._profile)
            await stream.write(tts.StreamingSynthesizeRequest(config=config))
            yield speech
        finally:
            await stream.stop(tts.StreamingSynthesizeRequest(cancel=tts.CancelSynthesis()))

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


class MeshSpeech:
    """One reply being spoken; grants credit as its audio is taken."""

    def __init__(
        self,
        stream: Stream[tts.StreamingSynthesizeRequest, tts.StreamingSynthesizeResponse],
        response_id: str,
    ) -> None:
        self._stream, self._id = stream, response_id
        self._chunks = 0
        self._taken = 0  # samples
        self._granted = _CREDIT_SAMPLES

    async def say(self, text: str) -> None:
        self._chunks += 1
        chunk = tts.TextChunk(text=text, sequence=self._chunks)
        await self._stream.write(tts.StreamingSynthesizeRequest(text=chunk))

    async def finish(self) -> None:
        await self._stream.write(tts.StreamingSynthesizeRequest(finish=tts.FinishSynthesis()))

    async def __aiter__(self) -> AsyncIterator[Sound]:  # noqa: C901 - a table
        segment = _Segment()
        async for news in self._stream:
            match news.WhichOneof("payload"):
                case "segment_started":
                    started = news.segment_started
                    segment = _Segment(started.text, started.start_char, self._taken)
                case "audio":
                    pcm = news.audio.chunk.data
                    if begun := segment.begun(news.audio.words):
                        yield sig.ReplyTiming(self._id, begun)
                    yield sig.ReplyAudio(self._id, pcm)
                    await self._took(len(pcm) // 2)
                case "segment_finished":
                    rest, piece = (
                        segment.rest(news.segment_finished),
                        segment.whole(news.segment_finished),
                    )
                    yield sig.ReplyTiming(self._id, rest, piece)
                case "degraded":
                    worse = news.degraded
                    yield sig.ReplyDegraded(self._id, worse.failed_engine, worse.serving_engine)
                case "error" if not news.error.retryable:
                    raise Broken(news.error.message, tier="tts")
                case "finished":
                    return
        raise Broken("the stream ended early", tier="tts")

    async def _took(self, n_samples: int) -> None:
        self._taken += n_samples
        if self._taken + _CREDIT_SAMPLES - self._granted >= _GRANT_SAMPLES:
            self._granted = self._taken + _CREDIT_SAMPLES
            credit = common_pb2.FlowCredit(allowed_until_sample=self._granted)
            with suppress(MeshError):  # it has sent all and ended, or iterating says why it failed
                await self._stream.write(tts.StreamingSynthesizeRequest(credit=credit))


class _Segment:
    """When the words of a piece of text have been spoken: `(end_char, end_ms)` of each."""

    def __init__(self, text: str = "", start_char: int = 0, start_sample: int = 0) -> None:
        self._text, self._start_char, self._start_sample = text, start_char, start_sample
        self._last: tts.WordTiming | None = None  # it lasts until the next one begins

    def begun(self, words: Iterable[tts.WordTiming]) -> tuple[tuple[int, int], ...]:
        """Words begin, and those before them have been spoken."""
        spoken = []
        for word in words:
            if self._last is not None:
                spoken.append(self._spoken(self._last, word.start_sample))
            self._last = word
        return tuple(spoken)

    def rest(self, finished: tts.SegmentFinished) -> tuple[tuple[int, int], ...]:
        """What is left at the end; all words, evenly spread, if the voice has not said."""
        if self._last is not None:
            return (self._spoken(self._last, finished.end_sample),)
        length = max(1, len(self._text))
        samples = finished.end_sample - self._start_sample
        spread = []
        for word in re.finditer(r"\S+\s*", self._text):
            end_sample = self._start_sample + samples * word.end() // length
            end_char = word.start() + len(word[0].rstrip())
            spread.append((self._start_char + end_char, _ms(end_sample)))
        return tuple(spread)

    def whole(self, finished: tts.SegmentFinished) -> tuple[int, int]:
        """Where it ends: `(end_char, end_ms)`."""
        return self._start_char + len(self._text), _ms(finished.end_sample)

    def _spoken(self, word: tts.WordTiming, end_sample: int) -> tuple[int, int]:
        return self._start_char + word.end_char, _ms(end_sample)


def _ms(n_samples: int) -> int:
    return n_samples * 1000 // RATE_HZ


def _synthesis(start: StartReply, profile: Profile) -> tts.StreamingSynthesisConfig:
    assert start.voice is not None
    config = tts.StreamingSynthesisConfig(
        session=session_ref(),
        response_id=start.response_id,
        audio_format=FORMAT,
        voice=tts.VoiceSelection(voice_id=start.voice.name, speaking_rate=start.voice.speed),
        credit=common_pb2.FlowCredit(allowed_until_sample=_CREDIT_SAMPLES),
    )
    config.voice.engines.extend(profile.tts)
    config.continues = start.begun is not None and start.begun.from_char > 0
    config.chunk_duration.FromMilliseconds(20)
    return config
